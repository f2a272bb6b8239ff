"""What a page may name: the folders where models are looked for, and what was named when `splitter ui` was started."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitter.errors import UsageError

# Keywords that are paths, or can be one.
PATHS = (
    "model", "rig", "rig_file", "rig.file", "profile", "engine_path", "engine.path", "api_key_file",
    "server.api_key_file", "mmproj", "settings.mmproj", "draft_model", "settings.draft_model", "target", "folder",
)  # fmt: skip
NAMES = ("name", "save_profile", "key")  # never a path
WORDS = ("command", "flags")  # may hold paths
URLS = ("url",)
LOCAL_URL = re.compile(r"http://(?:127\.0\.0\.1|localhost|\[::1\])(?::\d+)?(?:/.*)?", re.ASCII)
HINT = "start `splitter ui PATH` with that file or folder named"


@dataclass(frozen=True, slots=True)
class Reach:
    """`folders` and what is below them, and single `files`."""

    folders: tuple[Path, ...] = ()
    files: frozenset[Path] = frozenset()

    def holds(self, text: str) -> bool:
        """Whether the path, links followed, is within reach."""
        try:
            path = Path(text).expanduser().resolve()
        except (OSError, RuntimeError, ValueError):
            return False
        return path in self.files or any(path == folder or folder in path.parents for folder in self.folders)

    def check(self, values: Mapping[str, Any]) -> None:
        """UsageError for a path beyond reach, an address of another machine, a name that is a path."""
        for name, value in values.items():
            for text in _texts(value):
                self._check_text(name, text)

    def _check_text(self, name: str, text: str) -> None:
        if name in PATHS and _is_path(name, text) and not self.holds(text):
            raise UsageError(f"{name} names a file that this page may not read", HINT)
        if name in NAMES and _looks_like_path(text):
            raise UsageError(f"{name} is a name, not a path", "use letters, digits, dots and dashes")
        if name in WORDS:
            self._check_words(name, text)
        if name in URLS and not LOCAL_URL.fullmatch(text):
            raise UsageError("only servers of this machine are measured from here", "splitter bench --url U")

    def _check_words(self, name: str, text: str) -> None:
        for word in re.split(r"[\s=,\"'@]+", text):
            if _looks_like_path(word) and _exists(word) and not self.holds(word):
                raise UsageError(f"{name} names a file that this page may not read", HINT)


def reach(named: Iterable[str], models: Iterable[str]) -> Reach:
    """The reach of what was `named` on the command line, and of the folders of `models` that were found."""
    paths = [Path(name).expanduser().resolve() for name in named]
    folders = {path for path in paths if path.is_dir()} | {Path(model).resolve().parent for model in models}
    return Reach(tuple(sorted(folders)), frozenset(path for path in paths if not path.is_dir()))


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, str):
        return (value,)
    return tuple(item for item in value if isinstance(item, str)) if isinstance(value, list | tuple) else ()


def _is_path(name: str, text: str) -> bool:
    """A model may be the Hub's; a rig, a profile and a found model may be called by a name that is no path."""
    if name == "model" and text.lower().startswith("hf:"):
        return False
    if name in {"model", "rig", "profile", "target"}:
        return _looks_like_path(text) or _exists(text)
    return True


def _looks_like_path(text: str) -> bool:
    return "/" in text or "\\" in text or text.startswith("~") or "\0" in text or text.endswith((".yaml", ".yml"))


def _exists(text: str) -> bool:
    try:
        return Path(text).expanduser().exists()
    except (OSError, RuntimeError, ValueError):
        return True
