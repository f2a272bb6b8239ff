"""GPUs that share the host's memory: one pool, counted once; what the drivers let the GPU take of it."""

from pathlib import Path

import pytest

from splitter.errors import RigError
from splitter.rig.catalog import find
from splitter.rig.combine import combine
from splitter.rig.defaults import unified_limit_bytes
from splitter.rig.device import Rig
from splitter.rig.files import load_catalog, rig_from_gpus
from splitter.rig.listed import ListedDevice
from splitter.rig.rig_file import dump_rig, parse_rig
from splitter.rig.sysfs import detect
from splitter.units import GIB, MIB
from tests.rig.test_sysfs import APU, RX_7900_XTX, card

CATALOG = load_catalog()


def parse(text: str) -> Rig:
    return parse_rig(text, "here", "r", CATALOG, "linux")


def test_a_known_chip_shares_without_a_word_in_the_file() -> None:
    rig = parse("""
host: {ram_mib: 122880, ram_free_mib: 115000}
devices: [{name: NVIDIA GB10, total_mib: 122880, free_mib: 115000}]
""")
    assert [device.name for device in rig.shared()] == ["NVIDIA GB10"]
    assert rig.pool_free_bytes() == 115000 * MIB
    assert rig.host.ram_bandwidth_bytes_per_s == 273.2e9  # the same memory, not the default's 40 GB/s


def test_a_carve_out_of_the_firmware_is_no_pool() -> None:
    """A 128 GiB Strix Halo under Windows: 108 GiB are the GPU's, 20 GiB the system's."""
    rig = parse("""
host: {ram_mib: 131072, ram_free_mib: 20000}
devices: [{name: AMD Radeon 8060S Graphics, id: Vulkan0, total_mib: 110592, free_mib: 108782}]
""")
    assert rig.devices[0].unified
    assert rig.shared() == ()
    assert rig.pool_free_bytes() is None


def test_where_the_system_sees_less_than_the_gpu_the_part_of_its_own_is_added() -> None:
    """Windows again, asked: 32 GiB of RAM, and a GPU with 96 GiB of its own and half of these 32."""
    rig = parse("""
host: {ram_mib: 32768, ram_free_mib: 20000}
devices: [{name: AMD Radeon 8060S Graphics, id: Vulkan0, total_mib: 114688, free_mib: 113000}]
""")
    assert rig.pool_free_bytes() == (98304 + 20000) * MIB


@pytest.mark.parametrize(
    ("vendor", "ram_gib", "mib"),
    [("apple", 16, 10922), ("apple", 32, 21845), ("apple", 36, 27648), ("apple", 64, 49152), ("apple", 128, 98304),
     ("nvidia", 120, 122880), ("amd", 64, 32768), ("intel", 32, 16384)],
)  # fmt: skip
def test_what_the_drivers_let_a_gpu_take(vendor: str, ram_gib: int, mib: int) -> None:
    """Apple's are recommendedMaxWorkingSetSize as llama.cpp prints it, in MiB."""
    assert unified_limit_bytes(ram_gib * GIB, vendor) // MIB == mib


def test_a_chip_from_the_catalog_brings_its_machine() -> None:
    rig = rig_from_gpus("M3 Max 128GB")
    assert (rig.host.os, rig.host.ram_total_bytes, rig.devices[0].total_bytes) == ("macos", 128 * GIB, 96 * GIB)
    assert rig.host.ram_bandwidth_bytes_per_s == 409.6e9
    assert "may take 96 GiB" in rig.notes[0]
    assert rig.pool_free_bytes() == rig.host.ram_free_bytes


def test_an_integrated_gpu_takes_its_part_of_this_machine() -> None:
    rig = rig_from_gpus("780M")
    assert rig.host.ram_total_bytes is not None
    assert rig.devices[0].total_bytes == rig.host.ram_total_bytes // 2
    assert rig.devices[0].unified


def test_nodes_and_sharing_survive_a_rig_file() -> None:
    rig = parse("""
devices:
  - {name: RTX 3060, total_mib: 12288, node: attic, rtt_ms: 0.4, link_gb_per_s: 1.2}
  - {name: Some GPU, total_mib: 16384, unified: true}
""")
    far, shared = rig.devices
    assert (far.node, far.rtt_s, far.node_link_bytes_per_s) == ("attic", 0.0004, 1.2e9)
    assert shared.unified
    assert parse(dump_rig(rig)) == rig
    with pytest.raises(RigError, match="way to a node"):
        parse("devices: [{name: RTX 3060, total_mib: 12288, rtt_ms: 1}]")


def test_amdgpu_tells_what_an_integrated_gpu_may_take(tmp_path: Path) -> None:
    told = {**APU, "mem_info_gtt_total": 15000 * MIB, "mem_info_gtt_used": 200 * MIB, "product_name": "Radeon 680M"}
    card(tmp_path / "drm", 1, "0000:03:00.0", told)
    (device,) = detect(CATALOG, tmp_path / "drm", (), ()).devices
    assert (device.name, device.unified) == ("AMD Radeon 680M", True)
    assert (device.total_bytes // MIB, device.free_bytes // MIB) == (15512, 15212)
    card(tmp_path / "drm", 2, "0000:04:00.0", RX_7900_XTX)
    both = detect(CATALOG, tmp_path / "drm", (), ())
    assert [d.total_bytes // MIB for d in both.devices] == [24560]
    assert "680M" in both.notes[0]


def test_strix_halo_stands_beside_a_card_and_a_small_gpu_does_not() -> None:
    def rows(*lines: tuple[str, str, int]) -> list[ListedDevice]:
        return [ListedDevice(id_, name, mib * MIB, mib * MIB) for id_, name, mib in lines]

    halo = ("Vulkan0", "AMD Radeon 8060S Graphics (RADV GFX1151)", 110592)
    found = combine(rows(halo, ("Vulkan1", "AMD Radeon PRO W6800 (RADV NAVI21)", 32752)), (), CATALOG)
    assert [(d.id, d.unified) for d in found.devices] == [("Vulkan0", True), ("Vulkan1", None)]
    small = ("Vulkan0", "AMD Radeon 610M (RADV RAPHAEL_MENDOCINO)", 16000)
    found = combine(rows(small, ("Vulkan1", "AMD Radeon RX 6800 (RADV NAVI21)", 16368)), (), CATALOG)
    assert [d.id for d in found.devices] == ["Vulkan1"]


def test_asked_for_one_backend_the_listing_shows_no_other() -> None:
    listed = [ListedDevice(f"{b}0", "NVIDIA GeForce RTX 3090", 24 * GIB, 23 * GIB) for b in ("CUDA", "Vulkan")]
    assert [d.id for d in combine(listed, (), CATALOG, "vulkan").devices] == ["Vulkan0"]
    assert find(CATALOG, "NVIDIA GeForce RTX 3090") is not None
