"""Every use case by its name: plain values in, the object of `--json` out. HTTP asks here what the terminal asks."""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from splitter.app.events import Events
from splitter.app.keywords import checked_wishes, path_of
from splitter.app.wire import Status, envelope, error_item, status_of
from splitter.app.wishes import Wishes, ask
from splitter.errors import RecordsError, SplitterError, UsageError

Kind = Literal["text", "texts", "integer", "integers", "number", "boolean"]


@dataclass(frozen=True, slots=True)
class Field:
    """A value that belongs to one question alone; the profile's keys are no fields."""

    name: str
    kind: Kind
    about: str
    default: Any = None
    required: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a question came to: the object's `data`, and what it says beside it."""

    data: Any
    status: Status = "ok"
    errors: tuple[dict[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Given:
    """What was asked with: the question's `own` values, and the `keywords` that are the profile's keys."""

    own: Mapping[str, Any]
    keywords: Mapping[str, Any]

    def wishes(self) -> Wishes:
        """The keywords, looked at."""
        named = {name: value for name, value in self.keywords.items() if name not in {"model", "profile"}}
        return checked_wishes(self.keywords.get("model"), self.keywords.get("profile"), named)

    def __getitem__(self, name: str) -> Any:
        return self.own[name]


@dataclass(frozen=True, slots=True)
class Question:
    """One use case. `command` is what the object calls it; `wishes`: the profile's keys may be given; `reads`: it
    changes nothing and starts nothing; `long`: it takes longer than somebody waits, and tells how far it is."""

    name: str
    command: str
    about: str
    answer: Callable[[Given, Events], Any]
    fields: tuple[Field, ...] = ()
    wishes: bool = False
    reads: bool = True
    long: bool = False


def answered(name: str, values: Mapping[str, Any], events: Events) -> dict[str, Any]:
    """The object of `--json` for the question `name`; what goes wrong is told in it. UsageError for no question."""
    question = QUESTIONS.get(name)
    if question is None:
        raise UsageError(f"there is no question {name!r}", "see the list in docs/ui.md")
    try:
        found = question.answer(given(question, values), events)
    except SplitterError as error:
        return envelope(question.command, status_of(error), None, [error_item(error)])
    if not isinstance(found, Found):
        found = Found(found)
    return envelope(question.command, found.status, found.data, list(found.errors))


def given(question: Question, values: Mapping[str, Any]) -> Given:
    """`values` parted into the question's own and the profile's. UsageError for one that it does not know."""
    own = {field.name: read(field, values.get(field.name)) for field in question.fields}
    others = {name: value for name, value in values.items() if name not in own and value is not None}
    if not question.wishes:
        if others:
            known = ", ".join(own) or "none"
            raise UsageError(f"{question.name} does not know {next(iter(others))!r}", f"it takes: {known}")
        return Given(own, {})
    return Given(own, {name: as_written(name, value) for name, value in others.items()})


def as_written(name: str, value: Any) -> Any:
    """The value of a keyword; the text of a web address or a form is read as the profile's key wants it."""
    if name in {"model", "profile", "rig"} or not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    from splitter.app.profiles import value_of_words

    return value if value in {"max", "all"} else value_of_words(path_of(name, value), value)


def read(field: Field, value: Any) -> Any:
    """One own value, of its kind. UsageError that names it."""
    if value is None or value == "":
        if field.required:
            raise UsageError(f"{field.name} is missing", f"give {field.name}: {field.about}")
        return field.default
    try:
        return _READERS[field.kind](value)
    except (TypeError, ValueError):
        raise UsageError(f"{field.name} is not {_WORDS[field.kind]}", f"{field.name}: {field.about}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(_text(item) for item in value) if isinstance(value, list | tuple) else (_text(value),)


def _integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, float) and value != int(value)):
        raise TypeError
    return int(value)


def _integers(value: Any) -> tuple[int, ...]:
    items = value.split(",") if isinstance(value, str) else value if isinstance(value, list | tuple) else [value]
    return tuple(_integer(item) for item in items)


def _number(value: Any) -> float:
    number = float(value)
    if isinstance(value, bool) or not abs(number) < 1e15:
        raise ValueError
    return number


def _boolean(value: Any) -> bool:
    known = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}
    if isinstance(value, bool):
        return value
    if str(value).lower() not in known:
        raise ValueError
    return known[str(value).lower()]


