"""The machine around the devices: RAM, cores, operating system. Asks psutil and, on Linux, the cgroup's limit."""

import platform
from pathlib import Path

from splitter.rig.defaults import fill_host
from splitter.rig.device import Host

CGROUPS = Path("/sys/fs/cgroup")
HOST = "host"


def operating_system() -> str:
    """ "linux", "windows" or "macos"; another Unix counts as linux."""
    return {"Windows": "windows", "Darwin": "macos"}.get(platform.system(), "linux")


def host_memory(cgroups: Path = CGROUPS) -> tuple[int, int]:
    """Bytes of RAM of this machine, in all and free; in a container what its memory limit leaves."""
    import psutil

    memory = psutil.virtual_memory()
    limit = cgroup_memory(cgroups)
    if limit is not None and limit[0] < memory.total:
        return limit[0], min(memory.available, limit[1])
    return memory.total, memory.available


def probe_host(cgroups: Path = CGROUPS, unified_bytes_per_s: float | None = None) -> Host:
    """This machine; RAM speed is that of the GPU that shares it, else the default (see defaults)."""
    import psutil

    total, free = host_memory(cgroups)
    cores = psutil.cpu_count(logical=False)
    known = {"ram_total_bytes": total, "ram_free_bytes": free, "cores": cores, "os": operating_system()}
    sources = {field: HOST for field, value in known.items() if value is not None}
    return fill_host(Host(total, free, None, cores, operating_system(), sources), unified_bytes_per_s)


def cgroup_memory(folder: Path) -> tuple[int, int] | None:
    """(limit, free under it) in bytes of the control group at `folder`, v2 or v1; None without a limit.

    Page cache counts as used by the group but yields to new allocations, so the inactive part of it is free.
    """
    version_2 = _limit(folder / "memory.max", folder / "memory.current", folder / "memory.stat", "inactive_file")
    if version_2 is not None:
        return version_2
    old = folder / "memory"
    files = (old / "memory.limit_in_bytes", old / "memory.usage_in_bytes", old / "memory.stat")
    return _limit(*files, "total_inactive_file")


def _limit(limit: Path, used: Path, stat: Path, cache_key: str) -> tuple[int, int] | None:
    limit_bytes = _number(limit)
    if limit_bytes is None:
        return None
    held = (_number(used) or 0) - _stat(stat, cache_key)
    return limit_bytes, max(0, limit_bytes - held)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None


def _stat(path: Path, key: str) -> int:
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, ValueError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key} ")), 0)
