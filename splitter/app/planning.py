"""From what is asked for to a plan and its command: the way that every use case about a model begins."""

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from splitter.app.events import Events
from splitter.app.extra_models import with_extra_models
from splitter.app.planner import planner_for
from splitter.app.wire import command_data, plan_data
from splitter.app.wishes import Asked, Wishes, ask
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.engines import ENGINES
from splitter.engine.find import find_engine
from splitter.engine.rendering import command_line
from splitter.engine.supervision import Supervision
from splitter.errors import EngineNotFoundError, NoDeviceError
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.model.load import is_remote, load_model
from splitter.model.locate import locate
from splitter.plan.plan import Plan, PlannedDevice, Speed
from splitter.plan.planner import Planner
from splitter.plan.request import Request
from splitter.rig.device import Rig
from splitter.rig.files import load_rig, rig_from_gpus
from splitter.run.keys import named, secured

if TYPE_CHECKING:
    from splitter.profile.profile import RigChoice


@dataclass(frozen=True, slots=True)
class Job:
    """A planning task with every part resolved; `planner` knows the rig, and what `engine` can do."""

    facts: ModelFacts
    engine: EngineRef
    planner: Planner
    request: Request
    server: Server
    supervision: Supervision = field(default_factory=Supervision)

    @property
    def rig(self) -> Rig:
        """As it was reported; `planner.measured_rig()` is what is planned on."""
        return self.planner.rig


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan and the command that carries it out; the command's program may be a name when no engine is here."""

    task: Job
    plan: Plan
    command: EngineCommand

    @property
    def fits(self) -> bool:
        """Whether every device and the host have room, margins included."""
        return self.plan.fits()

    @property
    def settings(self) -> Settings:
        """The engine settings that make the placement."""
        return self.plan.settings

    @property
    def devices(self) -> tuple[PlannedDevice, ...]:
        """Each device with what it holds, in bytes."""
        return self.plan.devices

    @property
    def speed(self) -> Speed:
        """The tokens per second to expect."""
        return self.plan.speed

    @property
    def line(self) -> str:
        """The command for the rig's shell."""
        return command_line(self.command, self.plan.rig.host.os)

    def data(self) -> dict[str, Any]:
        """As JSON has it (design.md 3)."""
        return plan_data(self.plan, self.task.engine, command_data(self.command, self.line))


def plan_model(wishes: Wishes, events: Events, *, verify: bool = False) -> Planned:
    """The best plan for what is asked, where nothing is to be started; `verify`: proven by the engine's dry run."""
    planned = solve(resolve(wishes, events), events)
    return prove(planned, events) if verify else planned


def plan_script(wishes: Wishes, events: Events) -> Planned:
    """The same for a script, whose files are named from the root: it may lie and run anywhere."""
    planned = solve(resolve(wishes, events, makes_key=True), events)
    return _findable(planned)


def plan_launch(wishes: Wishes, events: Events) -> Planned:
    """The same for an engine that will be started here: the model is fetched, the plan proven where it can be."""
    return prove_if_possible(solve(resolve(wishes, events, fetches=True, makes_key=True), events), events)


def resolve(wishes: Wishes, events: Events, *, fetches: bool = False, makes_key: bool = False) -> Job:
    """Reads the model, finds the engine and the rig. `fetches`: the files must be here, and are fetched if they are
    not. `makes_key`: an API key is made where the server needs one, for what starts an engine or writes what does."""
    asked = ask(wishes)
    fetched = partial(fetch_model, events=events) if fetches else None
    reference = locate(asked.model())
    facts = read_model(fetched(reference) if fetched else reference, events)
    task = prepare(facts, asked, events, makes_key=makes_key)
    return replace(task, request=with_extra_models(task.request, events, fetched))


def read_model(reference: str, events: Events) -> ModelFacts:
    """The header of a model's file."""
    with events.step("reading the model's header"):
        return load_model(reference)


def prepare(facts: ModelFacts, asked: Asked, events: Events, *, makes_key: bool = False) -> Job:
    """The task of a model that is read: engine, rig and server found."""
    found = find_planner(asked, events, needed=_wants_devices(asked.task.request))
    return job_of(facts, asked, found, events, makes_key=makes_key)


def job_of(
    facts: ModelFacts, asked: Asked, found: tuple[EngineRef, Planner], events: Events, *, makes_key: bool = False
) -> Job:
    """The same where engine and planner are known already."""
    wanted, (engine, planner) = asked.task, found
    request = replace(wanted.request, engine=planner.engine)
    server = _keyed(wanted.server, events, makes_key)
    return Job(facts, engine, planner, request, server, wanted.supervision)


