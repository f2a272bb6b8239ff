"""Issue 7, Show 2: `tune` on four emulated rigs, from a bad start and from our plan, against exhaustive measurement.

    python -m tests.bench.tune_table [RIG ...]

The bad start is an order reversed and shares by free memory, as the engine's own split would be. Exhaustive means: of
every split of the layers over every set of cards that the memory model accepts, those whose device time (bytes over
the emulator's own bandwidth, which is exact there) is within WITHIN of the best are measured, at most MOST of them, the
fastest first; equal times (the same counts in another order) once. Then the winner of the tune and the best split are
measured again, in turns.
"""

import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations, product
from pathlib import Path
from typing import Any

from splitter.bench.plain import from_plain
from splitter.bench.tune.run import TrialShape, run_trial
from splitter.engine.find import find_engine
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate_in
from splitter.plan.plan import Plan
from splitter.plan.scene import Scene
from splitter.rig.files import load_rig
from tests.bench.emulated import RIGS, TIME_SCALES, World, from_line, small_model
from tests.engine.oracle import engine_dir

WITHIN, MOST = 0.15, 12
SHAPE = TrialShape(16, 8)
FIXED = (
    "-c",
    "512",
    "-np",
    "1",
    "-ngl",
    "25",
    "--prompt-tokens",
    "16",
    "--generate",
    "8",
    "--minutes",
    "10",
    "--fresh",
)


@dataclass(frozen=True)
class Row:
    """One rig; speeds in tokens per second of slowed time."""

    rig: str
    start: float
    tuned: float
    best: float
    launches: int
    failed: int
    from_plan_launches: int
    from_plan_gain: float
    measured_splits: int

    def share(self) -> float:
        return self.tuned / self.best


class Measurer:
    """Measures settings in this process on the emulated rig."""

    def __init__(self, world: World) -> None:
        os.environ.update(world.env())
        self.engine = find_engine("llama-server", str(engine_dir().binary("llama-server")))
        self.scene = Scene(load_model(str(world.model)), load_rig(str(world.rig_file())), margin_bytes=(0,))

    def plan(self, settings: Settings) -> Plan:
        return evaluate_in(self.scene, settings)

    def speed(self, settings: Settings, repetitions: int = 2) -> float:
        done = run_trial(self.plan(settings), self.engine, SHAPE, repetitions)
        assert done.outcome.failed is None, done.outcome
        return statistics.median(done.outcome.generation)


def splits(measurer: Measurer, base: Settings) -> Iterator[Settings]:
    """The fastest splits that fit, one order each, by the emulator's exact device time."""
    ids = [device.id for device in measurer.scene.rig.devices]
    layers = measurer.scene.facts.layers + 1
    found: list[tuple[float, Settings]] = []
    for counts in product(range(layers + 1), repeat=len(ids)):
        if sum(counts) == layers:
            plan = fitting(measurer, base, dict(zip(ids, counts, strict=True)))
            if plan:
                found.append((1 / (plan.speed.generation_tokens_per_s or 1), plan.settings))
    found.sort(key=lambda item: item[0])
    for seconds, settings in found[:MOST]:
        if seconds <= found[0][0] * (1 + WITHIN):
            yield settings


def fitting(measurer: Measurer, base: Settings, counts: dict[str, int]) -> Plan | None:
    """The first order in which these counts fit."""
    from dataclasses import replace

    used = [name for name, count in counts.items() if count]
    for order in permutations(used):
        split = tuple(float(counts[name]) for name in order)
        plan = measurer.plan(replace(base, device_order=order, tensor_split=split if len(order) > 1 else ()))
        if plan.fits():
            return plan
    return None


def settings_of(data: Any) -> Settings:
    return from_plain(Settings, {**data, "tensor_split": [float(share) for share in data["tensor_split"]]})


def row(folder: Path, name: str) -> Row:
    world = World(folder, small_model(folder), RIGS[name], TIME_SCALES[name])
    ids = [f"CUDA{i}" for i in range(len(world.cards))]
    free = [card[0] for card in world.cards]
    bad = world.run("tune", "--from", from_line(world, ids[::-1], free[::-1]), *FIXED)
    ours = world.run("tune", *FIXED)
    measurer = Measurer(world)
    best_speed, best, tried = 0.0, None, 0
    for settings in splits(measurer, settings_of(bad["start"]["settings"])):
        tried += 1
        speed = measurer.speed(settings)
        if speed > best_speed:
            best_speed, best = speed, settings
    assert best is not None
    turns = [(measurer.speed(settings_of(bad["best"]["settings"])), measurer.speed(best)) for _ in range(3)]
    return Row(
        name,
        bad["start"]["generation_tokens_per_s"]["median"],
        statistics.median(tuned for tuned, _ in turns),
        statistics.median(other for _, other in turns),
        bad["launches"],
        sum(trial["failed"] is not None for trial in bad["trials"]),
        ours["launches"],
        ours["gain"],
        tried,
    )


def main(names: list[str]) -> None:
    for name in names or list(RIGS):
        with tempfile.TemporaryDirectory() as folder:
            r = row(Path(folder), name)
        sys.stdout.write(
            f"{r.rig:28} bad start {r.start:5.2f} -> tuned {r.tuned:5.2f} t/s ({r.tuned / r.start - 1:+.0%}) in "
            f"{r.launches} launches ({r.failed} failed); best of {r.measured_splits} splits {r.best:5.2f}: reached "
            f"{r.share():.1%}; from our plan {r.from_plan_launches} launches, gain {r.from_plan_gain:+.1%}\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
