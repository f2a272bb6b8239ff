"""Which found models answer to a name. Pure."""

import difflib
import re
from collections.abc import Iterable, Sequence

from splitter.model.caches import FoundModel
from splitter.model.split import stem

NAMES_SHOWN = 5
_PATH = re.compile(r"[./~]|[a-zA-Z]:|.*\\", re.DOTALL)


def is_plain_path(reference: str) -> bool:
    """Whether `reference` can only be meant as a path: ./x, ../x, /x, ~/x, C:\\x."""
    return _PATH.match(reference) is not None


def matching(reference: str, models: Iterable[FoundModel]) -> tuple[FoundModel, ...]:
    """The models that `reference` names, by the first rule that any model fulfils.

    Rules: the name as `splitter models` lists it; the file's name; the file's stem; OWNER/REPO[:QUANTISATION] or
    REPO[:QUANTISATION]. Case does not matter; the same file under several names counts once.
    """
    wanted = reference.strip().replace("\\", "/").lower()
    pool = tuple(models)
    for rule in (_is_name, _is_file, _is_stem, _is_repository):
        found = {model.path: model for model in pool if rule(wanted, model)}
        if found:
            return tuple(found.values())
    return ()


def _is_name(wanted: str, model: FoundModel) -> bool:
    name = model.name.lower()
    return wanted == name or (model.source == "Ollama" and f"{wanted}:latest" == name)


def _is_file(wanted: str, model: FoundModel) -> bool:
    name = _file(model)
    return wanted == name or (_is_flat(model) and name.endswith("_" + wanted) and wanted.endswith(".gguf"))


def _is_stem(wanted: str, model: FoundModel) -> bool:
    name = stem(_file(model))
    return wanted == name or (_is_flat(model) and name.endswith("_" + wanted))


def _is_repository(wanted: str, model: FoundModel) -> bool:
    repository, _, quantization = wanted.partition(":")
    if not repository or (quantization and not _has_quantization(_file(model), quantization)):
        return False
    if _is_flat(model):
        return "/" in repository and _file(model).startswith(repository.replace("/", "_") + "_")
    folders = model.name.lower().split("/")[:-1]
    return model.source != "Ollama" and repository in {"/".join(folders[:2]), *folders[1:2]} - {""}


def _has_quantization(name: str, quantization: str) -> bool:
    """As llama.cpp's -hf REPO:QUANT looks for it: the letters, then a dot or a dash."""
    return re.search(rf"(?<![a-z0-9]){re.escape(quantization)}[.-]", name) is not None


def _file(model: FoundModel) -> str:
    return model.name.lower().rsplit("/", 1)[-1]


def _is_flat(model: FoundModel) -> bool:
    """Whether the name may be OWNER_REPO_FILE.gguf (older llama.cpp), which only a known part can take apart."""
    return model.source == "llama.cpp" and "/" not in model.name


def nearest(reference: str, models: Sequence[FoundModel]) -> tuple[str, ...]:
    """Names that look like `reference`, the likeliest first."""
    wanted = stem(reference).lower()
    by_key: dict[str, str] = {}
    for model in models:
        for key in (model.name.lower(), stem(_file(model))):
            by_key.setdefault(key, model.name)
    keys = difflib.get_close_matches(wanted, by_key, n=NAMES_SHOWN * 2, cutoff=0.5)
    keys += [key for key in by_key if len(wanted) > 2 and wanted in key]
    return tuple(dict.fromkeys(by_key[key] for key in keys))[:NAMES_SHOWN]


def listed(names: Sequence[str]) -> str:
    """`a, b and 3 more`."""
    rest = len(names) - NAMES_SHOWN
    return ", ".join(names[:NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
