"""Reads profile files: the user's, the project's, the shipped ones. The only module of the room that sees the disk."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitter.errors import ProfileError
from splitter.folders import config_folder
from splitter.profile.profile import Profile, built_in, merge
from splitter.profile.schema import ValueLayer, check_value, read_layer
from splitter.safe_yaml import MAX_BYTES
from splitter.shipped import shipped_folder
from splitter.whole_file import write_whole

PATH_KEYS = ("model", "rig.file", "engine.path", "server.api_key_file", "settings.mmproj", "settings.draft_model")
PROJECT_FILE = "splitter.yaml"


@dataclass(frozen=True, slots=True)
class ProfileFile:
    """A profile that can be loaded by `name`; `origin` is "user" or "shipped"."""

    name: str
    path: Path
    origin: str
    description: str = ""
    error: str = ""


def shipped() -> tuple[ProfileFile, ...]:
    """The profiles that come with splitter."""
    return _listed(_folders()[1], "shipped")


def available() -> tuple[ProfileFile, ...]:
    """The user's profiles, then the shipped ones that the user has not replaced by name."""
    own = _listed(_folders()[0], "user")
    names = {profile.name for profile in own}
    return own + tuple(profile for profile in shipped() if profile.name not in names)


def load_profile(name_or_path: str | None, overrides: Mapping[str, Any] | None = None) -> Profile:
    """The layers built-in < user < project < profile < `overrides` (dotted keys, from the command line).

    Without a profile (None) the other layers alone. ProfileError when a file is missing, unreadable or wrong.
    """
    path = find_profile(name_or_path) if name_or_path else None
    given = {key: check_value(key, value, "command line") for key, value in (overrides or {}).items()}
    files = [config_folder() / "config.yaml", Path(PROJECT_FILE)]
    layers = [built_in(), *(_layer(file) for file in files if file.is_file())]
    if path:
        layers.append(_layer(path))
    layers.append(ValueLayer("command line", given))
    return merge(layers, path.stem if path else "default", str(path) if path else None)


def find_profile(name_or_path: str) -> Path:
    """The file of a profile given by path or by name. ProfileError names the nearest when there is none."""
    path = Path(name_or_path).expanduser()
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        if path.is_file():
            return path
        raise ProfileError(f"there is no profile file {name_or_path}", "see `splitter profile list`")
    known = {file.stem: file for folder in reversed(_folders()) for file in _files(folder)}
    if name_or_path in known:
        return known[name_or_path]
    raise ProfileError(f"there is no profile called {name_or_path!r}", _nearest_name(name_or_path, known))


def save_profile(text: str, name_or_path: str, *, overwrite: bool = False) -> Path:
    """Writes a profile to a path, or by name into the user's profiles. ProfileError when it exists or cannot be."""
    path = Path(name_or_path).expanduser()
    if path.suffix not in {".yaml", ".yml"} and len(path.parts) == 1:
        path = _folders()[0] / f"{name_or_path}.yaml"
    read_layer(text, str(path))
    if path.exists() and not overwrite:
        raise ProfileError(f"{path} exists already", "choose another name, or replace it with --force")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text)
    except OSError as problem:
        raise ProfileError(f"cannot write {path}: {problem.strerror}", "choose another place") from None
    return path


def read_text(path: Path) -> str:
    """The text of a small UTF-8 file."""
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        return data.decode("utf-8-sig")
    except OSError as problem:
        raise ProfileError(f"cannot read {path}: {problem.strerror}", "check the path and its permissions") from None
    except UnicodeDecodeError:
        raise ProfileError(f"{path} is not UTF-8 text", "save it as UTF-8") from None


def _layer(path: Path) -> ValueLayer:
    layer = read_layer(read_text(path), str(path))
    values = {key: _anchored(key, value, path.parent) for key, value in layer.values.items()}
    return ValueLayer(layer.source, values, layer.lines)


def _anchored(key: str, value: Any, folder: Path) -> Any:
    """A path written in a file counts from that file's folder; a shipped example is found by its bare name."""
    if key not in PATH_KEYS or value.startswith(("hf:", "http://", "https://")):
        return value
    path = Path(value).expanduser()
    for base in (folder, shipped_folder("examples")):
        if (base / path).is_file():
            return str((base / path).resolve())
    return str(path) if value.startswith("~") else value


def _folders() -> tuple[Path, Path]:
    """Where profiles that can be named lie: the user's, which go before, and the shipped ones."""
    return config_folder() / "profiles", shipped_folder("profiles")


def _files(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.y*ml")) if folder.is_dir() else []


def _listed(folder: Path, origin: str) -> tuple[ProfileFile, ...]:
    return tuple(_described(path, origin) for path in _files(folder))


def _described(path: Path, origin: str) -> ProfileFile:
    try:
        description = read_layer(read_text(path), str(path)).values.get("description", "")
    except ProfileError as problem:
        return ProfileFile(path.stem, path, origin, error=problem.message)
    return ProfileFile(path.stem, path, origin, description)


def _nearest_name(name: str, known: Mapping[str, Path]) -> str:
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else "known: " + (", ".join(sorted(known)) or "none")
