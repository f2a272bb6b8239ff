"""`splitter plan` on a repository or a folder of several models: read every header, solve each, rank them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from splitter.app.events import Events
from splitter.app.extra_models import with_extra_models
from splitter.app.planning import Job, prepare
from splitter.app.wishes import Asked, Wishes, ask
from splitter.errors import ModelError, ModelNotFoundError, SplitterError, UsageError
from splitter.model.facts import ModelFacts
from splitter.model.hub_reference import RepoFile, model_files, parse_hub_reference
from splitter.model.load import load_model
from splitter.model.read_facts import kind_of
from splitter.plan.advise import Advice, RankedModel, advise
from splitter.rig.device import Rig

READERS = 6  # headers read at once: a repository has some 25 files, and one header takes one or two round trips


@dataclass(frozen=True, slots=True)
class ModelSet:
    """Several models under one name; `reference_of` turns a file's name into what MODEL takes."""

    name: str
    files: tuple[str, ...]
    reference_of: Callable[[str], str]
    asked: Asked


def several_models(wishes: Wishes, events: Events) -> ModelSet | None:
    """The models of the repository or folder that MODEL names; None where it names one model."""
    asked = ask(wishes)
    reference = asked.model()
    if reference.lower().startswith("hf:"):
        return _repository(reference, asked, events)
    folder = Path(reference).expanduser()
    return _folder(folder, asked) if folder.is_dir() else None


def _repository(reference: str, asked: Asked, events: Events) -> ModelSet | None:
    from splitter.model.hub import is_offline, list_gguf_files

    wanted = parse_hub_reference(reference)
    if wanted.file or is_offline():
        return None
    with events.step(f"listing {wanted.repo}"):
        files = model_files(list_gguf_files(wanted.repo, wanted.revision))
    if len(files) < 2:
        return None
    revision = "" if wanted.revision == "main" else f"@{wanted.revision}"
    paths = tuple(file.path for file in files)
    return ModelSet(wanted.repo, paths, lambda path: f"hf:{wanted.repo}/{path}{revision}", asked)


def _folder(folder: Path, asked: Asked) -> ModelSet:
    """A folder's models; also of one, since llama.cpp takes no folder."""
    try:
        files = model_files(RepoFile(path.name, None) for path in sorted(folder.iterdir()) if path.is_file())
    except OSError as error:
        raise ModelError(f"The folder {folder} cannot be read: {error.strerror}.", "Check its permissions.") from None
    if not files:
        raise ModelNotFoundError(f"The folder {folder} holds no GGUF model.", "Name a .gguf file, or another folder.")
    names = tuple(file.path for file in files)
    return ModelSet(str(folder), names, lambda name: str(folder / name), asked)


@dataclass(frozen=True, slots=True)
class Ranking:
    """The ranked models of `name` on `rig`; `recommended` is what MODEL takes for the best of them."""

    name: str
    rig: Rig
    advice: Advice
    recommended: str | None


def rank(choice: ModelSet, events: Events) -> Ranking:
    """Every model solved and ranked. UsageError for none, ModelError when none can be read."""
    if not choice.files:
        raise UsageError("no model to rank", "name GGUF files, a folder of them, or hf:OWNER/REPO")
    read = read_headers(choice, events)
    first = next((facts for facts in read.values() if isinstance(facts, ModelFacts)), None)
    if first is None:
        raise _unreadable(choice, read)
    task = prepare(first, choice.asked, events)
    task = replace(task, request=with_extra_models(task.request, events))
    candidates = []
    for number, (file, facts) in enumerate(read.items(), start=1):
        with events.step(f"solving {number} of {len(read)}: {file}"):
            candidates.append(_candidate(file, facts, task))
    advice = advise(candidates)
    best = advice.recommended
    return Ranking(choice.name, task.rig, advice, None if best is None else choice.reference_of(best))


def _unreadable(choice: ModelSet, read: dict[str, ModelFacts | SplitterError]) -> ModelError:
    error = next(error for error in read.values() if isinstance(error, SplitterError))
    return ModelError(f"None of the {len(read)} models of {choice.name} can be read: {error.message}", error.hint)


def read_headers(choice: ModelSet, events: Events) -> dict[str, ModelFacts | SplitterError]:
    """Every file's header, several at a time; what fails says why in its place."""
    with (
        events.step(f"reading the headers of {len(choice.files)} models of {choice.name}"),
        ThreadPoolExecutor(READERS) as pool,
    ):
        read = pool.map(partial(_read, choice), choice.files)
        return dict(zip(choice.files, read, strict=True))


def _read(choice: ModelSet, file: str) -> ModelFacts | SplitterError:
    try:
        facts = load_model(choice.reference_of(file))
    except SplitterError as error:
        return error
    kind = kind_of(facts)
    return facts if kind == "model" else ModelError(f"{file} is no language model ({kind}).", "Name another file.")


def _candidate(file: str, facts: ModelFacts | SplitterError, task: Job) -> RankedModel:
    if isinstance(facts, SplitterError):
        return RankedModel(file, None, facts)
    planner = task.planner
    try:
        return RankedModel(file, facts, planner.as_measured(planner.solve(facts, task.request, details=False)))
    except SplitterError as error:
        return RankedModel(file, facts, error)