_READERS: Mapping[Kind, Callable[[Any], Any]] = {
    "text": _text,
    "texts": _texts,
    "integer": _integer,
    "integers": _integers,
    "number": _number,
    "boolean": _boolean,
}
_WORDS: Mapping[Kind, str] = {
    "text": "a text",
    "texts": "a list of texts",
    "integer": "a whole number",
    "integers": "a list of whole numbers",
    "number": "a number",
    "boolean": "true or false",
}


# Rig and models


def _rig(asked: Given, events: Events) -> Found:
    from splitter.app.planning import find_planner, no_device
    from splitter.app.wire import rig_data
    from splitter.engine.engines import ENGINES

    chosen, planner = find_planner(ask(asked.wishes()), events, needed=False)
    found = planner.rig
    if found.devices or ENGINES[chosen.kind].cpu_only:
        return Found(rig_data(found))
    return Found(rig_data(found), "error", (error_item(no_device(found)),))


def _cards(asked: Given, _: Events) -> Any:
    from splitter.app.wire import cards_data
    from splitter.errors import RigError
    from splitter.rig.catalog import nearest_names
    from splitter.rig.files import known_cards, load_catalog

    found = known_cards(asked["words"])
    if not found:
        near = nearest_names(load_catalog(), asked["words"])
        hint = f"did you mean {' or '.join(near)}?" if near else "`splitter rig --cards` lists all"
        raise RigError(f"no card is known as '{asked['words']}'", hint)
    return cards_data(found)


def _models(asked: Given, events: Events) -> Any:
    from splitter.app.answers import models_data
    from splitter.app.listing import list_models

    listing = list_models(asked["text"], asked.wishes(), events)
    return models_data(listing.models, listing.rig, listing.notes)


def _inspect(asked: Given, events: Events) -> Any:
    from splitter.app.answers import inspect_data
    from splitter.app.planning import read_model
    from splitter.model.locate import locate

    return inspect_data(read_model(locate(asked["model"]), events))


def _pull(asked: Given, events: Events) -> Any:
    from splitter.app.pulling import pull

    pulled = pull(asked.wishes(), events)
    reason = pulled.ranking.advice.reason if pulled.ranking else None
    size = Path(pulled.path).stat().st_size
    return {"model": pulled.reference, "path": pulled.path, "bytes": size, "reason": reason}


# Plan, check, script


def _plan(asked: Given, events: Events) -> Any:
    from splitter.app.planning import plan_model
    from splitter.app.ranking import rank, several_models

    wishes = asked.wishes()
    choice = several_models(wishes, events)
    if choice is not None:
        return _ranked(rank(choice, events))
    return plan_model(wishes, events, verify=asked["verify"]).data()


def _rank(asked: Given, events: Events) -> Found:
    from splitter.app.ranking import rank, several_models

    wishes = asked.wishes()
    choice = several_models(wishes, events)
    if choice is None:
        raise UsageError(f"{ask(wishes).model()} is one model", "name a folder of several models, or hf:OWNER/REPO")
    return _ranked(rank(choice, events))


def _ranked(ranking: Any) -> Found:
    from splitter.app.answers import advice_data

    data = advice_data(ranking.name, ranking.rig, ranking.advice)
    return Found(data, "ok" if ranking.advice.fits() else "does_not_fit")


