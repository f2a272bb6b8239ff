"""Sensors: a driver that misbehaves the way the real one does, mid-run too. The exceptions are pynvml's own."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import pynvml
import pytest

from splitter.rig.card_reading import CardReading
from splitter.rig.device import Device, Host, Rig
from splitter.rig.nvml import WORDS, driver_version
from splitter.rig.sensors import REOPEN_READS, Sensors, read_cards
from splitter.rig.throttle import throttle_words
from splitter.units import GIB, MIB
from tests.rig.test_nvml import LOST, NOT_SUPPORTED, Driver, Gpu, answer
from tests.rig.test_sysfs import RX_6700_XT, card

MISMATCH = pynvml.NVMLError(pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH)
UNKNOWN = pynvml.NVMLError(pynvml.NVML_ERROR_UNKNOWN)
TOO_OLD = pynvml.NVMLError(pynvml.NVML_ERROR_FUNCTION_NOT_FOUND)


@dataclass
class Card(Gpu):
    """A card with sensors."""

    load: Any = 37
    heat: Any = 71
    power: Any = 142_500
    limit: Any = 170_000
    clocks: Any = (1830, 7300)
    events: Any = 0x4
    older: Any = 0x24
    energy: Any = 5_000_250


class Watched(Driver):
    """The sensors of pynvml over fake cards."""

    asks: ClassVar = {
        **Driver.asks, "nvmlDeviceGetPowerUsage": "power", "nvmlDeviceGetEnforcedPowerLimit": "limit",
        "nvmlDeviceGetCurrentClocksEventReasons": "events", "nvmlDeviceGetCurrentClocksThrottleReasons": "older",
        "nvmlDeviceGetTotalEnergyConsumption": "energy"}  # fmt: skip

    def nvmlSystemGetDriverVersion(self) -> str:  # noqa: N802
        return "550.54.14"

    def nvmlDeviceGetMemoryInfo(self, gpu: Any) -> Any:  # noqa: N802
        total = answer(gpu.total)
        return SimpleNamespace(total=total, free=gpu.free, used=total - gpu.free)

    def nvmlDeviceGetUtilizationRates(self, gpu: Any) -> Any:  # noqa: N802
        return SimpleNamespace(gpu=answer(gpu.load), memory=99)

    def nvmlDeviceGetTemperature(self, gpu: Any, sensor: int) -> Any:  # noqa: N802
        assert sensor == pynvml.NVML_TEMPERATURE_GPU
        return answer(gpu.heat)

    def nvmlDeviceGetClockInfo(self, gpu: Any, kind: int) -> Any:  # noqa: N802
        return answer(gpu.clocks)[(pynvml.NVML_CLOCK_SM, pynvml.NVML_CLOCK_MEM).index(kind)]


@pytest.fixture(autouse=True)
def _no_visible_devices(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whatever cards of AMD or Intel the machine that runs the tests has."""
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(Sensors.__init__, "__defaults__", (None, None, tmp_path / "no cards"))


def rig(*devices: Device) -> Rig:
    return Rig("test", Host(), devices)


def test_the_fake_asks_what_pynvml_has() -> None:
    names = [*Watched.asks, *(name for name in vars(Watched) if name.startswith("nvml"))]
    assert [name for name in names if not hasattr(pynvml, name)] == []


def test_a_healthy_card() -> None:
    fake = Watched(Card())
    readings = read_cards(nvml=fake)
    uuid = "GPU-aaaa1111-0000-0000-0000-000000000000"
    assert readings.cards == (
        CardReading("CUDA0", "NVIDIA GeForce RTX 3060", uuid, GIB, 11 * GIB, 12 * GIB, 0.37, 71, 142.5, 170.0, 1830,
                    7300, ("power cap",), 5000.25),
    )  # fmt: skip
    assert (readings.driver_version, readings.note) == ("550.54.14", "")
    assert fake.open == 0, "what was opened is shut down"


def test_the_driver_alone_is_asked_and_given_back() -> None:
    fake = Watched(Card())
    assert driver_version(fake) == "550.54.14"
    assert fake.open == 0


