"""Looks into the usual caches for models. Reads names and sizes, no headers."""

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from splitter.model.caches import (
    OLLAMA_ROOTS,
    CacheFolder,
    File,
    FoundModel,
    Surroundings,
    chosen_snapshot,
    hub_repository,
    models_among,
    ollama_children,
    ollama_name,
    ollama_weights,
    usual_places,
)
from splitter.printable import printable
from splitter.units import MIB

ENTRIES_LIMIT = 20_000
SNAPSHOT_DEPTH = 4
MANIFEST_LIMIT_BYTES = MIB
SYSTEMS = {"win32": "windows", "darwin": "macos"}


@dataclass(frozen=True, slots=True)
class FoundModels:
    """What the caches hold; `notes` are folders that could not be read or not wholly, in words for the user."""

    models: tuple[FoundModel, ...]
    notes: tuple[str, ...] = ()


@dataclass(slots=True)
class _Look:
    """One look through the caches: how many directory entries it may still read, and what went wrong on the way."""

    left: int = field(default_factory=lambda: ENTRIES_LIMIT)
    notes: list[str] = field(default_factory=list)

    def entries(self, folder: Path) -> list[os.DirEntry[str]]:
        """The folder's entries by name; none where there is no such folder, or (with a note) where it is unreadable."""
        try:
            with os.scandir(folder) as opened:
                found = sorted(opened, key=lambda entry: entry.name)
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            self.note(f"{folder} cannot be read: {error.strerror}")
            return []
        if len(found) > self.left:
            self.note(f"{folder} was not searched to its end: more than {ENTRIES_LIMIT} files and folders")
        found = found[: self.left]
        self.left -= len(found)
        return found

    def note(self, text: str) -> None:
        if printable(text, 200) not in self.notes:
            self.notes.append(printable(text, 200))


def here() -> Surroundings:
    """This user's surroundings."""
    return Surroundings(Path.home(), Path.cwd(), os.environ, SYSTEMS.get(sys.platform, "linux"))


def find_models(around: Surroundings | None = None) -> FoundModels:
    """Every GGUF model in the usual caches, in the order of `caches.usual_places`, each file once.

    Only Ollama may list a file under several names (its tags). Never raises for what the folders hold.
    """
    around = around or here()
    models: dict[tuple[str, str], FoundModel] = {}
    notes: list[str] = []
    seen: set[tuple[str, str]] = set()
    for place in _places(around):
        folder = os.path.realpath(place.folder)
        if (folder, place.layout) in seen:
            continue
        seen.add((folder, place.layout))
        look = _Look()
        for model in _models_in(place, look):
            models.setdefault((_identity(model.path), model.name if model.source == "Ollama" else ""), model)
        notes += look.notes
    return FoundModels(tuple(models.values()), tuple(notes))


def _places(around: Surroundings) -> Iterator[CacheFolder]:
    """The usual places, LM Studio's as its settings have moved them, koboldcpp's folders before the current one."""
    *usual, current = usual_places(around)
    yield from usual
    for folder in _lm_studio_folders(around.home):
        yield CacheFolder("LM Studio", folder, depth=4)
    for folder in _koboldcpp_folders(around):
        yield CacheFolder("koboldcpp", folder, depth=2)
    yield current


def _identity(path: str) -> str:
    """One of a file whatever links lead to it, hard ones too."""
    try:
        known = Path(path).stat()
    except OSError:
        return os.path.realpath(path)
    return f"{known.st_dev}:{known.st_ino}" if known.st_ino else os.path.realpath(path)


def _lm_studio_folders(home: Path) -> Iterator[Path]:
    """Where LM Studio was told to keep models: its home pointer and its setting downloadsFolder."""
    for folder in _lm_studio_homes(home):
        yield folder / "models"
        if chosen := _lm_studio_choice(folder):
            yield chosen


def _lm_studio_homes(home: Path) -> list[Path]:
    pointer = _text(home / ".lmstudio-home-pointer").strip()
    return [*([Path(pointer)] if pointer else []), home / ".lmstudio", home / ".cache" / "lm-studio"]


def _lm_studio_choice(folder: Path) -> Path | None:
    settings = _json(folder / "settings.json")
    chosen = settings.get("downloadsFolder") if isinstance(settings, dict) else None
    return Path(chosen) if isinstance(chosen, str) and chosen else None


