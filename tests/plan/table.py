"""Issue 4's table: our plans against llama.cpp's default split and its own planner, on the same emulated rigs.

    python -m tests.plan.table

Every plan is put to llama.cpp's dry run. Speeds are rooflines (active weights over bandwidth), computed here from the
tensor table and the flags alone, without the planner's own speed model.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import exp, log

from splitter.engine.llama_server.dry_run_rows import seen_dry
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.overhead import no_overhead
from splitter.plan.placement import place
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.plan.speed import BOUND
from splitter.rig.device import Device, Host, Rig
from splitter.units import MIB
from tests.engine.oracle import RIGS, dry_run, skeleton
from tests.plan.builders import ONE_TOKEN
from tests.plan.fit import fit_settings

MODELS = (
    "qwen2.5-32b-q4_k_m",
    "qwen2.5-7b-q8_0",
    "qwen3-4b-q4_k_m",
    "qwen3-30b-a3b-q4_k_m",
    "llama-3.1-8b-q4_k_m",
    "llama-3.3-70b-q4_k_m",
    "mistral-small-24b-q5_k_m",
    "tinyllama-1.1b-q4_0",
    "gemma-3-27b-q4_k_m",
    "gpt-oss-20b-mxfp4",
    "deepseek-v2-lite-q4_k_m",
)
MISMATCHED = tuple(name for name, rows in RIGS.items() if len({row[3] for row in rows}) > 1)
CONTEXT = 8192
MARGIN_MIB = 512
RAM_BYTES_PER_S = 40e9
COMMON = ("-c", str(CONTEXT), "-np", "1")


@dataclass(frozen=True)
class Row:
    """Tokens per second of one pair; None where that planner's command does not fit. `kept` is our smallest rest."""

    model: str
    rig: str
    ours: float
    default: float | None
    fit: float | None
    kept_mib: int
    plan: Plan

    def best_other(self) -> float:
        return max(self.default or 0.0, self.fit or 0.0)


def emulated(name: str) -> Rig:
    """The oracle's rig as a Rig, host RAM at 40 GB/s."""
    devices = tuple(
        Device(f"CUDA{i}", card, total * MIB, free * MIB, gb_per_s * 1e9)
        for i, (card, total, free, gb_per_s) in enumerate(RIGS[name])
    )
    return Rig(name, Host(ram_bandwidth_bytes_per_s=RAM_BYTES_PER_S), devices)


def flags(settings: Settings) -> list[str]:
    """The command line of a plan, as the dry run takes it."""
    args = ["-ngl", str(settings.gpu_layers), "-c", str(settings.context_size), "-np", str(settings.parallel)]
    args += ["-dev", ",".join(settings.device_order) or "none", "-ub", str(settings.ubatch_size)]
    args += ["-ctk", settings.cache_type_k, "-ctv", settings.cache_type_v, "-sm", settings.split_mode]
    args += ["-ts", ",".join(f"{share:g}" for share in settings.tensor_split)] if settings.tensor_split else []
    args += ["-ncmoe", str(settings.n_cpu_moe)] if settings.n_cpu_moe else []
    for item in settings.override_tensors:
        args += ["-ot", item]
    return args


def roofline(
    facts: ModelFacts, rig: Rig, order: Sequence[str], layers: Sequence[int | None], overrides: Sequence[str]
) -> float:
    """Active weight bytes over bandwidth, tensor by tensor."""
    used, count = facts.hparam("expert_used_count"), facts.hparam("expert_count")
    share = used / count if isinstance(used, int) and isinstance(count, int) and count else 1.0
    tied = not any(tensor.name == "output.weight" for tensor in facts.tensors)
    rules = [(re.compile(pattern), where) for pattern, where in (item.rsplit("=", 1) for item in overrides)]
    speed = {device.id: float(device.bandwidth_bytes_per_s or 0) for device in rig.devices}
    speed["CPU"] = RAM_BYTES_PER_S
    seconds = 0.0
    for tensor in facts.tensors:
        block = re.match(r"blk\.(\d+)\.", tensor.name)
        if tensor.name == "token_embd.weight" and not tied:
            continue
        owner = layers[int(block[1])] if block else layers[-1]
        home = "CPU" if owner is None else order[owner]
        moved = next((where for pattern, where in rules if pattern.search(tensor.name)), home)
        seconds += (
            tensor.size_bytes * (share if "_exps" in tensor.name else 1.0) / speed["CPU" if owner is None else moved]
        )
    return 1 / seconds


def experts_on_host(layers: int) -> tuple[str, ...]:
    """What -ncmoe expands to."""
    return tuple(rf"blk\.{i}\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU" for i in range(layers))