@pytest.mark.parametrize(
    ("reasons", "words"),
    [
        (0, ()), (0x1, ()), (0x2, ()), (0x10, ()), (0x100, ()), (0x4, ("power cap",)), (0x20, ("thermal",)),
        (0x48, ("thermal (hardware)",)), (0x88, ("power brake",)), (0x8, ("hardware slowdown",)),
        (0x25, ("power cap", "thermal")),
    ],
)  # fmt: skip
def test_reasons_in_words(reasons: int, words: tuple[str, ...]) -> None:
    assert throttle_words(reasons) == words


def test_the_bits_are_nvmls() -> None:
    words = {
        "SwPowerCap": "power cap", "SwThermalSlowdown": "thermal", "HwThermalSlowdown": "thermal (hardware)",
        "HwPowerBrakeSlowdown": "power brake", "HwSlowdown": "hardware slowdown"}  # fmt: skip
    for name, word in words.items():
        assert throttle_words(getattr(pynvml, f"nvmlClocksEventReason{name}")) == (word,)


def test_what_a_card_does_not_support_is_unknown_and_hides_nothing_else() -> None:
    fields = ("load", "heat", "power", "limit", "clocks", "events", "older", "energy")
    mute = Card(bus_id="00000000:02:00.0", **dict.fromkeys(fields, NOT_SUPPORTED))
    first, second = read_cards(nvml=Watched(Card(), mute)).cards
    assert first.power_w == 142.5
    unknown = (second.utilization, second.temperature_c, second.power_w, second.power_limit_w, second.sm_clock_mhz)
    assert (*unknown, second.memory_clock_mhz, second.throttled, second.energy_j) == (None,) * 8
    assert second.used_bytes == GIB


@pytest.mark.parametrize("missing", [(), ("nvmlDeviceGetCurrentClocksEventReasons",)])
def test_an_older_driver_is_asked_by_the_older_name(missing: tuple[str, ...]) -> None:
    (reading,) = read_cards(nvml=Watched(Card(events=TOO_OLD), missing=missing)).cards
    assert reading.throttled == ("power cap", "thermal")


def test_cuda_visible_devices_renumbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    fake = Watched(Card(), Card(name="Tesla P40", bus_id="00000000:02:00.0"))
    assert [(c.device_id, c.name) for c in read_cards(nvml=fake).cards] == [("CUDA0", "Tesla P40")]


def test_a_rig_names_the_cards_by_slot_by_uuid_or_by_name() -> None:
    fake = Watched(
        Card(bus_id="00000000:05:00.0", uuid="GPU-b", heat=50),
        Card(bus_id="00000000:01:00.0", uuid="GPU-a", heat=60),
        Card(name="NVIDIA GeForce RTX 2080", bus_id="00000000:07:00.0", uuid="GPU-c", total=8 * GIB, heat=70),
    )
    wanted = rig(
        Device("CUDA2", "RTX 2080", 8192 * MIB, 0),
        Device("CUDA0", "x", 12 * GIB, 0, uuid="GPU-b"),
        Device("CUDA1", "x", 12 * GIB, 0, pci_bus_id="0000:01:00.0"),
        Device("CUDA3", "GTX 1060 6GB", 6 * GIB, 0),
    )
    readings = read_cards(wanted, fake)
    assert [(c.device_id, c.temperature_c) for c in readings.cards] == [("CUDA2", 70), ("CUDA0", 50), ("CUDA1", 60)]
    assert readings.note == "CUDA3 (GTX 1060 6GB) is not a card of this machine"


@pytest.mark.parametrize("error", [LOST, UNKNOWN])
def test_a_card_lost_mid_run_leaves_the_others(error: Exception) -> None:
    lost = Card(bus_id="00000000:02:00.0")
    with Sensors(nvml=Watched(Card(), lost)) as sensors:
        assert sensors.read().note == ""
        lost.total = error
        readings = sensors.read()
    assert [(c.device_id, c.temperature_c) for c in readings.cards] == [("CUDA0", 71), ("CUDA1", None)]
    assert readings.note.startswith("CUDA1: ")
    assert readings.cards[1].used_bytes is None


def test_a_card_lost_between_two_questions() -> None:
    readings = read_cards(nvml=Watched(Card(power=LOST)))
    assert readings.cards[0].used_bytes is None
    assert readings.note == f"CUDA0: {WORDS['NVMLError_GpuIsLost']}"


