"""AMD and Intel cards out of a made /sys/class/drm."""

from pathlib import Path
from typing import Any

import pytest

from splitter.rig import probe
from splitter.rig.combine import combine
from splitter.rig.device import Device
from splitter.rig.files import load_catalog
from splitter.rig.listed import parse_listing
from splitter.rig.nvml_devices import Detection
from splitter.rig.sysfs import DRM, detect
from splitter.rig.sysfs_devices import pci_bar_bytes
from splitter.units import GIB, MIB

CATALOG = load_catalog()
AMDGPU_IDS = """# List of AMDGPU IDs
1.0.0
73DF,\tC1,\tAMD Radeon RX 6700 XT
744C,\tC8,\tAMD Radeon RX 7900 XTX
744C,\tCC,\tAMD Radeon RX 7900 XT
1681,\tC8,\tAMD Radeon 680M
"""
PCI_IDS = """1001  Kolter Electronic
\t73df  not this one
1002  Advanced Micro Devices, Inc. [AMD/ATI]
\t67df  Ellesmere [Radeon RX 470/480/570/570X/580/580X/590]
\t\t1002 0b31  Radeon RX 480
\t7550  Navi 48 [Radeon RX 9070/9070 XT/9070 GRE]
8086  Intel Corporation
\t56a0  DG2 [Arc A770]
\t4680  AlderLake-S GT1 [UHD Graphics 770]
"""
RX_6700_XT = {"vendor": "0x1002", "device": "0x73df", "revision": "0xc1", "total": 12272 * MIB, "used": 700 * MIB}
RX_7900_XTX = {"vendor": "0x1002", "device": "0x744c", "revision": "0xc8", "total": 24560 * MIB, "used": 30 * MIB}
APU = {"vendor": "0x1002", "device": "0x1681", "revision": "0xc8", "total": 512 * MIB, "used": 100 * MIB}
RESOURCE = """0x0000000081000000 0x0000000081ffffff 0x0000000000140204
0x0000000000000000 0x0000000000000000 0x0000000000000000
0x0000006000000000 0x00000063ffffffff 0x000000000014220c
"""
ARC_A770 = {"vendor": "0x8086", "device": "0x56a0", "revision": "0x08", "resource": RESOURCE}
UHD = {"vendor": "0x8086", "device": "0x4680", "revision": "0x0c"}
NOUVEAU = {"vendor": "0x10de", "device": "0x1c82", "revision": "0xa1"}


def card(drm: Path, index: int, address: str, told: dict[str, Any], *connected: str) -> None:
    """card<index> with what the kernel tells of it, and its connectors."""
    folder = drm / f"card{index}"
    device = folder / "device"
    device.mkdir(parents=True)
    names = {"total": "mem_info_vram_total", "used": "mem_info_vram_used"}
    for key, value in told.items():
        (device / names.get(key, key)).write_text(f"{value}\n", encoding="ascii")
    (device / "uevent").write_text(f"DRIVER=some\nPCI_CLASS=30000\nPCI_SLOT_NAME={address}\n", encoding="ascii")
    for port in ("DP-1", "HDMI-A-1"):
        (drm / f"card{index}-{port}").mkdir()
        status = "connected" if port in connected else "disconnected"
        (drm / f"card{index}-{port}" / "status").write_text(f"{status}\n", encoding="ascii")


def found(tmp_path: Path, *, names: bool = True) -> Detection:
    (tmp_path / "amdgpu.ids").write_text(AMDGPU_IDS if names else "", encoding="utf-8")
    (tmp_path / "pci.ids").write_text(PCI_IDS if names else "", encoding="utf-8")
    missing = tmp_path / "nowhere.ids"
    return detect(CATALOG, tmp_path / "drm", (missing, tmp_path / "amdgpu.ids"), (missing, tmp_path / "pci.ids"))


