"""Footprint: what each device and the host hold, term by term. Totals are methods, never stored."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Placement:
    """Where the layers live, as llama.cpp would put them.

    `layers[i]` is the index in `Settings.device_order` of the device that holds repeating layer i, None for the host;
    the last entry is the output layer. In `-sm tensor` every GPU layer is shared by all devices with `shares`
    (fractions that sum to 1, in device order) and `layers` names any sharing device.
    """

    layers: tuple[int | None, ...]
    devices: int
    shares: tuple[float, ...] = ()

    def layers_on(self, device: int) -> tuple[int, ...]:
        """Indices of the repeating layers on `device`, the output layer not counted."""
        return tuple(i for i, owner in enumerate(self.layers[:-1]) if owner == device)

    def output_device(self) -> int | None:
        """The device of the output layer, None for the host."""
        return self.layers[-1]


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes on one device (or the host): the terms of llama.cpp's memory breakdown plus what lies outside it.

    `overhead_bytes` is what the driver and the engine take beside the breakdown (CUDA context, growth while running,
    Windows and display reserve): `overhead` names its parts.
    """

    model_bytes: int = 0
    context_bytes: int = 0
    compute_bytes: int = 0
    overhead: tuple[tuple[str, int], ...] = ()

    def overhead_bytes(self) -> int:
        return sum(size for _, size in self.overhead)

    def breakdown_bytes(self) -> int:
        """What llama.cpp's own breakdown would add up to: model + context + compute."""
        return self.model_bytes + self.context_bytes + self.compute_bytes

    def used_bytes(self) -> int:
        return self.breakdown_bytes() + self.overhead_bytes()


@dataclass(frozen=True, slots=True)
class Footprint:
    """One MemoryUse per device of `Settings.device_order`, and the host's.

    `proven` is False when the architecture (or a setting) is outside what the tests compare with llama.cpp;
    `notes` then says why, in words for the user. `pipeline` tells whether llama.cpp enables pipeline parallelism.
    `growth` names the RAM that the server may take beside `host` while it runs, at most.
    """

    devices: tuple[MemoryUse, ...]
    host: MemoryUse
    pipeline: bool = False
    growth: tuple[tuple[str, int], ...] = ()
    proven: bool = True
    notes: tuple[str, ...] = field(default=())
