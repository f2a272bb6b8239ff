"""A trial of a tune and its outcome: frozen values."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from splitter.memory.settings import Settings
from splitter.plan.placement import counts_of
from splitter.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class Candidate:
    """Settings that may be measured. `key` is equal for settings that the engine cannot tell apart.

    `axis` names what differs from the settings it was made from, `label` how, in words. `predicted` is the speed
    model's tokens per second (None: unknown). `counts` are layers by device id. `grown` is where a shortage of memory
    is to be expected: the devices that hold more than in the settings it was made from.
    """

    key: str
    label: str
    axis: str
    settings: Settings
    predicted: float | None
    counts: tuple[tuple[str, int], ...]
    grown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one launch gave: a score and the speeds behind it per repetition, or why there is none.

    A score is tokens per second of a whole request, prompt and answer. `device` is the one that a failure blames,
    `launched` False where the dry run refused before anything was started.
    """

    scores: tuple[float, ...] = ()
    generation: tuple[float, ...] = ()
    prompt: tuple[float, ...] = ()
    failed: str | None = None
    device: str | None = None
    launched: bool = True


@dataclass(frozen=True, slots=True)
class Trial:
    """One step of a tune's history; `record_id` is its record's."""

    key: str
    label: str
    outcome: Outcome
    record_id: int | None = None


def canonical(plan: Plan) -> Settings:
    """The plan's settings with its split written as layers: equal placements then read equal."""
    settings = plan.settings
    if settings.split_mode != "layer" or len(settings.device_order) < 2:
        return settings
    counts = counts_of(plan.placement)
    if not sum(counts):
        return settings
    return replace(settings, tensor_split=tuple(map(float, counts)), gpu_layers=sum(counts))


def candidate(plan: Plan, label: str, axis: str, base: Candidate | None = None) -> Candidate:
    """The candidate that `plan` makes, compared with `base`."""
    settings = canonical(plan)
    counts = tuple(zip(settings.device_order, counts_of(plan.placement), strict=True))
    before = dict(base.counts) if base else {}
    grown = tuple(name for name, count in counts if base and count > before.get(name, 0))
    return Candidate(repr(settings), label, axis, settings, plan.speed.generation_tokens_per_s, counts, grown)


def score(prompt_tokens: int, prompt_s: float, generated: int, generation_s: float) -> float:
    """Tokens per second of a whole request."""
    return (prompt_tokens + generated) / (prompt_s + generation_s)


def layers_text(counts: Sequence[tuple[str, int]]) -> str:
    """`CUDA1 14, CUDA0 11`."""
    return ", ".join(f"{name} {count}" for name, count in counts) or "CPU"
