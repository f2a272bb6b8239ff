"""The user's folders: settings, caches, measurements, and the state of what runs now.

XDG Base Directory Specification 0.8 on Linux and macOS; %APPDATA% and %LOCALAPPDATA% on Windows. None is made here.
"""

import os
from pathlib import Path

NAME = "splitter"


def config_folder() -> Path:
    """What the user wrote: %APPDATA%/splitter, $XDG_CONFIG_HOME/splitter or ~/.config/splitter."""
    return _folder("APPDATA", "XDG_CONFIG_HOME", ".config")


def cache_folder() -> Path:
    """What can be made again: %LOCALAPPDATA%/splitter, $XDG_CACHE_HOME/splitter or ~/.cache/splitter."""
    return _folder("LOCALAPPDATA", "XDG_CACHE_HOME", ".cache")


def data_folder() -> Path:
    """What was measured: %LOCALAPPDATA%/splitter/data, $XDG_DATA_HOME/splitter or ~/.local/share/splitter."""
    return _folder("LOCALAPPDATA", "XDG_DATA_HOME", ".local/share", "data")


def state_folder() -> Path:
    """What runs now, and logs: %LOCALAPPDATA%/splitter/state, $XDG_STATE_HOME/splitter or ~/.local/state/splitter."""
    return _folder("LOCALAPPDATA", "XDG_STATE_HOME", ".local/state", "state")


def _folder(windows: str, xdg: str, home: str, below: str = "") -> Path:
    """A relative path in a variable is not obeyed (XDG says so)."""
    on_windows = os.name == "nt"
    named = os.environ.get(windows if on_windows else xdg)
    base = Path(named) if named and Path(named).is_absolute() else Path.home() / home
    return base / NAME / below if on_windows and below else base / NAME
