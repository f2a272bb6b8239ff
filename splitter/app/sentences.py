"""A plan in sentences, as every face says them."""

from splitter.memory.footprint import MemoryUse
from splitter.model.facts import ModelFacts
from splitter.plan.extra_models import DRAFT, PROJECTOR
from splitter.plan.placement import in_ram
from splitter.plan.plan import Notice, Plan, PlannedDevice
from splitter.plan.speed_words import speed_text, turn_text
from splitter.printable import printable
from splitter.units import format_bytes, format_rate

# Said by check's first line already.
IN_THE_VERDICT = frozenset({"out_of_memory", "margin", "host_memory"})


def model_line(facts: ModelFacts) -> str:
    """What the model is."""
    return printable(
        f"{facts.name}: {facts.architecture}, {facts.quantization or 'unknown quantisation'}, "
        f"{format_bytes(facts.file_bytes)}, {facts.layers} layers"
    )


def summary_line(plan: Plan) -> str:
    """Where the layers are, the context, and the speeds."""
    s = plan.settings
    on_gpu = sum(owner is not None for owner in plan.placement.layers)
    kv = s.cache_type_k if s.cache_type_k == s.cache_type_v else f"{s.cache_type_k}/{s.cache_type_v}"
    waits = on_gpu and in_ram(s, plan.placement)
    ram = f", {format_bytes(plan.footprint.host.model_bytes)} in RAM" if waits else ""
    slots = f" ({s.parallel} slots of {s.context_size // s.parallel})" if s.parallel > 1 and not s.kv_unified else ""
    speed, turn = plan.speed, turn_text(plan.speed.turn)
    return (
        f"{on_gpu} of {len(plan.placement.layers)} layers on GPUs (output included){ram}, "
        f"context {s.context_size}{slots}, "
        f"KV {kv}, ubatch {s.ubatch_size}; {speed_text(speed.generation_tokens_per_s, speed.generation_range)} "
        f"generation, {speed_text(speed.prompt_tokens_per_s, speed.prompt_range)} prompt ({speed.basis})"
        f"{'; ' * bool(turn)}{turn}"
    )


def verdict(plan: Plan) -> str:
    """Whether it fits, and what proved it."""
    proof = ""
    if plan.verified is not None:
        difference = format_bytes(plan.verified.max_difference_bytes)
        proof = f"; verified by {plan.verified.by} {plan.verified.engine_version}, largest difference {difference}"
    if plan.fits():
        return f"fits{proof}"
    short = [f"{d.device.id} by {format_bytes(-d.headroom_bytes())}" for d in _short_devices(plan)]
    missing = host_missing_bytes(plan)
    if missing:
        short.append(f"host RAM by {format_bytes(missing)}")
    return f"does not fit: {', '.join(short)} (margin included){proof}"


def checked_verdict(plan: Plan) -> str:
    """The card that decides, and by how much."""
    host, missing = plan.footprint.host.used_bytes(), host_missing_bytes(plan)
    short = _short_devices(plan)
    told = [_lacks(device) for device in short[:1]]
    told += [f"{d.device.id} by {format_bytes(-d.headroom_bytes())}" for d in short[1:]]
    if missing:
        needs, free = format_bytes(host), format_bytes(host - missing)
        told.append(f"RAM is short by {format_bytes(missing)}: it needs {needs}, {free} is free")
    if told:
        return f"does not fit: {'; '.join(told)}"
    tightest = min(plan.devices, key=PlannedDevice.headroom_bytes, default=None)
    if tightest is None:
        return f"fits: the CPU alone needs {format_bytes(host)} of RAM"
    left = format_bytes(tightest.headroom_bytes())
    return f"fits: {_named(tightest)} is the tightest card, with {left} left after its margin"


def host_missing_bytes(plan: Plan) -> int:
    """The RAM that is not there; 0 where it is, or where nobody knows."""
    free = plan.rig.host.ram_free_bytes
    return 0 if free is None else max(0, plan.footprint.host.used_bytes() - free)


def _short_devices(plan: Plan) -> list[PlannedDevice]:
    """Those without room, the worst first."""
    return sorted((d for d in plan.devices if d.headroom_bytes() < 0), key=PlannedDevice.headroom_bytes)


def _lacks(device: PlannedDevice) -> str:
    short, needs, margin, free = map(
        format_bytes,
        (-device.headroom_bytes(), device.used_bytes(), device.margin_bytes, device.device.free_bytes),
    )
    return f"{_named(device)} is short by {short}: it needs {needs} and a margin of {margin}, {free} is free"


def _named(device: PlannedDevice) -> str:
    return printable(f"{device.device.id} ({device.device.name})")


def speed_line(plan: Plan) -> str:
    """The generation speed to expect."""
    speed = plan.speed.generation_tokens_per_s
    return "speed unknown" if speed is None else f"{format_rate(speed)} t/s predicted"


def other_parts(plan: Plan) -> str:
    """What a device holds beside model, context and compute: the parts of the plan's overheads by name."""
    uses: tuple[MemoryUse, ...] = (*(planned.memory for planned in plan.devices), plan.footprint.host)
    extra = {name for use in uses for name, _ in use.overhead} & {DRAFT, PROJECTOR}
    backends = dict.fromkeys(planned.device.backend for planned in plan.devices)
    context = f"{' and '.join(backends) or 'CUDA'} context{'s' if len(backends) > 1 else ''}"
    return ", ".join((f"{context}, reserves", *sorted(extra)))


def traps_to_tell(plan: Plan, refusals: tuple[Notice, ...], culprit: str | None) -> tuple[Notice, ...]:
    """The costliest first, without what check's first lines say."""
    told = {notice.message for notice in refusals}
    return tuple(
        notice
        for notice in plan.warnings
        if notice.code not in IN_THE_VERDICT and notice.message not in told and notice.message not in (culprit or "")
    )
