"""What holds when the user says nothing: per engine, because the engines' own defaults differ."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.request import EngineKind
from splitter.rig.device import Rig
from splitter.units import from_mib

# Free memory kept on every device when the request names none: half of llama.cpp's --fit-target (1024 MiB), because
# our footprint, unlike llama.cpp's, already counts the CUDA context.
DEFAULT_MARGIN_BYTES = from_mib(512)
DEFAULT_CONTEXT = 8192
CONTEXT_STEP = 256
# koboldcpp adds this to --contextsize when it creates the context (reference: 1.64 to 1.123).
KOBOLDCPP_CONTEXT_PADDING = 128
KOBOLDCPP_BATCHES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def default_settings(engine: EngineKind, version: str | None = None) -> dict[str, Any]:  # noqa: ARG001
    """Fields of Settings that `engine` would assume itself.

    llama-server and the embedded server: 4 slots over one unified cache, -b 2048, -ub 512. koboldcpp: one sequence,
    and one batch size that is also the micro-batch.
    """
    if engine == "koboldcpp":
        return {"parallel": 1, "kv_unified": True, "batch_size": 512, "ubatch_size": 512, "mmap": False}
    return {"parallel": 4, "kv_unified": True, "batch_size": 2048, "ubatch_size": 512}


def default_context(facts: ModelFacts) -> int:
    """The context planned for when the user names none: the model's own, at most 8192."""
    return min(facts.context_train or DEFAULT_CONTEXT, DEFAULT_CONTEXT)


def engine_settings(settings: Settings, engine: EngineKind) -> Settings:
    """`settings` as the engine's llama.cpp core sees them: what the memory model must be asked about."""
    if engine == "koboldcpp":
        return replace(settings, context_size=settings.context_size + KOBOLDCPP_CONTEXT_PADDING)
    return settings


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
