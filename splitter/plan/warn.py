"""Warnings about a plan: what a user should know before starting it, each with its remedy."""

from splitter.memory.host_ram import PROMPT_CACHE
from splitter.plan.extra_models import DRAFT, PROJECTOR
from splitter.plan.plan import Notice, Plan, PlannedDevice
from splitter.units import MIB, format_bytes


def warnings(plan: Plan) -> tuple[Notice, ...]:
    """All that apply, the gravest first."""
    return (
        *_unreadable(plan),
        *_overfull(plan),
        *_host(plan),
        *_growth(plan),
        *_idle(plan),
        *_extra(plan),
        *_unproven(plan),
        *_unknown_speed(plan),
    )


def _unreadable(plan: Plan) -> tuple[Notice, ...]:
    reason = plan.engine.unreadable(plan.facts)
    return (Notice("unreadable_types", *reason),) if reason else ()


def _overfull(plan: Plan) -> tuple[Notice, ...]:
    return tuple(_short(device) for device in plan.devices if device.headroom_bytes() < 0)


def _short(device: PlannedDevice) -> Notice:
    free_after = device.device.free_bytes - device.used_bytes()
    missing = format_bytes(-device.headroom_bytes())
    if free_after >= 0:
        return Notice(
            "margin",
            f"{device.device.id} ({device.device.name}) would keep {format_bytes(free_after)} free, "
            f"{missing} less than the margin of {format_bytes(device.margin_bytes)}",
            "give it fewer layers, or lower --margin",
        )
    return Notice(
        "out_of_memory",
        f"{device.device.id} ({device.device.name}) is {format_bytes(-free_after)} short: it needs "
        f"{format_bytes(device.used_bytes())} of {format_bytes(device.device.free_bytes)} free",
        "give it fewer layers, a shorter context or a smaller ubatch",
    )


def _host(plan: Plan) -> tuple[Notice, ...]:
    pool = plan.pool_headroom_bytes()
    if pool is not None and pool < 0:
        return (_pool(plan, -pool),)
    ram, used = plan.rig.host.ram_free_bytes, plan.footprint.host.used_bytes()
    if ram is None or used <= ram:
        return ()
    return (
        Notice(
            "host_memory",
            f"the host needs {format_bytes(used)} of RAM; only {format_bytes(ram)} is free",
            "put more layers on devices, or take a smaller quantisation",
        ),
    )


def _growth(plan: Plan) -> tuple[Notice, ...]:
    """RAM that the server takes while it runs, where it is more than is left once it has loaded."""
    left, parts = plan.ram_left_bytes(), plan.footprint.growth
    if left is None or left < 0 or sum(size for _, size in parts) <= left:
        return ()
    named = " and ".join(f"{format_bytes(size)} for its {name}" for name, size in parts)
    others = sum(size for name, size in parts if name != PROMPT_CACHE)
    hint = f"add --cache-ram {max(0, left - others) // MIB}" + (" --ctx-checkpoints 4" if others > left else "")
    return (
        Notice(
            "ram_growth",
            f"while it runs the server may take up to {named}; {format_bytes(left)} of RAM is free once it has loaded",
            hint,
        ),
    )


def _pool(plan: Plan, missing_bytes: int) -> Notice:
    names = ", ".join(device.name for device in plan.rig.shared())
    return Notice(
        "unified_memory",
        f"host and {names} share one memory: together they need {format_bytes(plan.pool_used_bytes())}, and "
        f"{format_bytes(plan.rig.pool_free_bytes() or 0)} is free; with the margin {format_bytes(missing_bytes)} is "
        "missing",
        "take a shorter context or a smaller quantisation: putting layers on the host frees nothing",
    )


def _idle(plan: Plan) -> tuple[Notice, ...]:
    if plan.settings.split_mode == "none":
        return ()
    return tuple(
        Notice(
            "idle_device",
            f"{device.device.id} ({device.device.name}) holds no layer, but the engine still opens a context on it",
            plan.engine.how_to_hide(device.device.id),
        )
        for device in plan.devices
        if not device.layers and not device.holds_output and not device.memory.model_bytes and not _is_home(device)
    )


def _extra(plan: Plan) -> tuple[Notice, ...]:
    return (*_uncounted(plan), *_projector(plan))


def _is_home(device: PlannedDevice) -> bool:
    return any(name in (DRAFT, PROJECTOR) for name, _ in device.memory.overhead)


def _uncounted(plan: Plan) -> tuple[Notice, ...]:
    """Models named in the settings whose headers nobody gave."""
    parts = {name for use in (*(d.memory for d in plan.devices), plan.footprint.host) for name, _ in use.overhead}
    named = ((DRAFT, plan.settings.draft_model), (PROJECTOR, plan.settings.mmproj))
    missing = " and ".join(f"the {name} {path}" for name, path in named if path and name not in parts)
    if not missing:
        return ()
    hint = "leave room: raise --margin by the size of those files and their caches"
    return (Notice("extra_models", f"the figures leave out {missing}: the header cannot be read here", hint),)


def _projector(plan: Plan) -> tuple[Notice, ...]:
    homes = (*((d.device.id, d.memory) for d in plan.devices), ("the CPU", plan.footprint.host))
    where = next((name for name, use in homes if any(part == PROJECTOR for part, _ in use.overhead)), None)
    if where is None:
        return ()
    text = f"the projector's buffers on {where} are estimated for the largest image it takes, its weights are exact"
    return (Notice("projector_estimate", text),)


def _unproven(plan: Plan) -> tuple[Notice, ...]:
    if plan.footprint.proven:
        return ()
    why = "; ".join(plan.footprint.notes) or f"{plan.facts.architecture} is not among the architectures compared"
    return (Notice("unproven", f"this memory estimate has not been checked against llama.cpp: {why}", "use --verify"),)


def _unknown_speed(plan: Plan) -> tuple[Notice, ...]:
    if plan.speed.generation_tokens_per_s is not None:
        return ()
    nameless = [d.device.id for d in plan.devices if d.device.bandwidth_bytes_per_s is None]
    what = f"the memory bandwidth of {', '.join(nameless)}" if nameless else "the bandwidth of the host's RAM"
    return (Notice("unknown_bandwidth", f"no speed is predicted: {what} is unknown", "set gb_per_s in a rig file"),)