def find_planner(
    asked: Asked, events: Events, *, kind: str | None = None, version: str | None = None, needed: bool = True
) -> tuple[EngineRef, Planner]:
    """The engine and the planner of the rig that are asked for; `kind` and `version` are a written command's own.

    NoDeviceError when the rig is this machine, which has no device, and one is `needed`.
    """
    wanted = asked.task.engine
    same = kind is None or kind == wanted.kind
    path = wanted.path if same or asked.said("engine.path") else None
    engine = resolve_engine(kind or wanted.kind, path, version if kind else wanted.version)
    choice = asked.task.rig
    with events.step("looking at the devices"):
        rig = resolve_rig(choice, engine, needed=needed and not choice.nodes)
    if choice.nodes:
        from splitter.app.nodes import rig_with_nodes

        rig = rig_with_nodes(rig, choice.nodes, events)
    return engine, planner_for(rig, engine)


def _keyed(server: Server, events: Events, makes_key: bool) -> Server:
    """The server with an API key where others can reach it; the key's file is told, the key never."""
    server, said = secured(server) if makes_key else named(server)
    for line in said:
        events.say(line)
    return server


def _wants_devices(request: Request) -> bool:
    """False for -ngl 0 and -dev none."""
    return request.fixed.get("gpu_layers") != 0 and request.fixed.get("device_order") != ()


def fetch_model(reference: str, events: Events) -> str:
    """The local path of what `reference` names; downloads from the Hub."""
    from splitter.model.fetch import fetch

    if not is_remote(reference):
        return reference
    events.say(f"fetching {reference}")
    try:
        with events.transfer() as on_progress:
            return fetch(reference, on_progress, events.say)
    except KeyboardInterrupt:
        events.say("what has arrived is kept; run the same command again to continue")
        raise


def resolve_engine(kind: str, path: str | None, version: str | None) -> EngineRef:
    """The engine at hand, or the one planned for when none is here."""
    try:
        return find_engine(kind, path, version)
    except EngineNotFoundError:
        if path:
            raise
        return EngineRef(kind, None, version)


def resolve_rig(choice: "RigChoice", engine: EngineRef, *, needed: bool = True) -> Rig:
    """The named rig, or the host's own, as its backend numbers it; NoDeviceError (exit 5) when the host has none and
    one is needed."""
    named = choice.name or choice.file
    if named:
        return load_rig(named, choice.backend)
    if choice.gpus:
        return rig_from_gpus(",".join(choice.gpus), choice.backend)
    from splitter.rig.probe import probe_rig

    kind = ENGINES[engine.kind]
    rig = probe_rig(kind.lister(engine.path), choice.backend)
    if not rig.devices and needed and not kind.cpu_only:
        raise no_device(rig)
    return rig


def no_device(rig: Rig) -> NoDeviceError:
    """Why the host has no usable device, and what can be done without one."""
    hint = "plan for other cards with --rig or --gpus, use the CPU alone with -ngl 0, or run --engine embedded"
    return NoDeviceError("; ".join(rig.notes) or "no GPU was found", hint)


def solve(task: Job, events: Events) -> Planned:
    """The solver's plan and its command."""
    with events.step("solving the placement"):
        plan = task.planner.solve(task.facts, task.request)
    return commanded(task, task.planner.as_measured(plan))


def commanded(task: Job, plan: Plan) -> Planned:
    """`plan` with its command."""
    return Planned(task, plan, build_command(plan, task.engine, task.server))


def _findable(planned: Planned) -> Planned:
    from splitter.script.write import absolute, anchored

    key = planned.task.server.api_key_file
    server = replace(planned.task.server, api_key_file=key and absolute(key))
    return commanded(replace(planned.task, server=server), anchored(planned.plan))


def prove(planned: Planned, events: Events) -> Planned:
    """The plan with the engine's own figures, corrected until they fit."""
    from splitter.engine.llama_server.proof import proven_plan

    task = planned.task
    with events.step("verifying with llama-fit-params"):
        plan = proven_plan(planned.plan, task.request, task.engine, task.planner)
    return commanded(task, task.planner.as_measured(plan))


def waits_for_workers(plan: Plan) -> bool:
    """Whether it uses cards of other machines whose workers do not run yet: no dry run is possible before."""
    return any(planned.device.node and planned.device.worker is None for planned in plan.devices)


def prove_if_possible(planned: Planned, events: Events) -> Planned:
    """`prove` where the engine has a dry run; elsewhere the estimate as it is, for a command that the engine itself
    has read. EngineError where it would refuse to start."""
    from splitter.engine.llama_server.dry_run import find_dry_run

    if waits_for_workers(planned.plan):
        return planned
    if find_dry_run(planned.task.engine) is None:
        ENGINES[planned.command.engine.kind].rehearse(planned.command)
        return planned
    return prove(planned, events)