def _check(asked: Given, events: Events) -> Found:
    from splitter.app.checking import evaluate_read, read_profile, read_target
    from splitter.app.wire import remedy_data

    wishes = asked.wishes()
    target, line = asked["target"], asked["command"]
    if wishes.profile is not None:
        read = read_profile(wishes, events)
    else:
        read = read_target(target, line, list(asked["flags"]), wishes)
    checked = evaluate_read(read, wishes, events)
    status: Status = "error" if checked.refusals else "ok" if checked.plan.fits() else "does_not_fit"
    refusals = tuple(asdict(refusal) for refusal in checked.refusals)
    return Found(checked.data() | {"remedy": remedy_data(checked)}, status, refusals)


def _check_log(asked: Given, events: Events) -> Found:
    from splitter.app.checking_log import check_log, log_data
    from splitter.app.wire import remedy_data

    wishes = asked.wishes()
    model = wishes.values.get("model")
    rest = replace(wishes, values={key: value for key, value in wishes.values.items() if key != "model"})
    found = check_log(asked["text"], model, rest, events)
    data = log_data(found)
    if found.checked is not None:
        data |= {"remedy": remedy_data(found.checked)}
    status: Status = "does_not_fit" if found.story.short else "error" if found.story.failure else "ok"
    return Found(data, status)


def _script(asked: Given, events: Events) -> Any:
    from splitter.app.planning import plan_script
    from splitter.app.scripting import Kinds, rendered
    from splitter.script.write import write_files

    planned = plan_script(asked.wishes(), events)
    kinds = Kinds(asked["kcpps"], asked["systemd"], asked["portable"], asked["task_xml"])
    files = rendered(planned, kinds, asked["name"], "splitter ui")
    written = write_files(files, asked["folder"], force=asked["force"])
    return {"files": [str(path) for path in written], "argv": list(planned.command.argv)}


def _script_text(asked: Given, events: Events) -> Any:
    from splitter.app.planning import plan_script
    from splitter.app.scripting import Kinds, rendered

    planned = plan_script(asked.wishes(), events)
    kinds = Kinds(asked["kcpps"], asked["systemd"], asked["portable"], asked["task_xml"])
    files = rendered(planned, kinds, asked["name"], "splitter ui")
    texts = [{"name": file.name, "text": file.content.decode("utf-8", "replace")} for file in files]
    return {"files": texts, "argv": list(planned.command.argv)}


# What runs


def _launch(asked: Given, events: Events) -> Any:
    from splitter.app.background import launch_in_background
    from splitter.app.launching import launch_words
    from splitter.run.entry import entry_data

    entry, _ = launch_in_background(launch_words(asked.wishes(), asked["name"]), 80, events)
    return entry_data(entry)


def _restart(asked: Given, events: Events) -> Any:
    from splitter.app.background import launch_in_background
    from splitter.app.instances import stop_instances
    from splitter.app.launching import words_again
    from splitter.run.entry import entry_data

    words = words_again(asked["name"])
    stop_instances((asked["name"],), asked["timeout"], events)
    entry, _ = launch_in_background(words, 80, events)
    return entry_data(entry)


def _ps(_: Given, __: Events) -> Any:
    from splitter.run.entry import entry_data
    from splitter.run.registry import Registry

    return {"instances": [entry_data(entry) for entry in Registry().entries()]}


def _logs(asked: Given, _: Events) -> Any:
    from splitter.app.instances import log_lines

    called, path, entry, lines, _mark = log_lines(asked["name"], asked["lines"])
    return {"name": called, "log_file": str(path), "running": entry is not None, "lines": lines}


def _stop(asked: Given, events: Events) -> Any:
    from splitter.app.instances import stop_instances

    names = asked["names"]
    if bool(names) == asked["all"]:
        problem = "all and a name exclude each other" if names else "no instance is named"
        raise UsageError(problem, "name instances, or all")
    stopped = stop_instances(None if asked["all"] else names, asked["timeout"], events)
    return {"stopped": [entry.name for entry in stopped]}


# What is measured


