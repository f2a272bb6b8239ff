"""One backend for a rig: chosen by the makers of its cards, or asked for; ids follow."""

import pytest

from splitter.errors import RigError
from splitter.rig.backends import backend_name, choose_backend
from splitter.rig.catalog import find
from splitter.rig.files import load_catalog, rig_from_gpus
from splitter.rig.rig_file import parse_rig

CATALOG = load_catalog()


@pytest.mark.parametrize(
    ("gpus", "ids"),
    [
        ("3090,3060", "CUDA0 CUDA1"),
        ("RX 6800,RTX 3060", "Vulkan0 Vulkan1"),
        ("RX 6800", "Vulkan0"),
        ("A770,B580", "Vulkan0 Vulkan1"),
        ("MI300X,MI300X", "ROCm0 ROCm1"),
        ("MI50", "Vulkan0"),
        ("M2 Max", "MTL0"),
        ("GB10", "CUDA0"),
        ("8060S,W6800", "Vulkan0 Vulkan1"),
    ],
)
def test_the_makers_choose(gpus: str, ids: str) -> None:
    assert [device.id for device in rig_from_gpus(gpus).devices] == ids.split()


@pytest.mark.parametrize(
    ("gpus", "asked", "ids"),
    [
        ("3090,3060", "vulkan", "Vulkan0 Vulkan1"),
        ("RX 6800,RX 6800", "rocm", "ROCm0 ROCm1"),
        ("B580", "sycl", "SYCL0"),
        ("3090", "cuda", "CUDA0"),
    ],
)
def test_a_backend_that_is_asked_for(gpus: str, asked: str, ids: str) -> None:
    assert [device.id for device in rig_from_gpus(gpus, asked).devices] == ids.split()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("gpus", "asked", "remedy"),
    [("RX 6800,RTX 3060", "cuda", "vulkan"), ("3090", "rocm", "cuda"), ("3090", "metal", "cuda")],
)
def test_a_backend_that_does_not_drive_a_card_is_refused(gpus: str, asked: str, remedy: str) -> None:
    with pytest.raises(RigError, match="does not drive the") as caught:
        rig_from_gpus(gpus, asked)  # type: ignore[arg-type]
    assert remedy in caught.value.hint


def test_ids_of_a_rig_file_stand_and_are_named_back() -> None:
    text = "devices: [{name: RX 6800, id: Vulkan0, total_mib: 16384}, {name: RTX 3060, id: CUDA0, total_mib: 12288}]"
    assert [d.id for d in parse_rig(text, "here", "r", CATALOG, "linux").devices] == ["Vulkan0", "CUDA0"]
    assert (backend_name("CUDA0"), backend_name("MTL0"), backend_name("RPC[1.2.3.4:5]")) == ("cuda", "metal", None)


def test_nothing_known_is_nvidias() -> None:
    assert choose_backend([("Some Card", find(CATALOG, "Some Card"))]) == "cuda"
    assert choose_backend([]) == "cuda"
