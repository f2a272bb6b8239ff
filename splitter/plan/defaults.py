"""What holds when the user says nothing, whatever the engine (its own defaults: engine_rules)."""

from collections.abc import Sequence

from splitter.errors import UsageError
from splitter.model.facts import ModelFacts
from splitter.plan.workload import Workload
from splitter.rig.device import Rig
from splitter.units import from_mib

# Free memory kept on every device when the request names none: half of llama.cpp's --fit-target (1024 MiB), because
# our footprint, unlike llama.cpp's, already counts the CUDA context.
DEFAULT_MARGIN_BYTES = from_mib(512)
DEFAULT_CONTEXT = 8192
CONTEXT_STEP = 256


def default_context(facts: ModelFacts, workload: Workload) -> int:
    """The context planned for when the user names none: 8192, or what a turn of the workload needs, at most the
    model's own."""
    turn = workload.prompt_tokens + workload.generated_tokens + workload.depth_tokens
    wanted = max(DEFAULT_CONTEXT, -(-turn // CONTEXT_STEP) * CONTEXT_STEP)
    return min(facts.context_train or wanted, wanted)


def margins(rig: Rig, requested: Sequence[int]) -> dict[str, int]:
    """Bytes kept free per device id. `requested` follows the rig's order; one entry serves all, none is the default."""
    if not requested:
        return {device.id: DEFAULT_MARGIN_BYTES for device in rig.devices}
    if len(requested) == 1:
        return {device.id: requested[0] for device in rig.devices}
    if len(requested) != len(rig.devices):
        raise UsageError(
            f"{len(requested)} margins for {len(rig.devices)} devices",
            "give one margin for all devices, or one per device in the order of `splitter rig`",
        )
    return {device.id: margin for device, margin in zip(rig.devices, requested, strict=True)}
