"""Finds an engine on this machine and asks its version."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from splitter.engine.capture import captured
from splitter.engine.command import EngineRef
from splitter.engine.places import INSIDE, file_names, usual_folders
from splitter.engine.version_text import koboldcpp_version, llama_version
from splitter.errors import EngineNotFoundError
from splitter.plan.request import EngineKind

WINDOWS = os.name == "nt"
# A koboldcpp release unpacks itself before it answers.
VERSION_TIMEOUT_S = {"llama-server": 15.0, "koboldcpp": 60.0}
GET = {
    "llama-server": "install llama.cpp (https://github.com/ggml-org/llama.cpp/releases) or name it with --engine-path",
    "koboldcpp": "get koboldcpp (https://github.com/LostRuins/koboldcpp/releases) or name it with --engine-path",
    "embedded": "install the embedded engine: pip install 'tensor-splitter[embedded]'",
}


def find_engine(
    kind: EngineKind, path: str | None = None, version: str | None = None, beside: Sequence[str] = ()
) -> EngineRef:
    """The engine to use: `path` (a file or a folder that holds it) or the first one found.

    Looks into the current folder, the folders of `beside` (model files), PATH, and the usual places. A given `version`
    is believed and not asked for; without `path` it means an engine that need not be here: the EngineRef then has path
    None. Raises EngineNotFoundError with the next step.
    """
    if kind == "embedded":
        return _embedded(version)
    if path is None and version is not None:
        return EngineRef(kind, None, version)
    found = _given(kind, path) if path is not None else _search(kind, beside)
    return EngineRef(kind, found, version or ask_version(kind, found))


def ask_version(kind: EngineKind, path: str) -> str | None:
    """The version the binary at `path` states, None when it states none in time.

    llama.cpp answers on standard error; koboldcpp only when --version is its sole argument, before 1.81.1 only in its
    help, before 1.74 not at all.
    """
    if kind != "koboldcpp":
        return llama_version(_answer(kind, path, "--version"))
    return koboldcpp_version(_answer(kind, path, "--version")) or koboldcpp_version(_answer(kind, path, "--help"))


def _answer(kind: EngineKind, path: str, question: str) -> str:
    """What the binary prints on both streams; "" when it does not answer in time."""
    try:
        done = captured([path, question], VERSION_TIMEOUT_S[kind])
    except subprocess.TimeoutExpired:
        return ""
    except OSError as error:
        reason = error.strerror or str(error)
        raise EngineNotFoundError(f"{path} cannot be started: {reason}", f"check the file; else {GET[kind]}") from error
    return done.stdout + "\n" + done.stderr


def _embedded(version: str | None) -> EngineRef:
    """The wheel's version comes from its metadata: importing it would load llama.cpp."""
    from importlib import metadata  # 40 ms that only this engine needs

    try:
        found = metadata.version("xllamacpp")
    except metadata.PackageNotFoundError:
        if version is not None:
            return EngineRef("embedded", None, version)
        raise EngineNotFoundError("the embedded engine (wheel xllamacpp) is not installed", GET["embedded"]) from None
    return EngineRef("embedded", sys.executable, version or found)


def _given(kind: EngineKind, path: str) -> str:
    """The binary the user named: the file itself, or the engine inside the folder."""
    place = Path(path).expanduser()
    if place.is_dir():
        for candidate in _inside(kind, place):
            return candidate
        raise EngineNotFoundError(f"no {kind} in the folder {path}", "name the binary itself with --engine-path")
    if place.is_file():
        return str(place.absolute())
    on_path = shutil.which(path)
    if on_path:
        return on_path
    raise EngineNotFoundError(f"there is no file {path}", f"check --engine-path; {GET[kind]}")


def _search(kind: EngineKind, beside: Sequence[str]) -> str:
    for candidate in _candidates(kind, beside):
        return candidate
    raise EngineNotFoundError(f"{kind} was not found on PATH or in the usual places", GET[kind])


def _candidates(kind: EngineKind, beside: Sequence[str]) -> Iterator[str]:
    """Engines in the order in which they are preferred; lazily, so that the first one ends the search."""
    for folder in (Path.cwd(), *(Path(file).parent for file in beside)):
        yield from _inside(kind, folder)
    for name in file_names(kind, WINDOWS):
        on_path = shutil.which(name)
        if on_path:
            yield on_path
    for folder in usual_folders(Path.home(), os.environ, WINDOWS):
        yield from _inside(kind, folder)


def _inside(kind: EngineKind, folder: Path) -> Iterator[str]:
    for sub in INSIDE:
        for name in file_names(kind, WINDOWS):
            candidate = folder / sub / name
            if candidate.is_file() and os.access(candidate, os.X_OK):
                yield str(candidate.absolute())
