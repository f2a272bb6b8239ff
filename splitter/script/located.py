"""The files that a script must find before it starts, and the command's words with those files taken out. Pure."""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath, PureWindowsPath

from splitter.engine.command import EngineCommand
from splitter.plan.plan import Plan

WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
REFERENCE = re.compile(r"hf:|https?://")
DEFAULT_NAMES = {"llama-server": "llama-server", "koboldcpp": "koboldcpp", "embedded": "python"}


@dataclass(frozen=True, slots=True)
class Located:
    """A file looked for as `name` beside the script (None: not there), then at `planned` (None: only on PATH).

    `variable` holds the place found, `label` names the file in messages, `original` is its word in the plan's argv,
    `reference` the place on the network that it can be got from.
    """

    variable: str
    label: str
    original: str
    name: str | None
    planned: str | None
    on_path: str | None = None
    reference: str | None = None


def located_files(plan: Plan, command: EngineCommand, windows: bool) -> tuple[Located, ...]:
    """The engine, the model, and projector, draft model and key file where the plan has them."""
    settings, server = plan.settings, command.server
    others = (
        ("MODEL", "model", command.model_path),
        ("MMPROJ", "projector", settings.mmproj),
        ("DRAFT", "draft model", settings.draft_model),
        ("API_KEY_FILE", "API key file", server.api_key_file),
    )
    engine = _engine(command, windows)
    return (engine, *(_data_file(variable, label, path, windows) for variable, label, path in others if path))


def words(command: EngineCommand, files: tuple[Located, ...]) -> tuple[str | Located, ...]:
    """The argv, each word that names one of `files` replaced by it; the first is always the engine."""
    by_word = {file.original: file for file in files[1:]}
    return (files[0], *(by_word.get(word, word) for word in command.argv[1:]))


def native(path: str, windows: bool) -> bool:
    """Whether `path` can mean something on that system: absolute in its own style, or relative."""
    if REFERENCE.match(path):
        return False
    if WINDOWS_PATH.match(path):
        return windows
    return not windows or not path.startswith("/")


def _name(path: str) -> str:
    return PureWindowsPath(path).name if WINDOWS_PATH.match(path) else PurePosixPath(path).name


def _engine(command: EngineCommand, windows: bool) -> Located:
    """The engine under its own name, or under its usual one where the plan was made on the other system.

    The embedded engine is a Python with packages: one that lies beside the script by chance would not do.
    """
    path, kind = command.argv[0], command.engine.kind
    usual = DEFAULT_NAMES[kind] + (".exe" if windows else "")
    own = command.engine.path is not None and native(path, windows)
    name = _name(path) if own else usual
    beside = None if kind == "embedded" else name
    return Located("ENGINE", "engine", path, beside, path if own else None, on_path=None if own else usual)


def _data_file(variable: str, label: str, path: str, windows: bool) -> Located:
    planned = path if native(path, windows) else None
    reference = path if REFERENCE.match(path) else None
    return Located(variable, label, path, _name(path), planned, reference=reference)
