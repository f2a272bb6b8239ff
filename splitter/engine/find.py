"""Finds an engine on this machine and asks its version."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from splitter.engine.capture import captured
from splitter.engine.command import EngineRef
from splitter.engine.engine import Engine
from splitter.engine.engines import ENGINES
from splitter.engine.flags import is_script, python_of
from splitter.engine.places import INSIDE, usual_folders
from splitter.errors import EngineNotFoundError
from splitter.folders import data_folder

WINDOWS = os.name == "nt"


def find_engine(
    kind: str, path: str | None = None, version: str | None = None, beside: Sequence[str] = ()
) -> EngineRef:
    """The engine to use: `path` (a file or a folder that holds it) or the first one found.

    Looks into the current folder, the folders of `beside` (model files), what `splitter engine install` put into use,
    PATH, and the usual places. A given `version`
    is believed and not asked for; without `path` it means an engine that need not be here: the EngineRef then has path
    None. Raises EngineNotFoundError with the next step.
    """
    engine = ENGINES[kind]
    if engine.package:
        return _installed(engine, engine.package, version)
    if path is None and version is not None:
        return EngineRef(kind, None, version)
    found = _given(engine, path) if path is not None else _search(engine, beside)
    return EngineRef(kind, found, version or ask_version(kind, found))


def ask_version(kind: str, path: str) -> str | None:
    """The version the binary at `path` states, None when it states none in time."""
    engine = ENGINES[kind]
    for question in engine.version_questions:
        version = engine.version_of(_answer(engine, path, question))
        if version:
            return version
    return None


def start_words(path: str) -> list[str]:
    """The words that start the program at `path` on this machine."""
    return [python_of("windows" if WINDOWS else "linux"), path] if is_script(path) else [path]


def _answer(engine: Engine, path: str, question: str) -> str:
    """What the binary prints on both streams; "" when it does not answer in time."""
    try:
        done = captured([*start_words(path), question], engine.version_timeout_s)
    except subprocess.TimeoutExpired:
        return ""
    except OSError as error:
        reason = error.strerror or str(error)
        raise EngineNotFoundError(f"{path} cannot be started: {reason}", f"check the file, or {engine.get}") from error
    return done.stdout + "\n" + done.stderr


def _installed(engine: Engine, package: str, version: str | None) -> EngineRef:
    """The engine that a package is. The wheel's version comes from its metadata: importing it would load llama.cpp."""
    from importlib import metadata  # 40 ms that only this engine needs

    try:
        found = metadata.version(package)
    except metadata.PackageNotFoundError:
        if version is not None:
            return EngineRef(engine.name, None, version)
        message = f"the {engine.name} engine (wheel {package}) is not installed"
        raise EngineNotFoundError(message, engine.get) from None
    return EngineRef(engine.name, sys.executable, version or found)


def _given(engine: Engine, path: str) -> str:
    """The binary the user named: the file itself, or the engine inside the folder."""
    place = Path(path).expanduser()
    if place.is_dir():
        for candidate in _inside(engine, place):
            if _is_own(engine, candidate):
                return candidate
        raise EngineNotFoundError(f"no {engine.name} in the folder {path}", "name the binary itself with --engine-path")
    if place.is_file():
        if not _is_own(engine, str(place.absolute())):
            raise EngineNotFoundError(f"{path} is not {engine.name}", f"check --engine-path; {engine.get}")
        return str(place.absolute())
    on_path = shutil.which(path)
    if on_path:
        return on_path
    raise EngineNotFoundError(f"there is no file {path}", f"check --engine-path; {engine.get}")


def _is_own(engine: Engine, path: str) -> bool:
    """Whether the program at `path` is this engine's: its name tells, or, where another's has the same, its help."""
    if not engine.own_words:
        return True
    answer = _answer(engine, path, "--help")
    return all(word in answer for word in engine.own_words)


def _search(engine: Engine, beside: Sequence[str]) -> str:
    for candidate in _candidates(engine, beside):
        if _is_own(engine, candidate):
            return candidate
    raise EngineNotFoundError(f"{engine.name} was not found on PATH or in the usual places", engine.get)


def _installed_by_us(engine: Engine) -> Iterator[str]:
    """The program that `splitter engine install` put into use."""
    if not (data_folder() / "engines" / engine.name).is_dir():
        return
    from splitter.engine.installed import used_program  # it brings what downloads and unpacks, 50 ms

    own = used_program(engine.name)
    if own is not None:
        yield own


def _candidates(engine: Engine, beside: Sequence[str]) -> Iterator[str]:
    """Engines in the order in which they are preferred; lazily, so that the first one ends the search."""
    for folder in (Path.cwd(), *(Path(file).parent for file in beside)):
        yield from _inside(engine, folder)
    yield from _installed_by_us(engine)
    for name in engine.file_names(WINDOWS):
        on_path = shutil.which(name)
        if on_path:
            yield on_path
    for folder in usual_folders(Path.home(), os.environ, WINDOWS):
        yield from _inside(engine, folder)


def _inside(engine: Engine, folder: Path) -> Iterator[str]:
    for sub in INSIDE:
        for name in engine.file_names(WINDOWS):
            candidate = folder / sub / name
            if candidate.is_file() and (is_script(str(candidate)) or os.access(candidate, os.X_OK)):
                yield str(candidate.absolute())
