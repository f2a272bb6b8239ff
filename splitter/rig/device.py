"""Device, Host and Rig: frozen values; None is unknown, 0 is zero."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from splitter.rig.backend import prefix_of

DRIVER_SOURCES = {"nvml", "sysfs", "engine"}


@dataclass(frozen=True, slots=True)
class CardSpeed:
    """A public measurement of a card: Llama-2-7B Q4_0 on one backend, tg128 and pp512 in tokens per second."""

    backend: str
    generation_tokens_per_s: float
    prompt_tokens_per_s: float | None
    source: str


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU as the engine will see it.

    `id` is the engine's name for it (`CUDA0`, `Vulkan1`), `free_bytes` what is free before an engine starts,
    `bandwidth_bytes_per_s` the card's memory bandwidth, `fp16_flops` its dense matrix throughput in FLOP/s (prompt
    speed), `link_bytes_per_s` its PCIe link. `sources` names, per field, where the value came from:
    "nvml", "sysfs", "engine", "rig file", "given", "catalog", "default"; it takes no part in equality. Neither does
    `driver_index`, the driver's own number of the card where CUDA_VISIBLE_DEVICES made the engine's another, nor what
    the catalog says of its `family` and of public measurements of it. `unified`: it shares the host's memory. `node`
    names the other machine that it is in, `rtt_s` and `node_link_bytes_per_s` the network there, `node_id` what that
    machine calls it and `worker` the `host:port` at which its RPC worker is reached from here.
    """

    id: str
    name: str
    total_bytes: int
    free_bytes: int
    bandwidth_bytes_per_s: float | None = None
    compute_capability: str | None = None
    sm_count: int | None = None
    fp16_flops: float | None = None
    link_bytes_per_s: float | None = None
    display: bool | None = None
    uuid: str | None = None
    pci_bus_id: str | None = None
    unified: bool | None = None
    node: str | None = None
    rtt_s: float | None = None
    node_link_bytes_per_s: float | None = None
    node_id: str | None = None
    worker: str | None = None
    driver_index: int | None = field(default=None, compare=False)
    family: str | None = field(default=None, compare=False)
    measured: tuple[CardSpeed, ...] = field(default=(), compare=False)
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def backend(self) -> str:
        """The engine's backend that the id names: "CUDA", "ROCm", "Vulkan", "SYCL", "MTL"; of another machine's device
        the one that drives it there."""
        return prefix_of(self.node_id or self.id)

    @property
    def where(self) -> str:
        """How a sentence names it: "CUDA0 (RTX 2080)", "the RTX 3060 in attic"."""
        return f"the {self.name} in {self.node}" if self.node else f"{self.id} ({self.name})"

    @property
    def asked(self) -> bool:
        """Whether `free_bytes` was asked from the driver or the engine of this machine, not read from a file."""
        return self.sources.get("free_bytes") in DRIVER_SOURCES


def card_key(device: Device) -> str:
    """What names a card for good, whatever its number: the driver's UUID, else name and size."""
    return device.uuid or f"{device.name}:{device.total_bytes}"


@dataclass(frozen=True, slots=True)
class Host:
    """The machine around the devices; `os` is "linux", "windows" or "macos", `cores` physical cores."""

    ram_total_bytes: int | None = None
    ram_free_bytes: int | None = None
    ram_bandwidth_bytes_per_s: float | None = None
    cores: int | None = None
    os: str = "linux"
    sources: Mapping[str, str] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Rig:
    """A host and its devices in PCI order. `notes` are findings of the probe, in words for the user."""

    name: str
    host: Host
    devices: tuple[Device, ...]
    notes: tuple[str, ...] = ()

    def shared(self) -> tuple[Device, ...]:
        """The devices whose memory is the host's RAM: what one takes, the other lacks.

        A GPU that the firmware gave a part of its own (total and the host's free RAM fit beside each other) is none.
        """
        free, total = self.host.ram_free_bytes, self.host.ram_total_bytes
        unified = (device for device in self.devices if device.unified and device.node is None)
        if free is None or total is None:
            return tuple(unified)
        return tuple(device for device in unified if device.total_bytes + free > total)

    def pool_free_bytes(self) -> int | None:
        """Free bytes of the one pool of host and `shared` devices; None where nothing is shared.

        A device larger than the RAM that the system sees has a part of its own and up to half of that RAM (Windows).
        """
        shared = self.shared()
        if not shared or self.host.ram_free_bytes is None:
            return max((device.free_bytes for device in shared), default=None)
        ram_free, ram_total = self.host.ram_free_bytes, self.host.ram_total_bytes or 0
        own = max(device.total_bytes - ram_total // 2 if device.total_bytes > ram_total else 0 for device in shared)
        return max(ram_free + own, *(device.free_bytes for device in shared))

    def with_no_more_free(self, free_bytes: Mapping[str, int]) -> "Rig":
        """This rig with `free_bytes`, by device id, where that is less than what its devices have."""
        lower = (replace(d, free_bytes=min(d.free_bytes, free_bytes.get(d.id, d.free_bytes))) for d in self.devices)
        return replace(self, devices=tuple(lower))

    def device(self, device_id: str) -> Device:
        """The device called `device_id`; KeyError if the rig has none of that name."""
        for device in self.devices:
            if device.id == device_id:
                return device
        raise KeyError(device_id)
