"""The host: what psutil says, cut down to what a control group allows."""

from pathlib import Path

import psutil
import pytest

from splitter.rig.defaults import fill_host
from splitter.rig.device import Host
from splitter.rig.host import cgroup_memory, operating_system, probe_host
from splitter.units import GIB, MIB


def write(folder: Path, **files: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text, encoding="ascii")


def test_this_host(tmp_path: Path) -> None:
    host = probe_host(tmp_path)
    assert host.ram_total_bytes == psutil.virtual_memory().total
    assert host.ram_free_bytes is not None
    assert 0 < host.ram_free_bytes <= host.ram_total_bytes
    assert host.cores is None or host.cores >= 1
    assert host.os == operating_system()
    assert (host.ram_bandwidth_bytes_per_s, host.sources["ram_bandwidth_bytes_per_s"]) == (40e9, "default")
    assert host.sources["ram_total_bytes"] == "host"


def test_a_container_has_what_its_limit_leaves(tmp_path: Path) -> None:
    write(
        tmp_path,
        memory__max=f"{2 * GIB}\n",
        memory__current=f"{GIB}\n",
        memory__stat=f"anon 5\ninactive_file {200 * MIB}\n",
    )
    assert cgroup_memory(tmp_path) == (2 * GIB, GIB + 200 * MIB)
    host = probe_host(tmp_path)
    assert host.ram_total_bytes == 2 * GIB
    assert host.ram_free_bytes is not None
    assert host.ram_free_bytes <= GIB + 200 * MIB


def test_version_1(tmp_path: Path) -> None:
    write(tmp_path / "memory", memory__limit_in_bytes=f"{GIB}\n", memory__usage_in_bytes=f"{3 * GIB}\n")
    assert cgroup_memory(tmp_path) == (GIB, 0)


@pytest.mark.parametrize("limit", ["max\n", "", "lots"])
def test_no_limit(tmp_path: Path, limit: str) -> None:
    write(tmp_path, memory__max=limit)
    assert cgroup_memory(tmp_path) is None


def test_a_limit_above_the_hosts_ram_is_none(tmp_path: Path) -> None:
    write(tmp_path, memory__max=f"{2**60}\n", memory__current="0\n")
    assert probe_host(tmp_path).ram_total_bytes == psutil.virtual_memory().total


def test_defaults_say_that_they_are() -> None:
    host = fill_host(Host(ram_total_bytes=100, ram_bandwidth_bytes_per_s=1e9))
    assert (host.ram_free_bytes, host.ram_bandwidth_bytes_per_s) == (85, 1e9)
    assert host.sources == {"ram_free_bytes": "default"}
    assert fill_host(Host()).ram_free_bytes is None
