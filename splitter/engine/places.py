"""Where engines usually lie: the folders to look into. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path

# Folders below the one that a user names or unpacks a release into.
INSIDE = ("", "bin", "build/bin", "build/bin/Release")


def usual_folders(home: Path, environ: Mapping[str, str], windows: bool) -> Iterator[Path]:
    """Folders outside PATH where people keep engines, likeliest first."""
    for name in ("llama.cpp", "koboldcpp", "Downloads", "llama-server", "llama"):
        yield home / name
    if windows:
        yield from _windows_folders(environ)
    else:
        yield home / ".local" / "bin"
        yield from (Path(p) for p in ("/usr/local/bin", "/opt/llama.cpp", "/opt/koboldcpp", "/opt/homebrew/bin"))


def _windows_folders(environ: Mapping[str, str]) -> Iterator[Path]:
    local = environ.get("LOCALAPPDATA")
    if local:
        yield Path(local) / "Microsoft" / "WinGet" / "Links"
        yield from (Path(local) / "Programs" / name for name in ("llama.cpp", "koboldcpp"))
        yield from (Path(local) / name for name in ("llama.cpp", "koboldcpp"))
    for variable in ("ProgramFiles", "SystemDrive"):
        base = environ.get(variable)
        if base:
            yield from (Path(base + "\\") / name for name in ("llama.cpp", "koboldcpp"))
