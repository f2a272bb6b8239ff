"""What the cards say of themselves while an engine runs: memory, load, heat, power, clocks.

NVIDIA through NVML, AMD and Intel through Linux' sysfs. No driver, a driver that goes away, a lost GPU: each is an
outcome with words (`Readings.note`), never an exception.
NVML: https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceQueries.html
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from splitter.rig import nvml as driver
from splitter.rig import sysfs
from splitter.rig.card_reading import CardReading, Readings
from splitter.rig.catalog import Catalog
from splitter.rig.combine import worth_beside
from splitter.rig.device import Device, Rig
from splitter.rig.files import load_catalog
from splitter.rig.host import host_memory
from splitter.rig.nvml_devices import GpuReading, build_devices
from splitter.rig.same_card import cards_of_rig
from splitter.rig.sysfs_sensors import read_sysfs_card
from splitter.rig.throttle import throttle_words

REOPEN_READS = 30  # a driver that did not answer is asked anew only at every so many readings


class Sensors:
    """Open sensors for many readings: NVML is started once. `close` gives it back; so does leaving a `with`.

    With a `rig` its devices are read, under its ids; without one every card, numbered as CUDA numbers them.
    `nvml` replaces pynvml, `drm` /sys/class/drm.
    """

    def __init__(self, rig: Rig | None = None, nvml: Any = None, drm: Path = sysfs.DRM) -> None:
        self._rig = rig
        self._nvml = nvml
        self._drm = drm
        self._open = False
        self._handles: tuple[tuple[Device, Any], ...] = ()
        self._others: tuple[Device, ...] = ()
        self._notes: tuple[str, ...] = ()
        self._version: str | None = None
        self._wait_reads = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self) -> Readings:
        """Every card now. Never raises."""
        if not self._open:
            self._reopen()
        cards, lost = self._read_nvidia()
        others = tuple(read_sysfs_card(device, self._drm) for device in self._others)
        note = "; ".join(dict.fromkeys((*self._notes, *lost)))
        return Readings((*cards, *others), self._version, note)

    def close(self) -> None:
        """Gives NVML back; twice is fine."""
        if self._open:
            driver.shut_down(self._nvml)
        self._open, self._handles = False, ()

    def _reopen(self) -> None:
        if self._wait_reads:
            self._wait_reads -= 1
            return
        self._wait_reads = REOPEN_READS - 1
        catalog = load_catalog()
        found, self._notes = self._open_nvml(catalog)
        others = sysfs.detect(catalog, self._drm).devices
        if found:
            others = worth_beside(others)
        elif others or (self._rig is not None and not any(d.backend == "CUDA" for d in self._rig.devices)):
            self._notes = ()  # what NVIDIA's driver says is nothing to an owner of other cards
        cards = (*(device for device, _ in found), *others)
        wanted, unknown = (cards, ()) if self._rig is None else cards_of_rig(self._rig.devices, cards)
        if cards:
            self._notes += tuple(f"{device.id} ({device.name}) is not a card of this machine" for device in unknown)
        by_slot = {device.pci_bus_id: handle for device, handle in found}
        self._handles = tuple((d, by_slot[d.pci_bus_id]) for d in wanted if d.pci_bus_id in by_slot)
        self._others = tuple(device for device in wanted if device.pci_bus_id not in by_slot)

    def _open_nvml(self, catalog: Catalog) -> tuple[list[tuple[Device, Any]], tuple[str, ...]]:
        """The cards with their handles, and what is wrong in words."""
        if self._nvml is None:
            try:
                import pynvml
            except ImportError:
                return [], ("the Python package nvidia-ml-py is missing: NVIDIA GPUs cannot be watched",)
            self._nvml = pynvml
        try:
            self._nvml.nvmlInit()
        except self._nvml.NVMLError as error:
            return [], (driver.in_words(error),)
        self._open = True
        self._version = driver.read_driver_version(self._nvml)
        try:
            return self._list_cards(catalog)
        except self._nvml.NVMLError as error:
            self.close()
            return [], (driver.in_words(error),)

    def _list_cards(self, catalog: Catalog) -> tuple[list[tuple[Device, Any]], tuple[str, ...]]:
        handles: dict[str, Any] = {}
        readings: list[GpuReading] = []
        notes: list[str] = []
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                handle = self._nvml.nvmlDeviceGetHandleByIndex(index)
                readings.append(driver.read_gpu(self._nvml, handle))
                handles[readings[-1].pci_bus_id] = handle
            except self._nvml.NVMLError as error:
                notes.append(f"GPU {index}: {driver.in_words(error)}")
        # A rig knows its cards by slot, whatever CUDA_VISIBLE_DEVICES said when it was read.
        visible = os.environ.get("CUDA_VISIBLE_DEVICES") if self._rig is None else None
        found = build_devices(readings, visible, catalog, host_memory())
        notes += found.notes
        return [(device, handles[device.pci_bus_id or ""]) for device in found.devices], tuple(notes)

    def _read_nvidia(self) -> tuple[list[CardReading], list[str]]:
        cards: list[CardReading] = []
        notes: list[str] = []
        for device, handle in self._handles:
            named = CardReading(device.id, device.name, device.uuid, total_bytes=device.total_bytes)
            try:
                cards.append(self._read_card(named, handle))
            except self._nvml.NVMLError as error:
                cards.append(named)
                notes.append(f"{device.id}: {driver.in_words(error)}")
        if notes and len(notes) == len(self._handles):  # the whole driver is gone: a restarted one needs new handles
            self.close()
            self._wait_reads, self._notes = REOPEN_READS - 1, tuple(notes)
        return cards, notes

    def _read_card(self, named: CardReading, handle: Any) -> CardReading:
        """NVMLError when the card tells nothing at all; what it does not support is None."""
        memory = self._nvml.nvmlDeviceGetMemoryInfo(handle)
        load = self._ask("nvmlDeviceGetUtilizationRates", handle)
        return replace(
            named,
            used_bytes=int(memory.used),
            free_bytes=int(memory.free),
            total_bytes=int(memory.total),
            utilization=None if load is None else load.gpu / 100,
            temperature_c=self._ask("nvmlDeviceGetTemperature", handle, 0),  # NVML_TEMPERATURE_GPU
            power_w=thousandths(self._ask("nvmlDeviceGetPowerUsage", handle)),
            power_limit_w=thousandths(self._ask("nvmlDeviceGetEnforcedPowerLimit", handle)),
            sm_clock_mhz=self._ask("nvmlDeviceGetClockInfo", handle, 1),  # NVML_CLOCK_SM
            memory_clock_mhz=self._ask("nvmlDeviceGetClockInfo", handle, 2),  # NVML_CLOCK_MEM
            throttled=self._throttled(handle),
            energy_j=thousandths(self._ask("nvmlDeviceGetTotalEnergyConsumption", handle)),
        )

    def _throttled(self, handle: Any) -> tuple[str, ...] | None:
        """Drivers before 535 know the question by its older name."""
        for question in ("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons"):
            reasons = self._ask(question, handle)
            if reasons is not None:
                return throttle_words(int(reasons))
        return None

    def _ask(self, question: str, *arguments: Any) -> Any:
        return driver.ask(self._nvml, question, *arguments)


def read_cards(rig: Rig | None = None, nvml: Any = None) -> Readings:
    """Every card once: see `Sensors`. Never raises."""
    with Sensors(rig, nvml) as sensors:
        return sensors.read()


def thousandths(value: int | None) -> float | None:
    """NVML tells power in milliwatts and energy in millijoules."""
    return None if value is None else value / 1000
