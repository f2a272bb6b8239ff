"""NVML: a driver that misbehaves the way the real one does. The exceptions are pynvml's own."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar

import pynvml
import pytest

from splitter.rig.files import load_catalog
from splitter.rig.host import probe_host
from splitter.rig.nvml import WORDS, detect
from splitter.rig.nvml_devices import (
    Detection,
    GpuReading,
    bandwidth,
    build_devices,
    pci_order,
    select_visible,
    sm_count,
)
from splitter.units import GIB, MIB

CATALOG = load_catalog()
NOT_SUPPORTED = pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
LOST = pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)


@dataclass
class Gpu:
    """A GPU of the fake driver; an exception as a value is raised when that value is asked for."""

    name: Any = "NVIDIA GeForce RTX 3060"
    bus_id: Any = "00000000:01:00.0"
    uuid: Any = "GPU-aaaa1111-0000-0000-0000-000000000000"
    total: Any = 12 * GIB
    free: int = 11 * GIB
    clock: Any = 7501
    bus: Any = 192
    capability: Any = (8, 6)
    cores: Any = 3584
    active: Any = 0
    mode: Any = 0
    generation: Any = 4
    lanes: Any = 16
    mig: Any = field(default_factory=lambda: NOT_SUPPORTED)
    handle: Any = None


class Driver:
    """The part of pynvml that is used, over fake GPUs; anything else is missing as in an old pynvml."""

    NVMLError = pynvml.NVMLError
    NVMLError_GpuIsLost = pynvml.NVMLError_GpuIsLost
    NVML_CLOCK_MEM = pynvml.NVML_CLOCK_MEM
    asks: ClassVar = {
        "nvmlDeviceGetName": "name", "nvmlDeviceGetUUID": "uuid", "nvmlDeviceGetMemoryBusWidth": "bus",
        "nvmlDeviceGetCudaComputeCapability": "capability", "nvmlDeviceGetNumGpuCores": "cores",
        "nvmlDeviceGetDisplayActive": "active", "nvmlDeviceGetDisplayMode": "mode",
        "nvmlDeviceGetMaxPcieLinkGeneration": "generation", "nvmlDeviceGetCurrPcieLinkWidth": "lanes",
        "nvmlDeviceGetMigMode": "mig"}  # fmt: skip

    def __init__(self, *gpus: Gpu, init: Exception | None = None, missing: tuple[str, ...] = ()) -> None:
        self.gpus = gpus
        self.init = init
        self.missing = missing
        self.open = 0

    def __getattr__(self, function: str) -> Callable[[Gpu], Any]:
        if function not in self.asks or function in self.missing:
            raise AttributeError(function)
        return lambda gpu: answer(getattr(gpu, self.asks[function]))

    def nvmlInit(self) -> None:  # noqa: N802 - NVML's names
        answer(self.init)
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.gpus)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Gpu:  # noqa: N802
        answer(self.gpus[index].handle)
        return self.gpus[index]

    def nvmlDeviceGetMemoryInfo(self, gpu: Gpu) -> Any:  # noqa: N802
        return SimpleNamespace(total=answer(gpu.total), free=gpu.free)

    def nvmlDeviceGetPciInfo(self, gpu: Gpu) -> Any:  # noqa: N802
        return SimpleNamespace(busId=answer(gpu.bus_id))

    def nvmlDeviceGetMaxClockInfo(self, gpu: Gpu, kind: int) -> Any:  # noqa: N802
        assert kind == pynvml.NVML_CLOCK_MEM
        return answer(gpu.clock)


def answer(value: Any) -> Any:
    if isinstance(value, Exception):
        raise value
    return value


def found(*gpus: Gpu, visible: str | None = None, **driver: Any) -> Detection:
    fake = Driver(*gpus, **driver)
    detection = detect(CATALOG, fake, visible)
    assert fake.open == 0, "what was opened is shut down"
    return detection


@pytest.fixture(autouse=True)
def _no_visible_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_the_fake_asks_what_pynvml_has() -> None:
    names = [*Driver.asks, *(name for name in vars(Driver) if name.startswith("nvml"))]
    assert [name for name in names if not hasattr(pynvml, name)] == []


def test_a_healthy_card() -> None:
    (device,) = found(Gpu()).devices
    assert (device.id, device.name) == ("CUDA0", "NVIDIA GeForce RTX 3060")
    assert (device.total_bytes, device.free_bytes) == (12 * GIB, 11 * GIB)
    assert device.bandwidth_bytes_per_s == pytest.approx(360e9, rel=0.001)
    assert (device.compute_capability, device.sm_count, device.display) == ("8.6", 28, False)
    assert device.link_bytes_per_s == pytest.approx(31.5e9, rel=0.001)
    assert (device.uuid, device.pci_bus_id) == ("GPU-aaaa1111-0000-0000-0000-000000000000", "00000000:01:00.0")
    assert device.sources["bandwidth_bytes_per_s"] == "nvml"
    assert device.sources["fp16_flops"] == "catalog"


def test_devices_are_in_pci_order() -> None:
    gpus = (Gpu(bus_id="00000000:0A:00.0", name="B"), Gpu(bus_id="00000000:03:00.0", name="A"),
            Gpu(bus_id="00000001:01:00.0", name="C"))  # fmt: skip
    assert [(d.id, d.name) for d in found(*gpus).devices] == [("CUDA0", "A"), ("CUDA1", "B"), ("CUDA2", "C")]
    assert pci_order("0000:0a:1f.1") == (0, 10, 31, 1)


def test_what_a_card_does_not_tell_is_unknown_or_from_the_catalog() -> None:
    mute = dict.fromkeys(("uuid", "clock", "bus", "capability", "cores", "active", "mode", "generation", "lanes"))
    gpu = Gpu(name="GRID X", **dict.fromkeys(mute, NOT_SUPPORTED))
    (device,) = found(gpu).devices
    told = (device.bandwidth_bytes_per_s, device.compute_capability, device.sm_count, device.link_bytes_per_s)
    assert told == (None,) * 4
    assert (device.display, device.uuid) == (None, None)
    (known,) = found(Gpu(clock=NOT_SUPPORTED)).devices
    assert known.bandwidth_bytes_per_s == 360e9
    assert known.sources["bandwidth_bytes_per_s"] == "catalog"


def test_an_old_pynvml_lacks_functions() -> None:
    (device,) = found(Gpu(), missing=("nvmlDeviceGetNumGpuCores", "nvmlDeviceGetMemoryBusWidth")).devices
    assert device.sources["sm_count"] == "catalog"
    assert device.sources["bandwidth_bytes_per_s"] == "catalog"


@pytest.mark.parametrize(("clock", "source"), [(7501, "nvml"), (8000, "nvml"), (810, "catalog"), (15002, "catalog")])
def test_a_bandwidth_far_off_the_public_one_is_not_believed(clock: int, source: str) -> None:
    (device,) = found(Gpu(clock=clock)).devices
    assert device.sources["bandwidth_bytes_per_s"] == source
    assert 320e9 < (device.bandwidth_bytes_per_s or 0) < 400e9


@pytest.mark.parametrize(
    ("clock", "bus", "gb_per_s"),
    [(3504, 128, 112), (4004, 192, 192), (5505, 352, 484), (9751, 384, 936), (877, 4096, 900), (14001, 512, 1792)],
)
def test_clock_times_width_holds_from_gddr5_to_gddr7_and_hbm(clock: int, bus: int, gb_per_s: float) -> None:
    reading = GpuReading("x", "0:1:0.0", memory_clock_mhz=clock, bus_bits=bus)
    assert (bandwidth(reading) or 0) / 1e9 == pytest.approx(gb_per_s, rel=0.01)


@pytest.mark.parametrize(
    ("capability", "cores", "sms"),
    [((6, 1), 768, 6), ((6, 0), 3584, 56), ((7, 5), 2944, 46), ((8, 0), 6912, 108), ((8, 6), 10496, 82),
     ((12, 0), 21760, 170), ((5, 2), 3072, None)],
)  # fmt: skip
def test_sms_from_cores(capability: tuple[int, int], cores: int, sms: int | None) -> None:
    assert sm_count(GpuReading("x", "0:1:0.0", capability=capability, cores=cores)) == sms


@pytest.mark.parametrize(
    ("active", "mode", "display"),
    [
        (1, 1, True),
        (1, 0, True),
        (0, 1, False),
        (0, 0, False),
        (NOT_SUPPORTED, 1, True),
        (NOT_SUPPORTED, 0, False),
        (NOT_SUPPORTED, NOT_SUPPORTED, None),
    ],
)
def test_display(active: Any, mode: Any, display: bool | None) -> None:
    (device,) = found(Gpu(active=active, mode=mode)).devices
    assert device.display is display


def test_a_riser_is_slow_even_if_the_card_is_not() -> None:
    (device,) = found(Gpu(name="NVIDIA GeForce GTX 1070", total=8 * GIB, generation=3, lanes=1)).devices
    assert device.link_bytes_per_s == 0.985e9


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, "no NVIDIA driver was found"),
        (pynvml.NVML_ERROR_DRIVER_NOT_LOADED, "not loaded"),
        (pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH, "restart the machine"),
        (pynvml.NVML_ERROR_NO_PERMISSION, "/dev/nvidia"),
        (pynvml.NVML_ERROR_UNKNOWN, "Unknown Error"),
    ],
)
def test_a_broken_driver_is_an_outcome_with_its_own_words(code: int, words: str) -> None:
    detection = found(Gpu(), init=pynvml.NVMLError(code))
    assert detection.devices == ()
    assert words in detection.notes[0]


def test_every_error_with_words_is_one_that_pynvml_raises() -> None:
    assert [name for name in WORDS if not issubclass(getattr(pynvml, name), pynvml.NVMLError)] == []


def test_no_gpu() -> None:
    assert found().notes == ("the NVIDIA driver runs but sees no GPU",)


@pytest.mark.parametrize("gpu", [Gpu(handle=LOST), Gpu(name=LOST), Gpu(total=LOST), Gpu(clock=LOST)])
def test_a_lost_gpu_does_not_hide_the_others(gpu: Gpu) -> None:
    detection = found(Gpu(), gpu)
    assert [d.id for d in detection.devices] == ["CUDA0"]
    assert detection.notes == (f"GPU 1: {WORDS['NVMLError_GpuIsLost']}",)


def test_unified_memory_is_the_hosts_and_mig_is_left_out_with_a_note() -> None:
    detection = found(
        Gpu(name="NVIDIA GB10", total=NOT_SUPPORTED), Gpu(name="NVIDIA A100", mig=[1, 1]), Gpu(mig=[0, 0])
    )
    shared, card = detection.devices
    assert (shared.id, shared.name, shared.unified, card.id, card.unified) == (
        "CUDA0",
        "NVIDIA GB10",
        True,
        "CUDA1",
        None,
    )
    assert shared.total_bytes == probe_host().ram_total_bytes
    assert 0 < shared.free_bytes < shared.total_bytes
    assert shared.bandwidth_bytes_per_s == 273.2e9
    assert "MIG" in detection.notes[0]


def test_a_card_that_does_not_tell_its_memory_is_left_out_with_a_note() -> None:
    (note,) = found(Gpu(name="NVIDIA Something", total=NOT_SUPPORTED)).notes
    assert "does not report its memory" in note


def test_names_may_be_bytes() -> None:
    (device,) = found(Gpu(name=b"Tesla P40", bus_id=b"0000:01:00.0", uuid=b"GPU-1")).devices
    assert (device.name, device.pci_bus_id, device.uuid) == ("Tesla P40", "0000:01:00.0", "GPU-1")


READINGS = [GpuReading(f"gpu{i}", f"0:{i}:0.0", GIB, uuid=f"GPU-{letter}1") for i, letter in enumerate("abc")]


@pytest.mark.parametrize(
    ("visible", "shown"),
    [
        (None, "012"), ("", ""), ("0,1,2", "012"), ("2,0", "20"), (" 1 ", "1"), ("GPU-b", "1"), ("GPU-c1,0", "20"),
        ("GPU-", ""), ("-1", ""), ("0,-1,1", "0"), ("0,7,1", "0"), ("NoDevFiles", ""), ("1,1", ""), ("GPU-x,0", ""),
    ],
)  # fmt: skip
def test_cuda_visible_devices(visible: str | None, shown: str) -> None:
    assert [r.name for r in select_visible(READINGS, visible)] == [f"gpu{i}" for i in shown]


def test_visible_devices_renumber_and_are_noted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    detection = detect(CATALOG, Driver(Gpu(), Gpu(name="Tesla P40", total=24576 * MIB, bus_id="00000000:02:00.0")))
    assert [(d.id, d.name) for d in detection.devices] == [("CUDA0", "Tesla P40")]
    assert detection.notes == ("CUDA_VISIBLE_DEVICES='1' shows 1 of 2 NVIDIA GPUs",)


def test_the_real_pynvml_never_raises() -> None:
    detection = detect(CATALOG)
    assert detection.devices or detection.notes


def test_a_driver_that_dies_while_it_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    class Dying(Driver):
        def nvmlDeviceGetCount(self) -> int:  # noqa: N802
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)

        def nvmlShutdown(self) -> None:  # noqa: N802
            raise pynvml.NVMLError(pynvml.NVML_ERROR_UNINITIALIZED)

    detection = detect(CATALOG, Dying(Gpu()))
    assert detection.devices == ()
    assert "Unknown Error" in detection.notes[0]


def test_without_nvidia_ml_py(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "nvidia-ml-py is missing" in detect(CATALOG).notes[0]


def test_a_card_that_cuda_visible_devices_renumbered_keeps_the_drivers_number() -> None:
    readings = [GpuReading(f"card {i}", f"00000000:0{i}:00.0", 8192 * MIB, 8000 * MIB, f"GPU-{i}") for i in range(3)]
    shown = build_devices(readings, "2,GPU-1", CATALOG).devices
    assert [(d.id, d.name, d.driver_index) for d in shown] == [("CUDA0", "card 2", 2), ("CUDA1", "card 1", None)]
    everything = build_devices(readings, None, CATALOG).devices
    assert [d.driver_index for d in everything] == [None, None, None]