def speed_of(plan: Plan) -> float:
    overrides = (*plan.settings.override_tensors, *experts_on_host(plan.settings.n_cpu_moe))
    return roofline(plan.facts, plan.rig, plan.settings.device_order, plan.placement.layers, overrides)


def kept(rig: str, model: str, args: Sequence[str], order: Sequence[str]) -> int:
    """The smallest free memory that the dry run leaves on any device, MiB."""
    free = {f"CUDA{i}": row[2] for i, row in enumerate(RIGS[rig])}
    held = {row.device: row for row in dry_run(skeleton(model), RIGS[rig], args)}
    rests = [free[d] - (held[d].model_mib + held[d].context_mib + held[d].compute_mib) for d in order if d in held]
    return min(rests, default=0)


def kept_by(rig: str, model: str, plan: Plan) -> int:
    """What llama-server would leave free under the plan: by the dry run, without what that counts beside the server."""
    free = {f"CUDA{i}": row[2] for i, row in enumerate(RIGS[rig])}
    held = {row.device: row for row in dry_run(skeleton(model), RIGS[rig], flags(plan.settings))}
    uses = zip(plan.settings.device_order, plan.footprint.devices, seen_dry(plan).devices, strict=True)
    beside = {name: seen.breakdown_bytes() - use.breakdown_bytes() for name, use, seen in uses}
    rests = [
        free[name] - (row.model_mib + row.context_mib + row.compute_mib) + beside[name] // MIB
        for name, row in held.items()
        if name in beside
    ]
    return min(rests, default=0)


def default_split(facts: ModelFacts, rig: Rig, model: str) -> float | None:
    """llama.cpp without any flag: all layers, shares by free memory; None if a device overflows."""
    order = [device.id for device in rig.devices]
    if kept(rig.name, model, ("-ngl", "99", *COMMON), order) < 0:
        return None
    layers = place(facts.layers, -1, [device.free_bytes for device in rig.devices], len(order)).layers
    return roofline(facts, rig, order, layers, ())


def fitted(facts: ModelFacts, rig: Rig, model: str) -> float | None:
    """What `llama-fit-params -fitt 512` prints, placed; None if it gives up."""
    told = fit_settings(skeleton(model), rig, RIGS[rig.name], MARGIN_MIB, *COMMON)
    if told is None:
        return None
    order, split = told.device_order, told.tensor_split or tuple(device.free_bytes for device in rig.devices)
    layers = place(facts.layers, told.gpu_layers, split, len(order)).layers
    return roofline(facts, rig, order, layers, told.override_tensors)


def row(model: str, rig_name: str, facts: ModelFacts) -> Row:
    rig = emulated(rig_name)
    fixed = {"context_size": CONTEXT, "parallel": 1}
    request = Request(fixed=fixed, margin_bytes=(MARGIN_MIB * MIB,), workload=ONE_TOKEN)
    plan = solve(facts, rig, request, constants=BOUND, overhead=no_overhead, details=False)
    rest = kept_by(rig_name, model, plan)
    return Row(model, rig_name, speed_of(plan), default_split(facts, rig, model), fitted(facts, rig, model), rest, plan)


def rows(models: Sequence[str] = MODELS, rigs: Sequence[str] = tuple(RIGS)) -> list[Row]:
    """All pairs, two at a time (the engine's processes do the work)."""
    facts = {model: load_model(str(skeleton(model))) for model in models}
    with ThreadPoolExecutor(2) as pool:
        pairs = [(model, rig) for model in models for rig in rigs]
        return list(pool.map(lambda pair: row(pair[0], pair[1], facts[pair[0]]), pairs))


def gain(table: Sequence[Row], rigs: Sequence[str]) -> float:
    """Geometric mean of ours over fit where both run."""
    logs = [log(r.ours / r.fit) for r in table if r.fit and r.rig in rigs]
    return exp(sum(logs) / len(logs))


def render(table: Sequence[Row]) -> Iterator[str]:
    yield f"{'model':26} {'rig':22} {'default':>8} {'fit':>8} {'ours':>8} {'ours/fit':>8} {'kept MiB':>8}"
    for r in table:
        default, fit = (f"{x:8.1f}" if x else "       -" for x in (r.default, r.fit))
        ratio = f"{r.ours / r.fit:8.2f}" if r.fit else "       -"
        worse = " WORSE" if r.ours < 0.9999 * r.best_other() else ""
        over = " OVER" if r.plan.settings.device_order and r.kept_mib < MARGIN_MIB else ""
        yield f"{r.model:26} {r.rig:22} {default} {fit} {r.ours:8.1f} {ratio} {r.kept_mib:8}{worse}{over}"
    yield f"geometric mean ours/fit: all {gain(table, tuple(RIGS)):.3f}, mismatched rigs {gain(table, MISMATCHED):.3f}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(render(rows())) + "\n")
