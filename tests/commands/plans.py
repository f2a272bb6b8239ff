"""Plans for the engine and script tests: only what a command reads of them is real."""

from dataclasses import replace
from typing import Any

from splitter.engine.engines import rules_of
from splitter.memory.footprint import Footprint, MemoryUse
from splitter.memory.settings import Settings
from splitter.model.facts import MetadataValue, ModelFacts
from splitter.plan.placement import place
from splitter.plan.plan import Plan, PlannedDevice, Speed
from splitter.rig.device import Device, Host, Rig
from splitter.units import GIB, from_mib

MODEL = "/models/Qwen2.5-32B-Instruct-Q4_K_M.gguf"
COUNTS = (31, 9, 25)


def facts(path: str = MODEL, layers: int = 64, **hparams: MetadataValue) -> ModelFacts:
    """A model of `layers` layers; `hparams` keys with __ for the dot."""
    metadata = {f"qwen2.{key.replace('__', '.')}": value for key, value in hparams.items()}
    return ModelFacts(
        path=path, name="Qwen2.5 32B Instruct", architecture="qwen2", quantization="Q4_K_M", file_bytes=19 * GIB,
        layers=layers, context_train=32768, parameters=32_763_876_352, vocabulary=152064, tensors=(), metadata=metadata,
    )  # fmt: skip


def rig(count: int = 3, backend: str = "CUDA", os: str = "linux") -> Rig:
    """A rig of `count` cards with 8 GiB each."""
    cards = tuple(Device(f"{backend}{i}", f"card {i}", from_mib(8192), from_mib(7900)) for i in range(count))
    return Rig("phoenix", Host(ram_total_bytes=64 * GIB, ram_free_bytes=60 * GIB, os=os), cards)


def plan(
    model: ModelFacts | None = None,
    on: Rig | None = None,
    engine: str = "llama-server",
    pipeline: bool = False,
    **settings: Any,
) -> Plan:
    """A plan for the three cards of `rig`, in the order CUDA2, CUDA0, CUDA1 unless `settings` say otherwise."""
    model, on = model or facts(), on or rig()
    defaults: dict[str, Any] = {
        "context_size": 4096, "gpu_layers": 65, "device_order": ("CUDA2", "CUDA0", "CUDA1"),
        "tensor_split": tuple(map(float, COUNTS)),
    }  # fmt: skip
    chosen = Settings(**{**defaults, **settings})
    order = chosen.device_order
    split = chosen.tensor_split or COUNTS
    layers = 0 if not order else chosen.gpu_layers
    placement = place(model.layers, layers, split[: len(order)] or (1.0,), len(order))
    uses = tuple(MemoryUse(model_bytes=from_mib(1000)) for _ in order)
    devices = tuple(
        PlannedDevice(on.device(name), placement.layers_on(i), placement.output_device() == i, uses[i], from_mib(512))
        for i, name in enumerate(order)
    )
    footprint = Footprint(uses, MemoryUse(model_bytes=from_mib(400)), pipeline)
    return Plan(model, on, rules_of(engine), chosen, placement, footprint, devices, Speed(20.0, 300.0))


def koboldcpp_plan(**settings: Any) -> Plan:
    """A plan with the settings that koboldcpp assumes by itself."""
    own = {"parallel": 1, "batch_size": 512, "ubatch_size": 512, "flash_attention": "on", "mmap": False}
    return plan(engine="koboldcpp", **{**own, **settings})


def with_model(old: Plan, path: str) -> Plan:
    """`old` for the model file `path`."""
    return replace(old, facts=replace(old.facts, path=path))
