"""What an understood command does on a rig, what is wrong with it, and what to run instead. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

from splitter.engine.reading.complete import complete_settings
from splitter.engine.reading.remote import with_workers, without_workers
from splitter.engine.reading.traps import all_findings, costliest_first
from splitter.engine.reading.value import ReadCommand
from splitter.errors import DoesNotFitError, UsageError
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Notice, Plan
from splitter.plan.wasted import keeping, wasted_text
from splitter.rig.device import Rig

if TYPE_CHECKING:
    from splitter.engine.reading.culprit import Remedy


@dataclass(frozen=True, slots=True)
class Oracle:
    """Plans of one model and engine on a rig: `evaluate` of given settings, `solve` with some fields fixed (raises
    DoesNotFitError and UsageError)."""

    evaluate: Callable[[Rig, Settings], Plan]
    solve: Callable[[Rig, Mapping[str, Any]], Plan]


@dataclass(frozen=True, slots=True)
class Judged:
    """`plan` carries the findings as warnings. `culprit` is why it does not fit, in a sentence; `remedy` makes it fit,
    and `instead` is the command that says so. None where nothing has to change, or nothing helps."""

    read: ReadCommand
    plan: Plan
    culprit: str | None = None
    remedy: "Remedy | None" = None
    instead: ReadCommand | None = None
    refusals: tuple[Notice, ...] = ()


def judge(read: ReadCommand, facts: ModelFacts, rig: Rig, oracle: Oracle, version: str | None = None) -> Judged:
    """`read` on `rig` by the engine's `version`. UsageError for values that the engine could not run with."""
    whole = with_workers(rig, read)
    completed = complete_settings(read, facts, whole, version)
    plan = oracle.evaluate(whole, completed.settings)
    notices = all_findings(read, completed, plan, whole, version=version)
    here = without_workers(plan, rig)
    warnings = costliest_first((*notices, *here.warnings))
    judged = Judged(read, replace(here, warnings=warnings), refusals=read.refusals)
    if here is not plan:
        return judged  # a worker's memory is unknown
    remedy = _remedy(read, plan, oracle, version)
    if remedy is None:
        waste = _waste(read, plan, oracle, version)
        return replace(judged, plan=replace(judged.plan, warnings=costliest_first((*warnings, *waste))))
    from splitter.engine.reading.blame import blame
    from splitter.engine.reading.edits import rewritten

    instead = rewritten(read, plan, remedy.plan, _written(plan, remedy), version)
    return replace(judged, culprit=blame(read, plan, remedy), remedy=remedy, instead=instead)


def _waste(read: ReadCommand, plan: Plan, oracle: Oracle, version: str | None) -> tuple[Notice, ...]:
    """What the command's own flags cost, where they keep weights in RAM beside empty cards."""
    names = keeping(plan, read.settings) if plan.fits() else ()
    if not names:
        return ()
    from splitter.engine.reading.edits import flags_of, rewritten

    # fractions of layers (-ot) are more than a person wants to read: whole layers, whole experts
    free = {*names, "gpu_layers", *({"tensor_split"} - set(read.settings)), "override_tensors"}
    kept = {field.name: getattr(plan.settings, field.name) for field in fields(Settings) if field.name not in free}
    wanted = {name: value for name, value in (kept | {"override_tensors": ()}).items() if value is not None}
    try:
        better = oracle.solve(plan.rig, wanted)
    except (UsageError, DoesNotFitError):
        return ()
    flags = flags_of(read, names) or flags_of(rewritten(read, plan, plan, names, version), names)  # given beside it
    text = wasted_text(plan, better, flags)
    return (Notice("memory_wasted", text, "leave it to the plan: splitter plan MODEL"),) if text else ()


def _written(plan: Plan, remedy: "Remedy") -> tuple[str, ...]:
    """The fields to write: those that differ, and a solved split even where none was written."""
    from splitter.engine.reading.edits import differing

    solved = set(remedy.names()) & {"tensor_split"}
    return (*differing(plan.settings, remedy.plan.settings), *solved)


def _remedy(read: ReadCommand, plan: Plan, oracle: Oracle, version: str | None) -> "Remedy | None":
    if plan.fits():
        return None
    from splitter.engine.reading.culprit import Culprits
    from splitter.engine.reading.edits import differing, rewritten

    def allowed(candidate: Plan) -> bool:
        try:
            rewritten(read, plan, candidate, differing(plan.settings, candidate.settings), version)
        except UsageError:
            return False
        return True

    return Culprits(
        plan=plan,
        given=frozenset(read.settings),
        evaluate=lambda settings: oracle.evaluate(plan.rig, settings),
        solve=lambda fixed: oracle.solve(plan.rig, fixed),
        allowed=allowed,
    ).remedy()
