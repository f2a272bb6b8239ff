"""Plan: the solved placement with everything needed to explain, prove, write down and launch it."""

from dataclasses import dataclass, field

from splitter.memory.footprint import Footprint, MemoryUse, Placement
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.engine_rules import EngineRules
from splitter.rig.device import Device, Rig


@dataclass(frozen=True, slots=True)
class PlannedDevice:
    """One device with what it holds; `layers` are repeating layers, in order.

    The devices of `settings.device_order` come first, in its order; behind them those that only a draft model or a
    projector uses.
    """

    device: Device
    layers: tuple[int, ...]
    holds_output: bool
    memory: MemoryUse
    margin_bytes: int

    def used_bytes(self) -> int:
        return self.memory.used_bytes()

    def headroom_bytes(self) -> int:
        """Free memory left after use and margin; negative when the device does not fit."""
        return self.device.free_bytes - self.used_bytes() - self.margin_bytes


@dataclass(frozen=True, slots=True)
class Bound:
    """Tokens per second that no engine exceeds: weights over bandwidth, and products over the peak throughput."""

    generation_tokens_per_s: float | None
    prompt_tokens_per_s: float | None


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the workload: so many tokens in and out with `depth_tokens` in the cache, and its seconds."""

    prompt_tokens: int
    generated_tokens: int
    depth_tokens: int
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second that a user will see with a short context, prompts in full micro-batches; None = unknown.

    `basis`: `typical` of published runs, `calibrated` by runs on these cards, `measured` for this very command (and
    `bound` where only bytes over bandwidth count). Four fifths of runs lie within the ranges (low, high).
    """

    generation_tokens_per_s: float | None
    prompt_tokens_per_s: float | None
    basis: str = "typical"
    generation_range: tuple[float, float] | None = None
    prompt_range: tuple[float, float] | None = None
    bound: Bound | None = None
    turn: Turn | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A warning with its stable code, sentence and remedy."""

    code: str
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Verified:
    """Proof by the engine's dry run: `max_difference_bytes` is the largest |estimate - engine| over devices."""

    by: str
    engine_version: str
    max_difference_bytes: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Settings, where they put every layer, what that costs and what it brings.

    An alternative has a `title`, and the `flags` that ask for it.
    """

    facts: ModelFacts
    rig: Rig
    engine: EngineRules
    settings: Settings
    placement: Placement
    footprint: Footprint
    devices: tuple[PlannedDevice, ...]
    speed: Speed
    reasons: tuple[str, ...] = ()
    warnings: tuple[Notice, ...] = ()
    alternatives: tuple["Plan", ...] = ()
    verified: Verified | None = None
    title: str = ""
    flags: tuple[str, ...] = ()
    extra: tuple[str, ...] = field(default=())

    def fits(self) -> bool:
        """Every device keeps its margin, the host's share fits the free RAM (unknown RAM counts as enough), and both
        together the memory that they share."""
        ram = self.rig.host.ram_free_bytes
        host_fits = ram is None or self.footprint.host.used_bytes() <= ram
        pool = self.pool_headroom_bytes()
        return host_fits and all(d.headroom_bytes() >= 0 for d in self.devices) and (pool is None or pool >= 0)

    def ram_left_bytes(self) -> int | None:
        """Free RAM once everything is loaded; None where the free RAM is unknown, negative where it does not fit."""
        pool = self.pool_headroom_bytes()
        ram = self.rig.host.ram_free_bytes
        left = None if ram is None else ram - self.footprint.host.used_bytes()
        return left if pool is None else pool if left is None else min(left, pool)

    def pool_used_bytes(self) -> int:
        """What host and the devices that share its memory use of it together."""
        shared = {device.id for device in self.rig.shared()}
        used = sum(planned.used_bytes() for planned in self.devices if planned.device.id in shared)
        return used + self.footprint.host.used_bytes()

    def pool_headroom_bytes(self) -> int | None:
        """Free memory left in the pool of host and unified devices, after use and margins; None without a pool."""
        free = self.rig.pool_free_bytes()
        shared = {device.id for device in self.rig.shared()}
        margins = [planned.margin_bytes for planned in self.devices if planned.device.id in shared]
        return None if free is None or not margins else free - self.pool_used_bytes() - max(margins)
