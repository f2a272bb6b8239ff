"""Issue 4's second table: `-sm tensor` where the architecture allows it, beside the best layer split and fit.

    python -m tests.plan.tensor_table

Rooflines: in tensor mode the slowest share counts, links are taken as free, so the figures are upper bounds. The dry
run says nothing about tensor mode; that our bytes are llama.cpp's is shown by tests/memory/test_tensor_split.py.
"""

import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import exp, log

from splitter.errors import SplitterError
from splitter.model.load import load_model
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.plan.speed import BOUND
from splitter.units import MIB
from tests.engine.oracle import RIGS, skeleton
from tests.plan.builders import ONE_TOKEN
from tests.plan.table import CONTEXT, MARGIN_MIB, MISMATCHED, MODELS, emulated, fitted, speed_of


@dataclass(frozen=True)
class TensorRow:
    """Tokens per second of one pair; `refused` says why tensor mode is not possible."""

    model: str
    rig: str
    fit: float | None
    layer: float
    tensor: float | None
    refused: str
    plan: Plan | None


def row(model: str, rig_name: str) -> TensorRow:
    facts, rig = load_model(str(skeleton(model))), emulated(rig_name)
    fixed = {"context_size": CONTEXT, "parallel": 1}
    margin = (MARGIN_MIB * MIB,)
    fit = fitted(facts, rig, model)
    plain = Request(fixed=fixed, margin_bytes=margin, workload=ONE_TOKEN)
    layer = speed_of(solve(facts, rig, plain, constants=BOUND, overhead=no_overhead, details=False))
    request = replace(plain, fixed={**fixed, "split_mode": "tensor"})
    try:
        plan = solve(facts, rig, request, constants=BOUND, overhead=no_overhead, details=False)
    except SplitterError as error:
        return TensorRow(model, rig_name, fit, layer, None, error.message, None)
    return TensorRow(model, rig_name, fit, layer, plan.speed.generation_tokens_per_s, "", plan)


def rows() -> list[TensorRow]:
    """All pairs on rigs of several cards."""
    pairs = [(model, rig) for model in MODELS for rig, cards in RIGS.items() if len(cards) > 1]
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda pair: row(*pair), pairs))


def gain(table: list[TensorRow], rigs: tuple[str, ...]) -> float:
    """Geometric mean of tensor over fit where both run."""
    logs = [log(r.tensor / r.fit) for r in table if r.tensor and r.fit and r.rig in rigs]
    return exp(sum(logs) / len(logs))


def render(table: list[TensorRow]) -> Iterator[str]:
    yield f"{'model':26} {'rig':22} {'fit':>8} {'layer':>8} {'tensor':>8} {'t/fit':>6}  shares, or why not"
    for r in table:
        fit, tensor = (f"{x:8.1f}" if x else "       -" for x in (r.fit, r.tensor))
        ratio = f"{r.tensor / r.fit:6.2f}" if r.tensor and r.fit else "     -"
        split = zip(r.plan.settings.device_order, r.plan.settings.tensor_split, strict=True) if r.plan else ()
        shares = ", ".join(f"{device} {share:g}" for device, share in split)
        yield f"{r.model:26} {r.rig:22} {fit} {r.layer:8.1f} {tensor} {ratio}  {shares or r.refused[:80]}"
    every = gain(table, tuple(RIGS))
    yield f"geometric mean tensor/fit: all {every:.3f}, mismatched rigs {gain(table, MISMATCHED):.3f}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(render(rows())) + "\n")