def _bench(asked: Given, events: Events) -> Any:
    from splitter.app.answers import bench_data
    from splitter.app.api import bench

    keywords = {name: value for name, value in asked.keywords.items() if name not in {"model", "profile"}}
    record = bench(
        asked.keywords.get("model"),
        profile=asked.keywords.get("profile"),
        url=asked["url"],
        **_sweep(asked),
        save=asked["save"],
        label=asked["label"],
        events=events,
        **keywords,
    )
    return bench_data(record)


def _sweep(asked: Given) -> dict[str, Any]:
    names = ("prompt_tokens", "generate", "depths", "concurrency", "repetitions")
    return {name: asked[name] for name in names} | {"budget_s": asked["budget"]}


def _compare(asked: Given, events: Events) -> Found:
    from splitter.app.answers import duel_data
    from splitter.app.measuring import BenchWishes, bench_alternatives, plan_beside
    from splitter.app.recording import check_keeping, keep
    from splitter.bench.measure import Sweep
    from splitter.bench.stopping import Stopping
    from splitter.engine.reading.command import read_command

    check_keeping(asked["save"])
    wishes, line = asked.wishes(), asked["command"]
    stopping = Stopping(asked["repetitions"], asked["budget"] or Stopping().budget_s)
    sweep = Sweep(asked["prompt_tokens"], asked["generate"], asked["depths"], asked["concurrency"], stopping)
    told = BenchWishes(sweep, asked["label"], asked["save"], asked["rounds"], asked["budget"] is not None)
    engine = wishes.values.get("engine.kind")
    read = None if line is None else read_command(line, kind=engine, version=wishes.values.get("engine.version"))
    records = bench_alternatives(plan_beside(wishes, read, events), read, told, events)
    if asked["save"]:
        ids = keep(records)
        records = tuple(replace(record, id=number) for record, number in zip(records, ids, strict=True))
    return Found(duel_data(records), "error" if records[0].error else "ok")


def _records(asked: Given, _: Events) -> Any:
    from splitter.bench.records.export import summary
    from splitter.bench.records.record import KINDS
    from splitter.bench.records.records import Records

    kind = asked["kind"]
    if kind is not None and kind not in KINDS:
        raise UsageError(f"there are no measurements of the kind {kind!r}", f"the kinds are {', '.join(KINDS)}")
    with Records() as kept:
        found = kept.list(kind=kind, limit=asked["limit"])
    return {"records": [summary(record) for record in found]}


def _record(asked: Given, _: Events) -> Any:
    from splitter.bench.records.record import to_dict
    from splitter.bench.records.records import Records

    with Records() as kept:
        return to_dict(kept.get(asked["id"]))


def _compare_records(asked: Given, _: Events) -> Any:
    from splitter.app.answers import ratio_data
    from splitter.bench.records.records import Records
    from splitter.bench.verdict import compare_records

    first, second = asked["first"], asked["second"]
    with Records() as kept:
        points = compare_records(kept.get(first), kept.get(second))
    return {"first": first, "second": second, "points": [ratio_data(item) for item in points]}


def _export(asked: Given, _: Events) -> Any:
    from splitter.bench.records.export import FORMATS
    from splitter.bench.records.records import Records

    form, ids = asked["format"], asked["ids"]
    if form not in FORMATS:
        raise UsageError(f"there is no format {form!r}", f"the formats are {', '.join(FORMATS)}")
    with Records() as kept:
        found = tuple(kept.get(number) for number in ids) if ids else kept.list()
    if not found:
        raise RecordsError("nothing has been measured yet", "run `splitter bench MODEL`")
    return {"ids": [record.id for record in found], "format": form, "path": None, "text": FORMATS[form](found)}


def _delete(asked: Given, _: Events) -> Any:
    from splitter.bench.records.records import Records

    with Records() as kept:
        gone = [number for number in asked["ids"] if kept.delete(number)]
    missing = [number for number in asked["ids"] if number not in gone]
    if missing:
        raise RecordsError(f"there is no measurement {missing[0]}", "`splitter bench list` shows them")
    return {"deleted": gone}


