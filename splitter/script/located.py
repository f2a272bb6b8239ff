"""The files that a script must find before it starts, and the command's words with those files taken out. Pure."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from splitter.engine.command import EngineCommand
from splitter.engine.engines import ENGINES
from splitter.plan.plan import Plan
from splitter.script.download import download_name, download_page, is_reference

WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")


@dataclass(frozen=True, slots=True)
class Located:
    """A file looked for as `beside` next to the script, then at `planned`, then as `on_path`; None: not there.

    `label` names it in messages and variables, `word` is the plan's name for it, `download` the page that has it.
    `others` are its other usual names, looked for beside the script after `beside`: plain words.
    """

    label: str
    word: str
    beside: str | None = None
    planned: str | None = None
    on_path: str | None = None
    download: str | None = None
    others: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Files:
    """The engine; the model with its projector and draft model, found or missed together; the API key's file."""

    engine: Located
    model: tuple[Located, ...]
    key: Located | None = None

    def all(self) -> tuple[Located, ...]:
        return (self.engine, *self.model, *((self.key,) if self.key else ()))


def named_paths(plan: Plan, command: EngineCommand) -> tuple[str, ...]:
    """The files that a command names: model, projector, draft model, key."""
    settings = plan.settings
    files = (plan.facts.path, settings.mmproj, settings.draft_model, command.server.api_key_file)
    return tuple(path for path in files if path)


def located_files(plan: Plan, command: EngineCommand, windows: bool) -> Files:
    """What the script looks for. The key stays where it was planned: a secret does not travel with a script."""
    settings, key = plan.settings, command.server.api_key_file
    models = (("model", command.model_path), ("projector", settings.mmproj), ("draft model", settings.draft_model))
    return Files(
        _engine(command, windows),
        tuple(_data_file(label, path, windows) for label, path in models if path),
        Located("API key file", key, planned=key) if key else None,
    )


def words(command: EngineCommand, files: Files) -> tuple[str | Located, ...]:
    """The argv, each word that names one of `files` replaced by it; the first is always the engine."""
    by_word = {file.word: file for file in files.all()[1:]}
    return (files.engine, *(by_word.get(word, word) for word in command.argv[1:]))


def native(path: str, windows: bool) -> bool:
    """Whether `path` can mean something on that system: absolute in its own style, or relative."""
    if is_reference(path):
        return False
    if WINDOWS_PATH.match(path):
        return windows
    return not windows or not path.startswith("/")


def file_name(path: str) -> str:
    """The last part of a path of either system."""
    return PureWindowsPath(path).name if WINDOWS_PATH.match(path) else PurePosixPath(path).name


def engine_name(command: EngineCommand, windows: bool) -> str:
    """The engine's own file name, or its usual one where the plan was made without it or on the other system."""
    if command.engine.path is not None and native(command.engine.path, windows):
        return file_name(command.argv[0])
    return ENGINES[command.engine.kind].program + (".exe" if windows else "")


def _engine(command: EngineCommand, windows: bool) -> Located:
    """An engine that is a package runs in its Python: one that lies beside the script by chance would not do."""
    path, engine = command.argv[0], ENGINES[command.engine.kind]
    if command.by_python:  # the script stays where it is: the rest of its clone lies around it
        return Located("engine", path, on_path=path)
    name = engine_name(command, windows)
    beside = None if engine.package else name
    others = tuple(n for n in engine.file_names(windows) if n != name and n.endswith(".exe")) if beside else ()
    if command.engine.path is None or not native(command.engine.path, windows):
        return Located("engine", path, beside, on_path=name, download=engine.releases, others=others)
    planned = path if path != beside else None
    return Located("engine", path, beside, planned, download=None if planned else engine.releases, others=others)


def _data_file(label: str, path: str, windows: bool) -> Located:
    if is_reference(path):
        return Located(label, path, download_name(path), download=download_page(path))
    name = file_name(path)
    return Located(label, path, name, path if native(path, windows) and path != name else None)
