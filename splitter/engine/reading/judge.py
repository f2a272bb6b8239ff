"""What an understood command does on a rig, what is wrong with it, and what to run instead. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from splitter.engine.reading.complete import Completed, complete_settings
from splitter.engine.reading.culprit import Culprits, Remedy
from splitter.engine.reading.edits import differing, rewritten
from splitter.engine.reading.remote import with_workers, without_workers
from splitter.engine.reading.traps import all_findings
from splitter.engine.reading.value import ReadCommand
from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Notice, Plan
from splitter.rig.device import Rig

Evaluated = Callable[[Rig, Settings], Plan]
Solved = Callable[[Rig, Mapping[str, Any]], Plan]


@dataclass(frozen=True, slots=True)
class Judged:
    """`plan` carries the findings as warnings. `remedy` makes it fit, `instead` is the command that says so; both None
    where nothing has to change or nothing helps."""

    read: ReadCommand
    plan: Plan
    completed: Completed
    remedy: Remedy | None = None
    instead: ReadCommand | None = None
    refusals: tuple[Notice, ...] = field(default=())


def judge(
    read: ReadCommand, facts: ModelFacts, rig: Rig, evaluated: Evaluated, solved: Solved, version: str | None = None
) -> Judged:
    """`read` on `rig` by the engine's `version`. UsageError for values that the engine could not run with.

    `evaluated` is the plan of given settings, `solved` the best plan with some fields fixed (plan.evaluate, plan.solve).
    """
    whole = with_workers(rig, read)
    completed = complete_settings(read, facts, whole, version)
    plan = evaluated(whole, completed.settings)
    notices = all_findings(read, completed, plan, whole, version=version)
    here = without_workers(plan, rig)
    remedy = _remedy(read, here, plan, evaluated, solved, version)
    instead = remedy and rewritten(read, plan, remedy.plan, _names(plan, remedy), version)
    warned = replace(here, warnings=(*notices, *here.warnings))
    return Judged(read, warned, completed, remedy, instead, read.refusals)


def _names(plan: Plan, remedy: Remedy) -> tuple[str, ...]:
    """What to write: the fields that differ, and a solved split even where none was written."""
    written = set(remedy.names()) & {"tensor_split"}
    return (*differing(plan.settings, remedy.plan.settings), *written)


def _remedy(
    read: ReadCommand, here: Plan, plan: Plan, evaluated: Evaluated, solved: Solved, version: str | None
) -> Remedy | None:
    """Workers of other machines are left as they are: nothing is known about their memory."""
    if here is not plan:
        return None

    def allowed(candidate: Plan) -> bool:
        try:
            rewritten(read, plan, candidate, differing(plan.settings, candidate.settings), version)
        except UsageError:
            return False
        return True

    return Culprits(
        plan=plan,
        given=frozenset(read.settings),
        evaluate=lambda settings: evaluated(plan.rig, settings),
        solve=lambda fixed: solved(plan.rig, fixed),
        allowed=allowed,
    ).remedy()
