"""Issue 7, Show 4: predicted against measured generation speed, before and after `calibrate`, over 12 cases.

    python -m tests.bench.calibration_table

Four emulated rigs whose cards reach other bandwidths than their rig files claim, by the known factors in WRONG. Per rig
three placements that took no part in the calibration as such: the plan, the plan with its order reversed and shares by
free memory, and a split that moves layers to the slower cards. The model of the cases has another number of layers and
another width than the one that calibrates. "Before" is what a plan without calibration promises.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from splitter.app.planner import planner_for
from splitter.bench.tune.run import TrialShape, run_trial
from splitter.engine.command import EngineRef
from splitter.engine.find import find_engine
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate_in
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.scene import Scene
from splitter.plan.solve import solve
from splitter.rig.files import load_rig
from tests.bench.emulated import RIGS, TIME_SCALES, Card, World, small_model
from tests.engine.oracle import engine_dir

WRONG = (0.62, 0.89, 0.75)  # reached / claimed, card by card
SHAPE = TrialShape(16, 8)


@dataclass(frozen=True)
class Case:
    """Tokens per second of slowed time."""

    rig: str
    what: str
    before: float
    after: float
    measured: float

    def errors(self) -> tuple[float, float]:
        return abs(self.before / self.measured - 1), abs(self.after / self.measured - 1)


def wrong_cards(name: str) -> tuple[Card, ...]:
    return tuple((free, true, round(true / WRONG[i])) for i, (free, true, _) in enumerate(RIGS[name]))


def placements(scene: Scene, plan: Plan) -> Iterator[tuple[str, Settings]]:
    """Three different ones that fit."""
    settings, total = plan.settings, scene.facts.layers + 1
    yield "our plan", settings
    devices = scene.rig.devices[::-1]
    free = tuple(float(scene.budget_bytes(device)) for device in devices)
    order = tuple(device.id for device in devices)
    yield "by free memory, reversed", replace(settings, device_order=order, tensor_split=free, gpu_layers=total)
    slow = sorted(scene.rig.devices, key=lambda device: device.bandwidth_bytes_per_s or 0)
    names = tuple(device.id for device in slow)
    for share in range(total, 0, -1):
        rest = [(total - share) // (len(names) - 1)] * (len(names) - 1)
        rest[0] += total - share - sum(rest)
        split = (float(share), *map(float, rest))
        made = replace(settings, device_order=names, tensor_split=split, gpu_layers=total)
        if evaluate_in(scene, made).fits():
            yield "as much as fits on the slowest", made
            return


def cases(folder: Path, name: str) -> Iterator[Case]:
    world = World(folder, small_model(folder), wrong_cards(name), TIME_SCALES[name])
    small_model(folder, 20, 512, 1280)
    world.run("calibrate", "--prompt-tokens", "16", "--generate", "8", "-r", "2")
    os.environ.update(world.env())
    engine = find_engine("llama-server", str(engine_dir().binary("llama-server")))
    yield from measured_cases(world, small_model(folder, 20, 512, 1280), engine, name)


def measured_cases(world: World, model: Path, engine: EngineRef, name: str) -> Iterator[Case]:
    facts, rig = load_model(str(model)), load_rig(str(world.rig_file()))
    known = planner_for(rig, engine)
    assert known.calibration is not None
    plain = Scene(facts, rig, margin_bytes=(0,))
    calibrated = Scene(facts, known.measured_rig(), margin_bytes=(0,), constants=known.constants())
    fixed = {"context_size": 512, "ubatch_size": 32, "parallel": 1, "gpu_layers": facts.layers + 1}
    plan = solve(facts, rig, Request(fixed=fixed, margin_bytes=(0,)), details=False)
    for what, settings in placements(plain, plan):
        before, after = evaluate_in(plain, settings), evaluate_in(calibrated, settings)
        done = run_trial(before, engine, SHAPE, 2)
        assert done.outcome.failed is None, (name, what, done.outcome)
        measured = statistics.median(done.outcome.generation)
        # The rig file speaks of unslowed cards; a calibration learns what was measured, slowed as it was.
        yield Case(name, what, speed(before) / world.time_scale, speed(after), measured)


def speed(plan: Plan) -> float:
    assert plan.speed.generation_tokens_per_s is not None
    return plan.speed.generation_tokens_per_s


def main() -> None:
    found: list[Case] = []
    for name in RIGS:
        with tempfile.TemporaryDirectory() as folder:
            for case in cases(Path(folder), name):
                found.append(case)
                before, after = case.errors()
                sys.stdout.write(
                    f"{case.rig:28} {case.what:32} measured {case.measured:5.2f}, promised {case.before:5.2f} "
                    f"({before:.1%} off), calibrated {case.after:5.2f} ({after:.1%} off)\n"
                )
                sys.stdout.flush()
    for which, title in enumerate(("before", "after")):
        errors = [case.errors()[which] for case in found]
        sys.stdout.write(
            f"{len(errors)} cases {title}: median {statistics.median(errors):.1%}, worst {max(errors):.1%}\n"
        )


if __name__ == "__main__":
    main()
