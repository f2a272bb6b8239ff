"""The steps of `splitter check`: read the command, find its model, evaluate what it would do, name its traps."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitter.app.events import Events
from splitter.app.extra_models import known_extra_models
from splitter.app.planning import find_planner, plan_model
from splitter.app.wire import Status, plan_data, remedy_data
from splitter.app.wishes import Wishes, ask
from splitter.engine.command import EngineRef
from splitter.engine.engines import DEFAULT, ENGINES
from splitter.engine.reading.command import MAX_TEXT, read_command, read_flags
from splitter.engine.reading.edits import line_of, rewritten
from splitter.engine.reading.judge import Oracle, judge
from splitter.engine.reading.value import SCRIPT_SUFFIXES, ReadCommand
from splitter.errors import ModelNotFoundError, UsageError
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.model.locate import locate
from splitter.plan.plan import Notice, Plan
from splitter.plan.planner import Planner
from splitter.plan.request import Request
from splitter.plan.workload import CHAT, Workload
from splitter.rig.device import Rig

if TYPE_CHECKING:
    from splitter.engine.reading.judge import Judged, Oracle


@dataclass(frozen=True, slots=True)
class Checked:
    """An evaluated command: `command` is its JSON form, as written, with what was given beside it; with `refusals` the
    engine would not start.

    Where it does not fit: the `culprit` in a sentence, the command to run `instead` (the same form), and what that
    does (`better`); None where nothing was found.
    """

    plan: Plan
    engine: EngineRef
    command: dict[str, Any]
    refusals: tuple[Notice, ...]
    culprit: str | None = None
    instead: dict[str, Any] | None = None
    better: Plan | None = None

    @property
    def fits(self) -> bool:
        """Whether the engine would start, and every device and the host have room."""
        return not self.refusals and self.plan.fits()

    @property
    def status(self) -> Status:
        """The JSON object's status."""
        return "error" if self.refusals else "ok" if self.fits else "does_not_fit"

    def data(self) -> dict[str, Any]:
        """As JSON has it (design.md 3)."""
        return plan_data(self.plan, self.engine, self.command) | {"remedy": remedy_data(self)}


def read_target(target: str | None, line: str | None, flags: list[str], wishes: Wishes) -> ReadCommand:
    """The command in --command, in a script (`FILE#ENTRY` for one of several), or in MODEL and flags."""
    version, kind = wishes.values.get("engine.version"), wishes.values.get("engine.kind")
    if line is not None:
        read = read_command(line, kind=kind, version=version, read_text=_text_beside(Path()))
        return replace(read, model=target) if target else read
    if target is None:
        raise UsageError("nothing to check", "give a model with flags, --command 'LINE', or a .bat, .sh or .kcpps file")
    if target.startswith("-"):
        raise UsageError(
            f"{target} was given where the model belongs", "the model comes first: splitter check MODEL -ngl 40"
        )
    if _is_script(target):
        name, _, entry = target.partition("#")
        read = read_file(Path(name).expanduser(), wishes, entry)
        return replace(read, model=flags[0]) if flags and not flags[0].startswith("-") else read
    if flags and _is_script(flags[0]):  # MODEL, then the script
        return read_target(flags[0], None, [target], wishes)
    program = ENGINES[kind or DEFAULT.name].command_word
    return replace(read_flags(program, ["--model", target, *flags], kind=kind, version=version), model=target)


def read_profile(wishes: Wishes, events: Events) -> ReadCommand:
    """The command that the profile of `wishes` makes, as if it had been typed."""
    planned = plan_model(wishes, events)
    command = planned.command
    read = read_command(list(command.argv), command.env, kind=command.engine.kind, version=command.engine.version)
    return replace(read, model=planned.plan.facts.path)


def _is_script(text: str) -> bool:
    return text.partition("#")[0].lower().endswith(SCRIPT_SUFFIXES)


def read_file(path: Path, wishes: Wishes, entry: str = "") -> ReadCommand:
    """The command in a script; its model is found beside it. `entry` chooses one of several."""
    from splitter.engine.reading.script import read_script

    text = text_of(path)
    if text is None:
        raise UsageError(f"cannot read {path}", "check the path")
    kind, version = wishes.values.get("engine.kind"), wishes.values.get("engine.version")
    beside = _text_beside(path.parent)
    read = read_script(text, path.name, kind=kind, version=version, entry=entry, read_text=beside)
    model = path.parent / read.model if read.model else None
    return replace(read, model=str(model)) if model is not None and model.is_file() else read


