"""What the user's own flags cost: memory of a card that stays empty while they keep weights in RAM."""

from collections.abc import Collection

from splitter.memory.settings import Settings
from splitter.plan.placement import in_ram
from splitter.plan.plan import Plan, PlannedDevice
from splitter.plan.speed_words import speed_text
from splitter.units import GIB, format_bytes

LEAST_BYTES = GIB  # less than this is left empty by any plan
WORTH = 1.1  # generation must be faster by a tenth without the flags


def keeping(plan: Plan, given: Collection[str]) -> tuple[str, ...]:
    """Those of the `given` settings that keep weights in RAM while a card stays empty; () where none does."""
    roomy = _roomiest(plan)
    if roomy is None or roomy.headroom_bytes() < LEAST_BYTES or not in_ram(plan.settings, plan.placement):
        return ()
    return tuple(name for name in _ASKED if name in given and _ASKED[name](plan.settings, plan))


def wasted_text(plan: Plan, better: Plan | None, flags: Collection[str]) -> str | None:
    """The sentence for a plan that is `better` without the `flags`; None where that brings too little."""
    now = plan.speed.generation_tokens_per_s
    then = better.speed.generation_tokens_per_s if better else None
    roomy = _roomiest(plan)
    if not now or not then or then < WORTH * now or roomy is None:
        return None
    left = f"{format_bytes(roomy.headroom_bytes())} of {roomy.device.id} ({roomy.device.name})"
    return f"{' '.join(flags)} leaves {left} empty: without, {speed_text(then)} instead of {speed_text(now)}"


def _roomiest(plan: Plan) -> PlannedDevice | None:
    return max(plan.devices, key=PlannedDevice.headroom_bytes, default=None)


def _moves_experts(settings: Settings, _: Plan) -> bool:
    return settings.n_cpu_moe > 0


def _moves_all_experts(settings: Settings, _: Plan) -> bool:
    return settings.cpu_moe


def _leaves_layers(settings: Settings, plan: Plan) -> bool:
    return 0 < settings.gpu_layers < len(plan.placement.layers)


def _overrides(settings: Settings, _: Plan) -> bool:
    return any(item.rpartition("=")[2] == "CPU" for item in settings.override_tensors)


_ASKED = {
    "cpu_moe": _moves_all_experts,
    "n_cpu_moe": _moves_experts,
    "gpu_layers": _leaves_layers,
    "override_tensors": _overrides,
}
