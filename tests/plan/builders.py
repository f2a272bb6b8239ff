"""Small models and rigs for tests, built from the values a header would give."""

from typing import Any

from splitter.engine.engines import rules_of
from splitter.model.facts import MetadataValue, ModelFacts, TensorInfo
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Goal, Request
from splitter.plan.solve import solve
from splitter.plan.speed import BOUND, Constants
from splitter.plan.workload import Workload
from splitter.rig.device import Device, Host, Rig
from splitter.units import MIB

F16, Q4_0 = 1, 2
ONE_TOKEN = Workload(0, 1)


def model(
    layers: int = 8, width: int = 1024, experts: int = 0, vocabulary: int = 8192, train: int = 32768
) -> ModelFacts:
    """A llama (or, with `experts`, a qwen3moe); one layer of width 1024 is some 8.9 MiB in Q4_0."""
    vocabulary = 8192
    tensors: list[TensorInfo] = []

    def add(name: str, *shape: int, kind: int = Q4_0) -> None:
        elements = 1
        for dimension in shape:
            elements *= dimension
        size = elements // 32 * 18 if kind == Q4_0 else elements * 2
        offset = tensors[-1].offset + tensors[-1].size_bytes if tensors else 0
        tensors.append(TensorInfo(name, shape, kind, size, offset))

    add("token_embd.weight", width, vocabulary)
    add("output_norm.weight", width, kind=F16)
    add("output.weight", width, vocabulary)
    for i in range(layers):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            add(f"blk.{i}.{part}.weight", width, width)
        for norm in ("attn_norm", "ffn_norm"):
            add(f"blk.{i}.{norm}.weight", width, kind=F16)
        if experts:
            add(f"blk.{i}.ffn_gate_inp.weight", width, experts, kind=F16)
        for part, shape in (("gate", (width, 4 * width)), ("up", (width, 4 * width)), ("down", (4 * width, width))):
            add(f"blk.{i}.ffn_{part}{'_exps' * bool(experts)}.weight", *shape, *((experts,) if experts else ()))
    name = "qwen3moe" if experts else "llama"
    values: dict[str, MetadataValue] = {
        "block_count": layers,
        "context_length": train,
        "embedding_length": width,
        "feed_forward_length": 4 * width,
        "attention.head_count": 8,
        "attention.head_count_kv": 8,
        "vocab_size": vocabulary,
    }
    if experts:
        values |= {"expert_count": experts, "expert_used_count": 2, "expert_feed_forward_length": 4 * width}
    return ModelFacts(
        path="/models/small.gguf",
        name="small",
        architecture=name,
        quantization="Q4_0",
        file_bytes=sum(t.size_bytes for t in tensors),
        layers=layers,
        context_train=train,
        parameters=0,
        vocabulary=vocabulary,
        tensors=tuple(tensors),
        metadata={f"{name}.{key}": value for key, value in values.items()},
    )


def card(number: int, free_mib: int, gb_per_s: float | None = 300, **more: Any) -> Device:
    """CUDA`number` with `free_mib` free."""
    bandwidth = gb_per_s * 1e9 if gb_per_s else None
    return Device(f"CUDA{number}", f"card {number}", (free_mib + 100) * MIB, free_mib * MIB, bandwidth, **more)


def rig(*cards: Device, ram_gb_per_s: float = 40, ram_free_mib: int | None = None) -> Rig:
    """A rig of these cards."""
    free = None if ram_free_mib is None else ram_free_mib * MIB
    return Rig("test rig", Host(ram_free_bytes=free, ram_bandwidth_bytes_per_s=ram_gb_per_s * 1e9), cards)


def plan(
    facts: ModelFacts,
    on: Rig,
    *,
    goal: Goal = "speed",
    engine: str = "llama-server",
    margin_mib: int = 0,
    details: bool = False,
    context_max: bool = False,
    constants: Constants = BOUND,
    workload: Workload = ONE_TOKEN,
    **fixed: Any,
) -> Plan:
    """Solves without driver overhead, by generation alone and bytes over bandwidth unless told otherwise."""
    request = Request(goal, fixed, context_max, (margin_mib * MIB,), rules_of(engine), workload=workload)
    return solve(facts, on, request, constants=constants, overhead=no_overhead, details=details)