def test_two_amd_cards_in_pci_order(tmp_path: Path) -> None:
    card(tmp_path / "drm", 0, "0000:0b:00.0", RX_7900_XTX)
    card(tmp_path / "drm", 1, "0000:03:00.0", RX_6700_XT, "DP-1")
    devices = found(tmp_path).devices
    assert [(d.id, d.name) for d in devices] == [
        ("Vulkan0", "AMD Radeon RX 6700 XT"),
        ("Vulkan1", "AMD Radeon RX 7900 XTX"),
    ]
    assert [(d.total_bytes // MIB, d.free_bytes // MIB, d.display) for d in devices] == [
        (12272, 11572, True),
        (24560, 24530, False),
    ]
    assert [d.bandwidth_bytes_per_s for d in devices] == [384e9, 960e9]
    assert [d.pci_bus_id for d in devices] == ["0000:03:00.0", "0000:0b:00.0"]
    assert devices[0].sources["free_bytes"] == "sysfs"
    assert devices[0].sources["bandwidth_bytes_per_s"] == "catalog"


def test_an_arc_is_known_by_its_id_and_its_memory_by_the_catalog_and_its_window(tmp_path: Path) -> None:
    card(tmp_path / "drm", 0, "0000:03:00.0", ARC_A770)
    (device,) = found(tmp_path, names=False).devices
    assert (device.id, device.name, device.total_bytes) == ("Vulkan0", "Intel Arc A770", 16 * GIB)
    assert device.free_bytes < device.total_bytes
    assert (device.sources["total_bytes"], device.sources["free_bytes"]) == ("catalog", "default")


def test_what_shares_the_hosts_ram_is_left_out_with_a_note(tmp_path: Path) -> None:
    card(tmp_path / "drm", 0, "0000:00:02.0", UHD, "HDMI-A-1")
    card(tmp_path / "drm", 1, "0000:03:00.0", APU)
    card(tmp_path / "drm", 2, "0000:04:00.0", NOUVEAU)
    detection = found(tmp_path)
    assert detection.devices == ()
    assert detection.notes == (
        "Intel UHD Graphics 770 (0000:00:02.0) is left out: it shares the host's RAM",
        "AMD Radeon 680M (0000:03:00.0) is left out: it shares the host's RAM",
        "the NVIDIA card at 0000:04:00.0 has no NVIDIA driver: it cannot be used",
    )


def test_names_without_any_file(tmp_path: Path) -> None:
    card(tmp_path / "drm", 0, "0000:03:00.0", RX_6700_XT)
    card(tmp_path / "drm", 1, "0000:04:00.0", APU)
    card(tmp_path / "drm", 2, "0000:05:00.0", {"vendor": "0x8086", "device": "0xffff"})
    detection = found(tmp_path, names=False)
    assert [(d.id, d.name, d.bandwidth_bytes_per_s) for d in detection.devices] == [("Vulkan0", "AMD GPU 73df", None)]
    assert "AMD GPU 1681 (0000:04:00.0) is left out" in detection.notes[0]
    assert "Intel GPU ffff (0000:05:00.0) does not report its memory" in detection.notes[1]


def test_a_chip_of_several_cards_keeps_all_its_names(tmp_path: Path) -> None:
    told = {"vendor": "0x1002", "device": "0x7550", "revision": "0xc0", "total": 16304 * MIB, "used": 0}
    card(tmp_path / "drm", 0, "0000:03:00.0", told)
    (device,) = found(tmp_path).devices
    assert device.name == "AMD Radeon RX 9070/9070 XT/9070 GRE"


def test_a_card_that_names_itself(tmp_path: Path) -> None:
    told = {**RX_6700_XT, "total": 32752 * MIB, "product_name": "AMD Instinct MI100"}
    card(tmp_path / "drm", 0, "0000:03:00.0", told)
    (device,) = found(tmp_path).devices
    assert (device.name, device.bandwidth_bytes_per_s) == ("AMD Instinct MI100", 1228.8e9)


def test_broken_files_are_unknown_values(tmp_path: Path) -> None:
    card(tmp_path / "drm", 0, "0000:03:00.0", {**RX_6700_XT, "used": "?", "revision": ""})
    card(tmp_path / "drm", 1, "0000:04:00.0", {"vendor": "what"})
    (tmp_path / "drm" / "version").mkdir()
    (device,) = found(tmp_path).devices
    assert device.sources["free_bytes"] == "default"
    assert detect(CATALOG, tmp_path / "nowhere") == Detection()
    assert pci_bar_bytes("") is None


def test_the_engines_listing_gets_what_linux_knows(tmp_path: Path) -> None:
    card(tmp_path / "drm", 0, "0000:03:00.0", RX_6700_XT, "DP-1")
    listed = parse_listing(
        "Available devices:\n  ROCm0: AMD Radeon RX 6700 XT (12272 MiB, 11500 MiB free)\n"
        "  Vulkan0: AMD Radeon RX 6700 XT (RADV NAVI22) (12272 MiB, 11500 MiB free)\n"
    )
    assert listed is not None
    (device,) = combine(listed, found(tmp_path).devices, CATALOG).devices
    assert (device.id, device.pci_bus_id, device.display) == ("ROCm0", "0000:03:00.0", True)
    assert device.sources["display"] == "sysfs"


def test_linux_is_asked_where_nvml_is_silent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card(tmp_path / "drm", 0, "0000:03:00.0", RX_6700_XT)
    monkeypatch.setattr(detect, "__defaults__", (tmp_path / "drm", (), ()))
    monkeypatch.setattr(probe, "detect", lambda _catalog: Detection(notes=("no NVIDIA driver",)))
    rig = probe.probe_rig()
    assert [device.id for device in rig.devices] == ["Vulkan0"]
    assert rig.notes == ()
    nvidia = Detection((Device("CUDA0", "NVIDIA GeForce RTX 3060", 12 * GIB, 11 * GIB, pci_bus_id="0000:01:00.0"),))
    monkeypatch.setattr(probe, "detect", lambda _catalog: nvidia)
    assert [device.name for device in probe.probe_rig().devices] == [nvidia.devices[0].name, rig.devices[0].name]
    (tmp_path / "drm" / "card0").rename(tmp_path / "gone")
    assert probe.probe_rig().devices == nvidia.devices


@pytest.mark.skipif(not DRM.is_dir(), reason="needs Linux with a graphics driver")
def test_this_machines_own_cards_raise_nothing() -> None:
    detect(CATALOG)