def _tune(asked: Given, events: Events) -> Found:
    from splitter.app.answers import tune_data
    from splitter.app.tuning import TuneWishes, tune_model
    from splitter.bench.tune.run import TrialShape

    shape = TrialShape(asked["prompt_tokens"], asked["generate"], asked["start_timeout"])
    told = TuneWishes(shape, asked["minutes"], asked["resume"], asked["allow_lossy_kv"], asked["own_plan"], None)
    job, tuned, path = tune_model(asked.wishes(), told, asked["save_profile"], events)
    return Found(tune_data(job, tuned, path), "ok" if path else "error")


def _calibrate(asked: Given, events: Events) -> Any:
    from splitter.app.answers import calibrated_data
    from splitter.app.calibrating import calibrate_model
    from splitter.bench.tune.run import TrialShape

    shape = TrialShape(asked["prompt_tokens"], asked["generate"])
    rig, done = calibrate_model(asked.wishes(), shape, asked["repetitions"], events)
    return calibrated_data(rig, done)


def _calibrations(_: Given, __: Events) -> Any:
    from splitter.app.answers import kept_data
    from splitter.bench.calibrate.store import all_calibrations
    from splitter.bench.records.records import Records

    with Records() as records:
        return kept_data(all_calibrations(records))


# This machine


def _doctor(_: Given, events: Events) -> Any:
    from splitter.app.looking import look_around

    return {"findings": [asdict(finding) for finding in look_around(events)]}


def _engines(_: Given, __: Events) -> Any:
    from splitter.engine.installed import installed

    return {"engines": [asdict(engine) for engine in installed()]}


def _engine_choice(asked: Given, events: Events) -> Any:
    from splitter.app.engines import choose_engine

    choice, tag = choose_engine(asked["kind"], asked["version"], asked["backend"], events)
    names = [asset.name for asset in choice.assets]
    return {"kind": asked["kind"], "tag": tag, "backend": choice.backend, "files": names, "reason": choice.reason}


def _engine_install(asked: Given, events: Events) -> Any:
    from splitter.app.engines import install_engine

    return _made((install_engine(asked["kind"], asked["version"], asked["backend"], events),))


def _engine_update(asked: Given, events: Events) -> Any:
    from splitter.app.engines import update_engines

    return _made(update_engines(asked["kind"], events))


def _made(made: tuple[Any, ...]) -> Any:
    rows = [{**asdict(one.engine), "reason": one.choice.reason, "was_here": one.was_here} for one in made]
    return {"engines": rows}


def _profiles(_: Given, __: Events) -> Any:
    from splitter.profile.files import available

    rows = [
        {"name": item.name, "path": str(item.path), "origin": item.origin, "description": item.description}
        for item in available()
    ]
    return {"profiles": rows}


def _profile(asked: Given, _: Events) -> Any:
    from splitter.profile.files import load_profile

    loaded = load_profile(asked["name"])
    return {"name": loaded.name, "path": loaded.path, "values": _sources(loaded)}


def _profile_new(asked: Given, events: Events) -> Any:
    from splitter.app.profiles import values_of_plan
    from splitter.profile.files import save_profile
    from splitter.profile.write import render_profile

    values = values_of_plan(asked.wishes(), events)
    text = render_profile(values, "A saved plan: every value is fixed.")
    path = save_profile(text, asked["name"], overwrite=asked["force"])
    return {"name": path.stem, "path": str(path), "values": values}


def _profile_text(asked: Given, events: Events) -> Any:
    from splitter.app.profiles import values_of_plan
    from splitter.profile.write import render_profile

    return {"text": render_profile(values_of_plan(asked.wishes(), events), "A saved plan: every value is fixed.")}


def _profile_set(asked: Given, _: Events) -> Any:
    from splitter.app.profiles import edit

    path, copied = edit(asked["name"], asked["key"], asked["value"])
    return {"name": path.stem, "path": str(path), "copied": copied}


def _profile_check(asked: Given, _: Events) -> Any:
    from splitter.profile.files import load_profile
    from splitter.profile.profile import to_request

    loaded = load_profile(asked["name"])
    to_request(loaded)
    return {"name": loaded.name, "path": loaded.path}