def test_a_driver_that_goes_away_and_comes_back() -> None:
    gpu = Card()
    fake = Watched(gpu)
    sensors = Sensors(nvml=fake)
    assert sensors.read().cards[0].used_bytes == GIB
    gpu.total = fake.init = MISMATCH
    assert "restart the machine" in sensors.read().note
    assert fake.open == 0
    asked = [sensors.read() for _ in range(REOPEN_READS)]
    assert all("restart the machine" in readings.note for readings in asked)
    gpu.total, fake.init = 12 * GIB, None
    back = [bool(sensors.read().cards) for _ in range(REOPEN_READS)]
    assert back[-1]
    assert sensors.read().note == ""
    sensors.close()
    sensors.close()
    assert fake.open == 0


@pytest.mark.parametrize("error", [MISMATCH, UNKNOWN, pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)])
def test_no_driver_is_a_note(error: Exception, tmp_path: Path) -> None:
    fake = Watched(Card(), init=error)
    with Sensors(nvml=fake, drm=tmp_path) as sensors:
        readings = sensors.read()
    assert readings.cards == ()
    assert readings.note


def test_a_driver_that_dies_while_its_cards_are_counted() -> None:
    class Dying(Watched):
        def nvmlDeviceGetCount(self) -> int:  # noqa: N802
            raise UNKNOWN

    fake = Dying(Card())
    assert "Unknown Error" in read_cards(nvml=fake).note
    assert fake.open == 0


def test_the_real_pynvml_never_raises() -> None:
    readings = read_cards()
    assert readings.cards or readings.note


def make_amd(drm: Path, files: dict[str, int]) -> None:
    card(drm, 0, "0000:03:00.0", RX_6700_XT)
    monitor = drm / "card0" / "device" / "hwmon" / "hwmon3"
    monitor.mkdir(parents=True)
    (drm / "card0" / "device" / "gpu_busy_percent").write_text("88\n", encoding="ascii")
    for name, value in files.items():
        (monitor / name).write_text(f"{value}\n", encoding="ascii")


AMD_FILES = {"temp1_input": 64000, "power1_average": 181_000_000, "power1_cap": 186_000_000,
             "freq1_input": 2_424_000_000, "freq2_input": 1_000_000_000}  # fmt: skip


def test_an_amd_card_through_sysfs(tmp_path: Path) -> None:
    make_amd(tmp_path, AMD_FILES)
    with Sensors(nvml=Watched(init=MISMATCH), drm=tmp_path) as sensors:
        readings = sensors.read()
    (reading,) = readings.cards
    assert (reading.used_bytes, reading.total_bytes) == (700 * MIB, 12272 * MIB)
    assert (reading.utilization, reading.temperature_c, reading.power_w) == (0.88, 64.0, 181.0)
    assert (reading.power_limit_w, reading.sm_clock_mhz, reading.memory_clock_mhz) == (186.0, 2424, 1000)
    assert (reading.throttled, reading.energy_j, readings.note) == (None, None, "")


def test_an_amd_card_beside_an_nvidia_card_is_read_too(tmp_path: Path) -> None:
    make_amd(tmp_path, AMD_FILES)
    wanted = rig(
        Device("Vulkan0", "NVIDIA GeForce RTX 3060", 12 * GIB, 0, pci_bus_id="0000:01:00.0"),
        Device("Vulkan1", "AMD Radeon RX 6700 XT", 12272 * MIB, 0, pci_bus_id="0000:03:00.0"),
    )
    fake = Watched(Card(bus_id="00000000:01:00.0"), Card(bus_id="00000000:02:00.0", name=LOST))
    for asked, ids in ((wanted, ["Vulkan0", "Vulkan1"]), (None, ["CUDA0", "Vulkan0"])):
        with Sensors(asked, fake, tmp_path) as sensors:
            readings = sensors.read()
        assert [(c.device_id, c.temperature_c) for c in readings.cards] == list(zip(ids, (71, 64), strict=True))
        assert readings.note.startswith("GPU 1: ")
        assert "is not a card of this machine" not in readings.note


def test_an_amd_card_that_is_unplugged(tmp_path: Path) -> None:
    make_amd(tmp_path, AMD_FILES)
    with Sensors(nvml=Watched(init=MISMATCH), drm=tmp_path) as sensors:
        before = sensors.read().cards[0]
        (tmp_path / "card0").rename(tmp_path / "gone")
        after = sensors.read().cards[0]
    assert after == replace(CardReading(before.device_id, before.name), total_bytes=before.total_bytes)
