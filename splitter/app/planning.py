"""The steps that the planning verbs share: model, engine, rig, request, plan, command."""

from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitter.app.extra_models import with_extra_models
from splitter.cli.flags import fixed_settings, margins_mib
from splitter.cli.options import EngineOptions, FlagOptions, GoalOptions, MarginOptions, RigOptions, ServerOptions
from splitter.cli.output import Output
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.errors import EngineNotFoundError, NoDeviceError, UsageError
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Plan
from splitter.plan.request import EngineKind, Request
from splitter.plan.speed import ROOFLINE, Constants
from splitter.profile.profile import Supervision
from splitter.rig.device import Rig
from splitter.whole_file import write_whole

if TYPE_CHECKING:
    from splitter.profile.profile import Profile, ProfileTask

KOBOLDCPP_PORT = 5001


@dataclass(frozen=True, slots=True)
class Wishes:
    """Everything the command line says about one plan."""

    rig: RigOptions
    engine: EngineOptions
    margin: MarginOptions
    goal: GoalOptions
    flags: FlagOptions
    server: ServerOptions

    def overrides(self) -> dict[str, Any]:
        """What the command line sets, by the profile's dotted keys."""
        gpus = tuple(self.rig.gpus.split(",")) if self.rig.gpus else None
        given: dict[str, Any] = {
            "rig.gpus": gpus,
            "engine.kind": self.engine.engine,
            "engine.path": self.engine.engine_path,
            "engine.version": self.engine.engine_version,
            "goal": self.goal.goal,
            "margin_mib": margins_mib(self.margin.margin),
            "server.host": self.server.host,
            "server.port": self.server.port,
            "server.api_key_file": self.server.api_key_file,
            "settings.context_size": "max" if self.flags.ctx_size == "max" else None,
        }
        settings = {f"settings.{name}": value for name, value in fixed_settings(self.flags).items()}
        return {key: value for key, value in given.items() if value is not None} | settings


@dataclass(frozen=True, slots=True)
class Job:
    """A planning task with every part resolved: command line over profile over project over user over built-in."""

    facts: ModelFacts
    rig: Rig
    engine: EngineRef
    request: Request
    server: Server
    supervision: Supervision = field(default_factory=Supervision)


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and the command that carries it out; the command's program may be a name when no engine is here.

    `constants` priced the plan.
    """

    task: Job
    plan: Plan
    command: EngineCommand
    constants: Constants = ROOFLINE


def resolve(model: str | None, wishes: Wishes, output: Output, *, local: bool = False) -> Job:
    """Reads the model, finds the engine and the rig. `local`: the file must be here, and is fetched if it is not."""
    from splitter.model.found import locate
    from splitter.model.load import load_model

    asked = ask(model, wishes)
    reference = locate(asked.reference)
    if local:
        reference = _fetched(reference, output)
    with output.progress("reading the model's header"):
        facts = load_model(reference)
    task = prepare(facts, asked, wishes, output)
    fetched = partial(_fetched, output=output) if local else None
    return replace(task, request=with_extra_models(task.request, output, fetched))


@dataclass(frozen=True, slots=True)
class Asked:
    """The model's reference, with the profile and what it and the command line ask for."""

    reference: str
    profile: "Profile"
    task: "ProfileTask"


def ask(model: str | None, wishes: Wishes) -> Asked:
    """What is asked for, before anything is read."""
    from splitter.profile.files import load_profile
    from splitter.profile.profile import to_request

    if wishes.rig.rig and wishes.rig.gpus:
        raise UsageError("--rig and --gpus both name the devices", "give one of them")
    profile = load_profile(wishes.goal.profile, wishes.overrides())
    task = to_request(profile)
    reference = model or task.model
    if not reference:
        raise UsageError("no model given", "name a GGUF file, hf:OWNER/REPO/FILE, or --profile P")
    return Asked(reference, profile, task)


def prepare(facts: ModelFacts, asked: Asked, wishes: Wishes, output: Output) -> Job:
    """The task of a model that is read: engine, rig and server found."""
    wanted, kind = asked.task, asked.task.request.engine
    engine = resolve_engine(kind, wanted.engine.path, wanted.engine.version)
    request = replace(wanted.request, engine_version=engine.version or wanted.request.engine_version)
    named = wishes.rig.rig or wanted.rig.name or wanted.rig.file
    gpus = None if wishes.rig.rig else ",".join(wanted.rig.gpus)
    with output.progress("looking at the devices"):
        rig = resolve_rig(None if wishes.rig.gpus else named, gpus, engine, needed=_wants_devices(request))
    server = wanted.server
    if engine.kind == "koboldcpp" and asked.profile.values["server.port"].source == "built-in":
        server = replace(server, port=KOBOLDCPP_PORT)
    return Job(facts, rig, engine, request, _secured(server, output), wanted.supervision)


