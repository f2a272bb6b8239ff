"""Issue 7, Show 3: the plan against the engine's own placement and a split by free memory, on mismatched emulated rigs.

    python -m tests.bench.mismatched [ROUNDS]

Rigs and model are those of tests/plan/real_time.py; every alternative is launched, measured and stopped in turn.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from splitter.bench.alternatives import alternatives
from splitter.bench.duel import Duel, DuelOutcome, duel
from splitter.bench.measure import Sweep
from splitter.bench.verdict import Ratio, paired, speeds
from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.model.load import load_model
from splitter.run.endpoint import any_free_port
from tests.engine.oracle import VERSION, engine_dir
from tests.plan.real_time import RIGS, TIME_SCALE, as_rig, ours, small_model

MISMATCHED = ("phoenix / 100", "twelve-and-twentyfour / 300", "flagship-mix / 500")
FIT_MARGIN = ("-fitt", "0")  # these cards have tens of MiB, the default margin is 1 GiB


def outcomes(model: Path, rig: str, rounds: int, repetitions: int) -> tuple[DuelOutcome, ...]:
    """Plan, fit and proportional on one rig."""
    engine = engine_dir()
    plan = ours(load_model(str(model)), as_rig(rig))
    reference = EngineRef("llama-server", str(engine.binary("llama-server")), VERSION)
    command = build_command(plan, reference, Server(port=any_free_port()))
    env = {**command.env, **engine.env(RIGS[rig], RIG_EMULATOR_TIME_SCALE=str(TIME_SCALE))}
    seen = ("--device", ",".join(device.id for device in as_rig(rig).devices))  # else this build has the CPU alone
    more = {"plan": (), "fit": (*seen, *FIT_MARGIN), "proportional": seen}
    listed = [
        replace(a, command=replace(a.command, argv=(*a.command.argv, *more[a.name])))
        for a in alternatives(replace(command, env=env))
    ]
    return duel(listed, Duel(Sweep(16, 12), rounds, repetitions))


def ratio(outcome: DuelOutcome, plan: DuelOutcome) -> Ratio | None:
    """The plan's generation speed over the outcome's, round by round."""
    if not outcome.points or not plan.points:
        return None
    return paired(speeds(plan.points[0])[1], speeds(outcome.points[0])[1])


def line(rig: str, outcome: DuelOutcome, plan: DuelOutcome) -> str:
    """One row of the table."""
    head = f"{rig:28} {outcome.alternative.name:13}"
    if outcome.error:
        return f"{head} not measured: {outcome.error}"
    found = outcome.points[0].generation_tokens_per_s
    assert found is not None
    text = f"{head} {found.median:6.2f} t/s ({found.minimum:.2f}-{found.maximum:.2f})"
    over = None if outcome is plan else ratio(outcome, plan)
    if over is None:
        return text
    interval = "too few rounds" if over.low is None else f"{over.low:.3f} to {over.high:.3f}"
    return f"{text}  plan / it {over.ratio:.3f} (95 % {interval}), {over.verdict}"


def main(rigs: Sequence[str], rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = small_model(Path(folder))
        for rig in rigs:
            found = outcomes(model, rig, rounds, 1)
            for outcome in found:
                sys.stdout.write(line(rig, outcome, found[0]) + "\n")
            sys.stdout.flush()


if __name__ == "__main__":
    main(MISMATCHED, int(sys.argv[1]) if sys.argv[1:] else 3)
