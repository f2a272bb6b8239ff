"""A command judged as `splitter check` judges it, without a rig or model of the user's."""

from splitter.app.checking import oracle
from splitter.engine.engines import ENGINES
from splitter.engine.reading.command import read_command
from splitter.engine.reading.judge import Judged, judge
from splitter.model.facts import ModelFacts
from splitter.plan.planner import Planner
from splitter.rig.device import Rig


def judged(line: str, facts: ModelFacts, rig: Rig, version: str | None = None) -> Judged:
    """`line` for `facts` (whatever model it names) on `rig`."""
    read = read_command(line, version=version)
    return judge(
        read, facts, rig, oracle(facts, Planner(rig, ENGINES[read.kind].rules_of_command(read, version))), version
    )