def _secured(server: Server, output: Output) -> Server:
    """The server with an API key where others can reach it; the key's file is told, the key never."""
    from splitter.run.keys import secured

    server, said = secured(server)
    for line in said:
        output.say(line)
    return server


def _wants_devices(request: Request) -> bool:
    """False for -ngl 0 and -dev none."""
    return request.fixed.get("gpu_layers") != 0 and request.fixed.get("device_order") != ()


def _fetched(reference: str, output: Output) -> str:
    """The local path of what `reference` names; downloads from the Hub with a progress bar."""
    from splitter.model.fetch import fetch
    from splitter.model.load import is_remote

    if not is_remote(reference):
        return reference
    output.say(f"fetching {reference}")
    try:
        with output.transfer() as on_progress:
            return fetch(reference, on_progress, output.say)
    except KeyboardInterrupt:
        output.say("what has arrived is kept: run the same command again to go on")
        raise


def resolve_engine(kind: EngineKind, path: str | None, version: str | None) -> EngineRef:
    """The engine at hand, or the one planned for when none is here."""
    from splitter.engine.find import find_engine

    try:
        return find_engine(kind, path, version)
    except EngineNotFoundError:
        if path:
            raise
        return EngineRef(kind, None, version)


def resolve_rig(named: str | None, gpus: str | None, engine: EngineRef, *, needed: bool = True) -> Rig:
    """The named rig, or the host's own; NoDeviceError (exit 5) when the host has none and one is needed."""
    from splitter.rig.files import load_rig, rig_from_gpus
    from splitter.rig.probe import probe_rig

    if named and gpus:
        raise UsageError("--rig and --gpus both name the devices", "give one of them")
    if named:
        return load_rig(named)
    if gpus:
        return rig_from_gpus(gpus)
    rig = probe_rig(engine.path if engine.kind == "llama-server" else None)
    if not rig.devices and needed and engine.kind != "embedded":
        raise no_device(rig)
    return rig


def no_device(rig: Rig) -> NoDeviceError:
    """Why the host has no usable device, and what can be done without one."""
    hint = "plan for other cards with --rig or --gpus, use the CPU alone with -ngl 0, or run --engine embedded"
    return NoDeviceError("; ".join(rig.notes) or "no GPU was found", hint)


def solve(task: Job, output: Output) -> Planned:
    """The solver's plan and its command."""
    from splitter.app.measured_before import measured, noted, priced
    from splitter.engine.commands import build_command
    from splitter.engine.learnt import learnt_overhead
    from splitter.plan.solve import solve as solve_plan

    price = priced(task.rig, task.engine)
    with output.progress("solving the placement"):
        overhead = learnt_overhead(task.facts, task.rig, task.engine)
        plan = solve_plan(task.facts, price.rig, task.request, constants=price.constants, overhead=overhead)
    plan = measured(noted(plan, price), task.engine)
    return Planned(task, plan, build_command(plan, task.engine, task.server), price.constants)


def findable(planned: Planned) -> Planned:
    """The same plan with its files named from the root: a script may lie and run anywhere."""
    from splitter.engine.commands import build_command
    from splitter.script.write import anchored

    plan = anchored(planned.plan)
    return replace(planned, plan=plan, command=build_command(plan, planned.task.engine, planned.task.server))


def prove(planned: Planned, output: Output) -> Planned:
    """The plan with the engine's own figures, corrected until they fit."""
    from splitter.engine.commands import build_command
    from splitter.engine.llama_server.proof import proven_plan

    task = planned.task
    with output.progress("verifying with llama-fit-params"):
        plan = proven_plan(planned.plan, task.request, task.engine, planned.constants)
    return replace(planned, plan=plan, command=build_command(plan, task.engine, task.server))


def prove_if_possible(planned: Planned, output: Output) -> Planned:
    """`prove` where the engine has a dry run; the estimate as it is elsewhere."""
    from splitter.engine.llama_server.dry_run import find_dry_run

    if find_dry_run(planned.task.engine) is None:
        return planned
    return prove(planned, output)


def save_text(path: str, text: str) -> None:
    """Writes a file whole or not at all."""
    target = Path(path).expanduser()
    try:
        write_whole(target, text)
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", "name a file in a folder you may write to"
        ) from None