def lm_studio_folder(home: Path) -> Path:
    """Where LM Studio keeps models now: of its folders that are here the first, as its setting has moved it."""
    used = next((folder for folder in _lm_studio_homes(home) if folder.is_dir()), home / ".lmstudio")
    return _lm_studio_choice(used) or used / "models"


def koboldcpp_folder(around: Surroundings) -> Path | None:
    """The first folder with a koboldcpp executable; None where there is none."""
    return next(_koboldcpp_folders(around), None)


def _koboldcpp_folders(around: Surroundings) -> Iterator[Path]:
    """Folders with a koboldcpp executable: people keep the models beside it."""
    on_path = around.environ.get("PATH", "").split(os.pathsep)
    for folder in (around.cwd, around.home / "koboldcpp", *(Path(name) for name in on_path if name)):
        for entry in _Look().entries(folder):
            name = entry.name.lower()
            if name.startswith("koboldcpp") and (name.endswith(".exe") or os.access(entry.path, os.X_OK)):
                yield from {Path(entry.path).resolve().parent} if Path(entry.path).is_file() else ()


def _models_in(place: CacheFolder, look: _Look) -> Iterator[FoundModel]:
    if place.layout == "hub":
        yield from _hub_models(place, look)
    elif place.layout == "ollama":
        yield from _ollama_models(place, look)
    else:
        yield from models_among(place, _walk(place.folder, place.depth, look))


def _walk(folder: Path, depth: int, look: _Look) -> Iterator[File]:
    """The files up to `depth` levels down, links followed; hidden folders, broken links and devices left out."""
    yield from _walk_below(folder, "", depth, look, {os.path.realpath(folder)})


def _walk_below(folder: Path, above: str, depth: int, look: _Look, seen: set[str]) -> Iterator[File]:
    for entry in look.entries(folder):
        try:
            if entry.is_dir():
                real = os.path.realpath(entry.path)
                if depth > 1 and not entry.name.startswith(".") and real not in seen:
                    seen.add(real)
                    yield from _walk_below(Path(entry.path), f"{above}{entry.name}/", depth - 1, look, seen)
            elif entry.is_file():
                yield File(above + entry.name, entry.stat().st_size)
        except OSError:
            continue  # a link whose target cannot be reached


def _hub_models(place: CacheFolder, look: _Look) -> Iterator[FoundModel]:
    for entry in look.entries(place.folder):
        repository = hub_repository(entry.name)
        if repository is None:
            continue
        folder = Path(entry.path)
        refs = {ref.name: _text(Path(ref.path)) for ref in look.entries(folder / "refs") if ref.is_file()}
        snapshot = chosen_snapshot(refs, (commit.name for commit in look.entries(folder / "snapshots")))
        if snapshot is not None:
            inside = replace(place, folder=folder / "snapshots" / snapshot)
            yield from models_among(inside, _walk(inside.folder, SNAPSHOT_DEPTH, look), f"{repository}/")


def _ollama_models(place: CacheFolder, look: _Look) -> Iterator[FoundModel]:
    named: set[str] = set()
    for root in OLLAMA_ROOTS:
        for file in _walk(place.folder / root, 4, look):
            name = ollama_name(file.relative)
            if name is None or name in named or file.size_bytes > MANIFEST_LIMIT_BYTES:
                continue
            for blob in _ollama_blobs(place.folder, _json(place.folder / root / file.relative)):
                size = _size(blob)
                if size and name not in named:
                    named.add(name)
                    yield FoundModel(name, str(blob), place.source, size)


def _ollama_blobs(store: Path, manifest: object) -> Iterator[Path]:
    """The GGUF that a manifest, or each manifest of a list, names; the likeliest first."""
    blobs = store / "blobs"
    names = [ollama_weights(manifest)]
    names += [ollama_weights(_json(blobs / child)) for child in ollama_children(manifest)]
    yield from (blobs / name for name in names if name)


def _size(path: Path) -> int | None:
    """A file's size; None where there is none or it cannot be reached."""
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None


def _text(path: Path) -> str:
    """A small file's text; "" where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MANIFEST_LIMIT_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return ""


def _json(path: Path) -> object:
    try:
        return json.loads(_text(path))
    except (ValueError, RecursionError):
        return None
