"""The steps that the planning verbs share: model, engine, rig, request, plan, command."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitter.app.events import Events
from splitter.app.extra_models import with_extra_models
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.errors import EngineNotFoundError, NoDeviceError, UsageError
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Plan
from splitter.plan.request import Request
from splitter.plan.speed import Constants
from splitter.plan.speed_constants import TYPICAL
from splitter.profile.profile import Supervision
from splitter.rig.device import Rig
from splitter.units import from_mib
from splitter.whole_file import write_whole

if TYPE_CHECKING:
    from splitter.profile.profile import Profile, ProfileTask


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is asked for: `values` by the profile's dotted keys (`model`, `rig.gpus`, `settings.context_size`, ...),
    from flags, keyword arguments or JSON, over the profile of the name or file `profile`."""

    values: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None

    def settings(self) -> dict[str, Any]:
        """The engine settings among them, by their short names."""
        prefix = "settings."
        return {key.removeprefix(prefix): value for key, value in self.values.items() if key.startswith(prefix)}


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
    constants: Constants = TYPICAL


def resolve(wishes: Wishes, events: Events, *, local: bool = False) -> Job:
    """Reads the model, finds the engine and the rig. `local`: the file must be here, and is fetched if it is not."""
    from splitter.model.found import locate
    from splitter.model.load import load_model

    asked = ask(wishes)
    reference = locate(asked.reference)
    if local:
        reference = _fetched(reference, events)
    with events.step("reading the model's header"):
        facts = load_model(reference)
    task = prepare(facts, asked, events)
    fetched = partial(_fetched, events=events) if local else None
    return replace(task, request=with_extra_models(task.request, events, fetched))


@dataclass(frozen=True, slots=True)
class Asked:
    """The model's reference, with all that is asked for and what it means for the rooms."""

    reference: str
    profile: "Profile"
    task: "ProfileTask"


def ask(wishes: Wishes) -> Asked:
    """What is asked for, before anything is read."""
    from splitter.profile.files import load_profile
    from splitter.profile.profile import to_request

    refuse_two_rigs(wishes)
    profile = load_profile(wishes.profile, wishes.values)
    task = to_request(profile)
    if not task.model:
        raise UsageError("no model given", "name a GGUF file, hf:OWNER/REPO/FILE, or --profile P")
    return Asked(task.model, profile, task)


def refuse_two_rigs(wishes: Wishes) -> None:
    """UsageError where both a rig and a list of cards are asked for."""
    if wishes.values.get("rig.gpus") and {"rig.name", "rig.file"} & wishes.values.keys():
        raise UsageError("--rig and --gpus both name the devices", "give one of them")


def prepare(facts: ModelFacts, asked: Asked, events: Events) -> Job:
    """The task of a model that is read: engine, rig and server found."""
    from splitter.engine.engines import rules_of

    wanted = asked.task
    engine = resolve_engine(wanted.engine.kind, wanted.engine.path, wanted.engine.version)
    request = replace(wanted.request, engine=rules_of(engine.kind, engine.version))
    with events.step("looking at the devices"):
        rig = resolve_rig(
            wanted.rig.name or wanted.rig.file, ",".join(wanted.rig.gpus), engine, needed=_wants_devices(request)
        )
    return Job(facts, rig, engine, request, _secured(wanted.server, events), wanted.supervision)


def _secured(server: Server, events: Events) -> Server:
    """The server with an API key where others can reach it; the key's file is told, the key never."""
    from splitter.run.keys import secured

    server, said = secured(server)
    for line in said:
        events.say(line)
    return server


def _wants_devices(request: Request) -> bool:
    """False for -ngl 0 and -dev none."""
    return request.fixed.get("gpu_layers") != 0 and request.fixed.get("device_order") != ()


def _fetched(reference: str, events: Events) -> str:
    """The local path of what `reference` names; downloads from the Hub with a progress bar."""
    from splitter.model.fetch import fetch
    from splitter.model.load import is_remote

    if not is_remote(reference):
        return reference
    events.say(f"fetching {reference}")
    try:
        with events.transfer() as on_progress:
            return fetch(reference, on_progress, events.say)
    except KeyboardInterrupt:
        events.say("what has arrived is kept: run the same command again to go on")
        raise


def resolve_engine(kind: str, path: str | None, version: str | None) -> EngineRef:
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
    from splitter.engine.engines import ENGINES
    from splitter.rig.files import load_rig, rig_from_gpus
    from splitter.rig.probe import probe_rig

    if named and gpus:
        raise UsageError("--rig and --gpus both name the devices", "give one of them")
    if named:
        return load_rig(named)
    if gpus:
        return rig_from_gpus(gpus)
    kind = ENGINES[engine.kind]
    rig = probe_rig(kind.lister(engine.path))
    if not rig.devices and needed and not kind.cpu_only:
        raise no_device(rig)
    return rig


def rig_of(wishes: Wishes, engine: EngineRef, *, needed: bool = True) -> Rig:
    """The rig that `wishes` themselves name, or the host's own."""
    refuse_two_rigs(wishes)
    values = wishes.values
    named, gpus = values.get("rig.name") or values.get("rig.file"), ",".join(values.get("rig.gpus") or ())
    return resolve_rig(named, gpus, engine, needed=needed)


def margin_bytes(wishes: Wishes) -> tuple[int, ...]:
    """The memory to keep free that `wishes` themselves name, as in Request."""
    return tuple(from_mib(mib) for mib in wishes.values.get("margin_mib") or ())


def no_device(rig: Rig) -> NoDeviceError:
    """Why the host has no usable device, and what can be done without one."""
    hint = "plan for other cards with --rig or --gpus, use the CPU alone with -ngl 0, or run --engine embedded"
    return NoDeviceError("; ".join(rig.notes) or "no GPU was found", hint)


def solve(task: Job, events: Events) -> Planned:
    """The solver's plan and its command."""
    from splitter.app.measured_before import measured, noted, priced
    from splitter.engine.commands import build_command
    from splitter.engine.learnt import learnt_overhead
    from splitter.plan.solve import solve as solve_plan

    price = priced(task.rig, task.engine)
    with events.step("solving the placement"):
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


def prove(planned: Planned, events: Events) -> Planned:
    """The plan with the engine's own figures, corrected until they fit."""
    from splitter.engine.commands import build_command
    from splitter.engine.llama_server.proof import proven_plan

    task = planned.task
    with events.step("verifying with llama-fit-params"):
        plan = proven_plan(planned.plan, task.request, task.engine, planned.constants)
    return replace(planned, plan=plan, command=build_command(plan, task.engine, task.server))


def prove_if_possible(planned: Planned, events: Events) -> Planned:
    """`prove` where the engine has a dry run; the estimate as it is elsewhere."""
    from splitter.engine.llama_server.dry_run import find_dry_run

    if find_dry_run(planned.task.engine) is None:
        return planned
    return prove(planned, events)


def save_text(path: str, text: str) -> None:
    """Writes a file whole or not at all."""
    target = Path(path).expanduser()
    try:
        write_whole(target, text)
    except OSError as error:
        raise UsageError(
            f"cannot write {target}: {error.strerror}", "name a file in a folder you may write to"
        ) from None
