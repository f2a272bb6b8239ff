"""Issue 12, Show 4: seconds of a turn under our plan and under the placement of llama.cpp's own `--fit`.

    python -m tests.plan.turn_table

Both are priced by the same speed model, at the same context and margin, on the oracle's rigs with their cards' values
from the catalog; what `llama-fit-params` prints is placed as llama.cpp does it, with the engine's own micro-batch.
"""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from math import exp, log

from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.defaults import default_context
from splitter.plan.evaluate import evaluate
from splitter.plan.overhead import no_overhead
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.plan.workload import WORKLOADS
from splitter.rig.defaults import fill_from_catalog
from splitter.rig.device import Rig
from splitter.rig.files import load_catalog
from splitter.units import MIB
from tests.engine.oracle import RIGS, skeleton
from tests.plan.fit import fit_settings
from tests.plan.table import MARGIN_MIB, MODELS, emulated

NAMES = ("chat", "agent")
AS_GOOD = 1.01


@dataclass(frozen=True)
class TurnRow:
    """Seconds of a turn; `fit` is None where llama.cpp gives up or nothing fits it."""

    model: str
    rig: str
    workload: str
    ours: Plan
    fit: Plan | None

    def ratio(self) -> float | None:
        return seconds(self.ours) / seconds(self.fit) if self.fit else None


def seconds(plan: Plan) -> float:
    assert plan.speed.turn
    assert plan.speed.turn.seconds
    return plan.speed.turn.seconds


def known(name: str) -> Rig:
    """The oracle's rig with its cards' compute from the catalog."""
    rig = emulated(name)
    return replace(rig, devices=tuple(fill_from_catalog(device, load_catalog()) for device in rig.devices))


def row(model: str, rig_name: str, workload: str, facts: ModelFacts) -> TurnRow:
    rig, turn, margin = known(rig_name), WORKLOADS[workload], (MARGIN_MIB * MIB,)
    size = default_context(facts, turn)
    request = Request(fixed={"context_size": size, "parallel": 1}, margin_bytes=margin, workload=turn)
    ours = solve(facts, rig, request, overhead=no_overhead, details=False)
    told = fit_settings(skeleton(model), rig, RIGS[rig.name], MARGIN_MIB, "-c", str(size), "-np", "1")
    fit = evaluate(facts, rig, told, margin_bytes=margin, overhead=no_overhead, workload=turn) if told else None
    return TurnRow(model, rig_name, workload, ours, fit)


def rows(models: Sequence[str] = MODELS, rigs: Sequence[str] = tuple(RIGS)) -> Iterator[TurnRow]:
    """All pairs, two at a time."""
    facts = {model: load_model(str(skeleton(model))) for model in models}
    cases = [(model, rig, workload, facts[model]) for model in models for rig in rigs for workload in NAMES]
    with ThreadPoolExecutor(2) as pool:
        yield from pool.map(lambda case: row(*case), cases)


def render(table: Sequence[TurnRow]) -> Iterator[str]:
    yield f"{'model':26} {'rig':22} {'turn':6} {'ours s':>8} {'fit s':>8} {'ratio':>6}  -ub, -sm"
    for each in table:
        ratio, settings = each.ratio(), each.ours.settings
        told = f"{seconds(each.fit):8.1f} {ratio:6.2f}" if each.fit and ratio else f"{'-':>8} {'-':>6}"
        worse = " WORSE" if ratio and ratio > AS_GOOD else ""
        mine = f"{each.model:26} {each.rig:22} {each.workload:6} {seconds(each.ours):8.1f}"
        yield f"{mine} {told}  {settings.ubatch_size} {settings.split_mode}{worse}"
    for workload in NAMES:
        ratios = [r for each in table if each.workload == workload and (r := each.ratio())]
        mean = exp(sum(map(log, ratios)) / len(ratios))
        yield f"{workload}: {len(ratios)} pairs, geometric mean of ours / fit {mean:.3f}, worst {max(ratios):.3f}"


if __name__ == "__main__":
    sys.stdout.write("\n".join(render(list(rows()))) + "\n")
