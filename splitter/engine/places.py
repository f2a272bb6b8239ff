"""Where engines usually lie, as data: file names of every release and the folders to look into. Pure."""

from collections.abc import Iterator, Mapping
from pathlib import Path

from splitter.plan.request import EngineKind

# Release assets of koboldcpp, newest names first (its build scripts and workflows, 1.10 to 1.123).
KOBOLDCPP_LINUX = (
    "koboldcpp",
    "koboldcpp-linux-x64",
    "koboldcpp-linux-x64-cuda1300",
    "koboldcpp-linux-x64-cuda1210",
    "koboldcpp-linux-x64-oldpc",
    "koboldcpp-linux-x64-cuda1150",
    "koboldcpp-linux-x64-rocm",
    "koboldcpp-linux-x64-nocuda",
    "koboldcpp-mac-arm64",
)
KOBOLDCPP_WINDOWS = (
    "koboldcpp.exe",
    "koboldcpp_cu12.exe",
    "koboldcpp-oldpc.exe",
    "koboldcpp_oldcpu.exe",
    "koboldcpp_rocm.exe",
    "koboldcpp-nocuda.exe",
    "koboldcpp_nocuda.exe",
)
NAMES: dict[tuple[EngineKind, bool], tuple[str, ...]] = {
    ("llama-server", False): ("llama-server",),
    ("llama-server", True): ("llama-server.exe",),
    ("koboldcpp", False): KOBOLDCPP_LINUX,
    ("koboldcpp", True): KOBOLDCPP_WINDOWS,
}
# Folders below the one that a user names or unpacks a release into.
INSIDE = ("", "bin", "build/bin", "build/bin/Release")


def file_names(kind: EngineKind, windows: bool) -> tuple[str, ...]:
    """The names that the engine's binary has on this system, likeliest first."""
    return NAMES.get((kind, windows), ())


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