def _config(_: Given, __: Events) -> Any:
    from splitter.folders import config_folder
    from splitter.profile.files import PROJECT_FILE, load_profile

    return {"files": [str(config_folder() / "config.yaml"), PROJECT_FILE], "values": _sources(load_profile(None))}


def _sources(loaded: Any) -> dict[str, Any]:
    return {key: {"value": found.value, "source": found.source} for key, found in sorted(loaded.values.items())}


NAME = Field("name", "text", "its name", required=True)
SWEEP = (
    Field("prompt_tokens", "integer", "tokens of the prompt", 512),
    Field("generate", "integer", "tokens to generate", 128),
    Field("depths", "integers", "tokens already in the context", (0,)),
    Field("concurrency", "integers", "requests sent at the same time", (1,)),
    Field("repetitions", "integer", "number of repetitions; until the spread is small without it"),
    Field("budget", "number", "seconds to measure"),
    Field("save", "boolean", "whether it is kept", True),
    Field("label", "text", "a name for the measurement", ""),
)
SCRIPT = (
    Field("name", "text", "name of the scripts, without suffix"),
    Field("portable", "boolean", "look for engine and model beside the script", False),
    Field("kcpps", "boolean", "also koboldcpp's own settings file", False),
    Field("systemd", "boolean", "also a systemd user unit", False),
    Field("task_xml", "boolean", "also a Windows Task Scheduler task", False),
)
INSTALL = (
    Field("kind", "text", "which engine", "llama-server"),
    Field("version", "text", "a release's tag"),
    Field("backend", "text", "this backend, not the one that fits best"),
)
_LISTED = (
    Question("rig", "rig", "The devices as the engine will see them.", _rig, wishes=True),
    Question("cards", "rig", "Known cards.", _cards, (Field("words", "text", "words of a card's name", ""),)),
    Question("models", "models", "The models found on this computer.", _models,
             (Field("text", "text", "only models whose name contains this", ""),), wishes=True),
    Question("inspect", "inspect", "What a model's header says.", _inspect,
             (Field("model", "text", "GGUF file, hf:OWNER/REPO/FILE or URL", required=True),)),
    Question("plan", "plan", "Which layer goes where.", _plan,
             (Field("verify", "boolean", "prove it with the engine's dry run", False),), wishes=True),
    Question("rank", "plan", "The models of a folder or a repository, best first.", _rank, wishes=True),
    Question("check", "check", "What a command would do.", _check,
             (Field("target", "text", "a model or a script"), Field("flags", "texts", "the engine's flags", ()),
              Field("command", "text", "a whole command line")), wishes=True),
    Question("check/log", "check", "What an engine's log tells.", _check_log,
             (Field("text", "text", "the log", required=True),), wishes=True),
    Question("script", "script", "Write the scripts that start the planned engine.", _script,
             (Field("folder", "text", "folder to write to", required=True), *SCRIPT,
              Field("force", "boolean", "overwrite a file that splitter did not write", False)),
             wishes=True, reads=False),
    Question("script/text", "script", "The same scripts as text.", _script_text, SCRIPT, wishes=True),
    Question("launch", "launch", "Plan, start the engine in the background.", _launch,
             (Field("name", "text", "its name for ps, logs and stop"),), wishes=True, reads=False, long=True),
    Question("restart", "launch", "Stop an instance and start it again with the same plan.", _restart,
             (NAME, Field("timeout", "number", "seconds it may take to stop", 20.0)), reads=False, long=True),
    Question("ps", "ps", "The running instances.", _ps),
    Question("logs", "logs", "The log of an instance.", _logs,
             (Field("name", "text", "the instance"), Field("lines", "integer", "how many of the last lines", 100))),
    Question("stop", "stop", "Stop instances.", _stop,
             (Field("names", "texts", "names of instances", ()), Field("all", "boolean", "every instance", False),
              Field("timeout", "number", "seconds before they are killed", 20.0)), reads=False),
    Question("bench", "bench", "Measure tokens per second.", _bench,
             (Field("url", "text", "a running server"), *SWEEP), wishes=True, reads=False, long=True),
    Question("bench/alternatives", "bench", "Measure the plan beside what the engine does alone.", _compare,
             (Field("command", "text", "also this command"), Field("rounds", "integer", "launches of each", 3), *SWEEP),
             wishes=True, reads=False, long=True),
    Question("bench/list", "bench", "What was measured.", _records,
             (Field("kind", "text", "bench, compare, tune or calibrate"), Field("limit", "integer", "at most", 50))),
    Question("bench/show", "bench", "One measurement.", _record,
             (Field("id", "integer", "its number", required=True),)),
    Question("bench/compare", "bench", "Whether two measurements differ by more than the noise.", _compare_records,
             (Field("first", "integer", "a measurement", required=True),
              Field("second", "integer", "another one", required=True))),
    Question("bench/export", "bench", "Measurements as text.", _export,
             (Field("ids", "integers", "which; all without", ()), Field("format", "text", "json, csv or md", "md"))),
    Question("bench/delete", "bench", "Delete measurements.", _delete,
             (Field("ids", "integers", "which", required=True),), reads=False),
    Question("tune", "tune", "Measure small changes of the plan and keep the fastest.", _tune,
             (Field("minutes", "number", "no new trial after this many", 30.0),
              Field("resume", "boolean", "continue after an interruption", True),
              Field("allow_lossy_kv", "boolean", "try a q8_0 cache as well", False),
              Field("own_plan", "boolean", "try splitter's own plan early", True),
              Field("save_profile", "text", "the winner's profile"),
              Field("prompt_tokens", "integer", "tokens of the prompt", 256),
              Field("generate", "integer", "tokens to generate", 64),
              Field("start_timeout", "number", "seconds the engine may take to load", 600.0)),
             wishes=True, reads=False, long=True),
    Question("calibrate", "calibrate", "Measure each card.", _calibrate,
             (Field("prompt_tokens", "integer", "tokens of the prompt", 256),
              Field("generate", "integer", "tokens to generate", 32),
              Field("repetitions", "integer", "measured repetitions", 3)), wishes=True, reads=False, long=True),
    Question("calibrate/list", "calibrate", "What was calibrated.", _calibrations),
    Question("doctor", "doctor", "What is wrong on this machine.", _doctor),
    Question("engine/list", "engine", "The installed engines.", _engines),
    Question("engine/choice", "engine", "What would be installed, and why.", _engine_choice, INSTALL),
    Question("engine/install", "engine", "Install an engine.", _engine_install, INSTALL, reads=False,
             long=True),
    Question("engine/update", "engine", "Install the latest release of what is installed.", _engine_update,
             (Field("kind", "text", "only this engine"),), reads=False, long=True),
    Question("pull", "pull", "Fetch a model.", _pull, wishes=True, reads=False, long=True),
    Question("profile/list", "profile", "The profiles that can be named.", _profiles),
    Question("profile/show", "profile", "Every value of a profile, and where it comes from.", _profile, (NAME,)),
    Question("profile/check", "profile", "Look for mistakes in a profile.", _profile_check, (NAME,)),
    Question("profile/new", "profile", "Save a plan as a profile.", _profile_new,
             (NAME, Field("force", "boolean", "replace a profile of this name", False)), wishes=True, reads=False),
    Question("profile/text", "profile", "A plan as a profile's text.", _profile_text, wishes=True),
    Question("profile/set", "profile", "Change one value of a profile.", _profile_set,
             (NAME, Field("key", "text", "such as settings.context_size", required=True),
              Field("value", "text", "lists with commas", required=True)), reads=False),
    Question("config", "config", "Every setting that is in force.", _config),
)  # fmt: skip
QUESTIONS: Mapping[str, Question] = {question.name: question for question in _LISTED}