def text_of(path: Path) -> str | None:
    """The text of a small file, whatever its encoding; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT + 4).decode("utf-8", errors="replace")
    except OSError:
        return None


def _text_beside(folder: Path) -> Callable[[str], str | None]:
    """Reads the files that a script in `folder` names."""
    return lambda name: text_of(folder / Path(name).expanduser())


def evaluate_read(
    read: ReadCommand, wishes: Wishes, events: Events, rig: Rig | None = None, names: tuple[str, ...] = ()
) -> Checked:
    """What the command does on the rig, with its traps as warnings, and what to run instead where it does not fit.

    `rig` stands in for the machine's own; one that the user names counts more. `names` are the settings of `read` that
    were given beside its words: the commands of the answer have them.
    """
    asked, facts = ask(wishes), _load(read, events)
    own = rig is None or any(wishes.values.get(f"rig.{key}") for key in ("name", "file", "gpus"))
    needed = own and read.settings.get("gpu_layers") != 0
    said = wishes.values.get("engine.version") or read.version
    engine, planner = find_planner(asked, events, kind=read.kind, version=said, needed=needed)
    planner = planner if own or rig is None else planner.on(rig)
    planner = replace(planner, engine=ENGINES[read.kind].rules_of_command(read, engine.version))
    request = asked.task.request
    known = oracle(facts, planner, request.margin_bytes, request.workload)
    with events.step("looking for what fits"):
        judged = judge(read, facts, planner.rig, known, engine.version)
    better = judged.remedy.plan if judged.remedy else None
    plan = planner.noted(planner.as_measured(judged.plan))
    command, instead = _commands(judged, names, engine.version)
    return Checked(plan, engine, command, read.refusals, judged.culprit, instead, better)


def _commands(
    judged: "Judged", names: tuple[str, ...], version: str | None
) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The command and what to run instead, each told the settings `names`."""
    read, instead = judged.read, judged.instead
    line = " ".join(read.argv)
    if names:
        read = rewritten(read, judged.plan, judged.plan, names, version)
        line = line_of(read)
        if instead is not None and judged.remedy is not None:
            instead = rewritten(instead, judged.plan, judged.remedy.plan, names, version)
    return _command(read, line), _command(instead, line_of(instead)) if instead else None


def _command(read: ReadCommand, line: str) -> dict[str, Any]:
    return {"argv": list(read.argv), "env": dict(read.env), "line": line}


def oracle(facts: ModelFacts, planner: Planner, margin: tuple[int, ...] = (), workload: Workload = CHAT) -> "Oracle":
    """The plans of `facts` by `planner`, beside what can be read of the other models that settings name."""
    known = cache(known_extra_models)
    evaluators: dict[tuple[int, str | None, str | None], Callable[[Settings], Plan]] = {}

    def evaluated(rig: Rig, settings: Settings) -> Plan:
        key = (len(rig.devices), settings.draft_model, settings.mmproj)
        if key not in evaluators:
            workers = len(rig.devices) - len(margin) if len(margin) > 1 else 0  # stand in front, and keep nothing free
            extra = known(settings.draft_model, settings.mmproj)
            margins = (*(0,) * workers, *margin)
            evaluators[key] = planner.on(rig).evaluator(facts, margin_bytes=margins, extra=extra, workload=workload)
        return evaluators[key](settings)

    def solved(rig: Rig, fixed: Mapping[str, Any]) -> Plan:
        extra = known(fixed.get("draft_model"), fixed.get("mmproj"))
        request = Request(
            fixed=fixed,
            margin_bytes=margin,
            draft=extra.draft,
            projector=extra.projector,
            workload=workload,
            hints=False,
        )
        return planner.on(rig).solve(facts, request, details=False)

    return Oracle(evaluated, solved)


def _load(read: ReadCommand, events: Events) -> ModelFacts:
    if not read.model:
        raise UsageError("the command names no model", "add -m FILE, or name the model first: splitter check MODEL ...")
    with events.step("reading the model's header"):
        try:
            return load_model(locate(read.model))
        except ModelNotFoundError as error:
            hint = (
                f"{error.hint} Or name a model of the same shape first: splitter check MODEL --command 'LINE'".strip()
            )
            raise ModelNotFoundError(error.message, hint) from None
