"""The steps of `splitter check`: read the command, find its model, evaluate what it would do, name its traps."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from splitter.app.events import Events
from splitter.app.planning import Wishes, margin_bytes, resolve_engine, rig_of
from splitter.engine.command import EngineRef
from splitter.engine.engines import DEFAULT, ENGINES
from splitter.engine.reading.command import MAX_TEXT, read_command
from splitter.engine.reading.script import SCRIPT_SUFFIXES, read_script
from splitter.engine.reading.value import ReadCommand
from splitter.errors import ModelNotFoundError, UsageError
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Notice, Plan


@dataclass(frozen=True, slots=True)
class Checked:
    """An evaluated command: `command` is its JSON form, as written; with `refusals` the engine would not start."""

    plan: Plan
    engine: EngineRef
    command: dict[str, Any]
    refusals: tuple[Notice, ...]


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
            f"{target} stands where the model should", "the model comes first: splitter check MODEL -ngl 40"
        )
    name, _, entry = target.partition("#")
    if name.lower().endswith(SCRIPT_SUFFIXES):
        return read_file(Path(name).expanduser(), wishes, entry)
    program = ENGINES[kind or DEFAULT.name].command_word
    return replace(read_command([program, *flags], kind=kind, version=version), model=target)


def read_file(path: Path, wishes: Wishes, entry: str = "") -> ReadCommand:
    """The command in a script; its model is found beside it. `entry` chooses one of several."""
    text = _text(path)
    if text is None:
        raise UsageError(f"cannot read {path}", "check the path")
    kind, version = wishes.values.get("engine.kind"), wishes.values.get("engine.version")
    beside = _text_beside(path.parent)
    read = read_script(text, path.name, kind=kind, version=version, entry=entry, read_text=beside)
    model = path.parent / read.model if read.model else None
    return replace(read, model=str(model)) if model is not None and model.is_file() else read


def _text(path: Path) -> str | None:
    try:
        with path.open("rb") as file:
            return file.read(MAX_TEXT + 4).decode("utf-8", errors="replace")
    except OSError:
        return None


def _text_beside(folder: Path) -> Callable[[str], str | None]:
    """Reads the files that a script in `folder` names."""
    return lambda name: _text(folder / Path(name).expanduser())


def evaluate_read(read: ReadCommand, wishes: Wishes, events: Events) -> Checked:
    """What the command does on the rig, with its traps as warnings."""
    from splitter.app.extra_models import known_extra_models
    from splitter.engine.reading.complete import complete_settings
    from splitter.engine.reading.traps import all_findings
    from splitter.plan.evaluate import evaluate

    asked, facts = wishes.values, _load(read, events)
    found = resolve_engine(read.kind, asked.get("engine.path"), asked.get("engine.version") or read.version)
    with events.step("looking at the devices"):
        rig = rig_of(wishes, found, needed=read.settings.get("gpu_layers") != 0)
    completed = complete_settings(read, facts, rig, found.version)
    plan = evaluate(
        facts,
        rig,
        completed.settings,
        margin_bytes=margin_bytes(wishes),
        engine=ENGINES[read.kind].rules(found.version),
        extra=known_extra_models(completed.settings),
    )
    notices = all_findings(read, completed, plan, rig, version=found.version)
    command = {"argv": list(read.argv), "env": dict(read.env), "line": " ".join(read.argv)}
    return Checked(replace(plan, warnings=(*notices, *plan.warnings)), found, command, read.refusals)


def _load(read: ReadCommand, events: Events) -> ModelFacts:
    from splitter.model.found import locate
    from splitter.model.load import load_model

    if not read.model:
        raise UsageError("the command names no model", "add -m FILE, or name the model first: splitter check MODEL ...")
    with events.step("reading the model's header"):
        try:
            return load_model(locate(read.model))
        except ModelNotFoundError as error:
            hint = (
                f"{error.hint} or name a model of the same shape first: splitter check MODEL --command 'LINE'".strip()
            )
            raise ModelNotFoundError(error.message, hint) from None
