"""A launch over several machines: server, tunnels and workers begin, end and start again together.

llama-server ends with 134 as soon as a worker or a tunnel goes, and hangs where a machine only falls silent; it never
connects again (reference/distributed.md). So whatever goes, all of it is started anew, around the machines that are
there; one that comes back is taken back when the server is idle.
"""

import http.client
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from splitter.app.events import Events
from splitter.app.nodes import different_builds
from splitter.app.planning import Job, Planned, commanded, prove_if_possible, solve
from splitter.engine.command import EngineCommand
from splitter.engine.engines import ENGINES
from splitter.errors import DoesNotFitError, EngineError, SplitterError
from splitter.plan.plan import Plan
from splitter.rig.device import Rig
from splitter.rig.node_file import SavedNode, known_node, load_nodes
from splitter.rig.nodes import nodes_of, reached_at, without_nodes
from splitter.run import endpoint
from splitter.run.keys import key_of
from splitter.run.ssh import PORT_TAKEN
from splitter.run.tunnel import Tunnel, run_on

if TYPE_CHECKING:
    from splitter.run.supervisor import Instance

LOOK_S = 0.5
SILENT_S = 12.0
"""Neither an answer to /slots nor a byte through a tunnel nor CPU time for so long: it hangs."""
RECALL_S = 30.0
PORTS_TRIED = 3
BUSY_S = 0.05


def uses_nodes(planned: Planned) -> bool:
    """Whether the plan has cards of other machines."""
    return any(used.device.node for used in planned.devices)


class Workers:
    """The workers on the machines of a rig, and the tunnels to them. UsageError for a machine that is no saved node."""

    def __init__(self, task: Job, events: Events, on_line: Callable[[str], None]) -> None:
        known = load_nodes()
        self.nodes: dict[str, SavedNode] = {name: known_node(name, known) for name in nodes_of(task.rig)}
        self.tunnels: list[Tunnel] = []
        self._engine, self._events, self._on_line = task.engine, events, on_line

    def start(self, rig: Rig) -> dict[str, str]:
        """Starts a worker on every machine of `rig`, for its cards there: node -> where it is reached from here."""
        return {name: self._started(name, rig).worker for name in nodes_of(rig)}

    def end(self) -> None:
        """Ends all tunnels, and with them the workers."""
        for tunnel in self.tunnels:
            tunnel.end()
        self.tunnels = []

    def carried(self) -> int:
        """Bytes that went through all tunnels."""
        return sum(tunnel.bytes_carried() for tunnel in self.tunnels)

    def _started(self, name: str, rig: Rig) -> Tunnel:
        cards = [d.node_id or d.id for d in rig.devices if d.node == name]
        try:
            with self._events.step(f"starting the worker on {name}"):
                return self._open(self.nodes[name], cards)
        except SplitterError as error:
            raise _NodeGoneError(name, error) from None

    def _open(self, node: SavedNode, cards: Sequence[str]) -> Tunnel:
        """A tunnel with its worker; on a node where the port is taken the next ones are tried."""
        for port in range(node.port, node.port + PORTS_TRIED):
            tunnel = Tunnel(node, cards, self._on_line)
            self.tunnels.append(tunnel)
            try:
                tunnel.start(port)
            except EngineError as error:
                self.tunnels.remove(tunnel)
                if PORT_TAKEN in error.message and port + 1 < node.port + PORTS_TRIED:
                    continue
                raise
            if tunnel.build is not None and tunnel.build != (self._engine.version or "unknown"):
                tunnel.end()
                raise EngineError(*different_builds(node, tunnel.build, self._engine))
            return tunnel
        raise EngineError(
            f"{node.name} has no free port for its worker", f"`splitter node add {node.name} ... --port N`"
        )


class Group:
    """The workers of one launch; `planned` is the plan in force."""

    def __init__(self, planned: Planned, events: Events, on_line: Callable[[str], None], recall_s: float = RECALL_S):
        self.planned = planned
        self._asked, self._events, self._recall_s = planned, events, recall_s
        self.workers = Workers(planned.task, events, on_line)
        self._gone: dict[str, str] = {}
        self._back: set[str] = set()
        self._instance: Instance | None = None
        self._ended = threading.Event()
        self._busy = threading.Lock()
        self.on_plan: Callable[[Planned], None] = lambda _planned: None

    def start(self) -> Planned:
        """Tunnels and workers of the plan's machines, the plan proven over them. A machine that cannot be reached at
        the first start is an error: it was asked for."""
        self.planned = self._connected(self.planned)
        return self.planned

    def prepare(self) -> EngineCommand:
        """Everything anew, around the machines that are gone: the server's next command."""
        with self._busy:
            self.workers.end()
            before = self.planned
            while True:
                try:
                    self.planned = self._connected(self._plan())
                    break
                except _NodeGoneError as gone:
                    self._gone[gone.node] = gone.message
                    self.workers.end()
            self._tell(before)
            self.on_plan(self.planned)
            return self.planned.command

    def attach(self, instance: "Instance") -> None:
        """From now on the tunnels and the server are watched."""
        self._instance = instance
        threading.Thread(target=self._watch, name="nodes", daemon=True).start()

    def end(self) -> None:
        """Ends all tunnels, and with them the workers."""
        self._ended.set()
        self.workers.end()

    def _plan(self) -> Planned:
        """The plan on the machines that are not gone."""
        task = self._asked.task
        if not self._gone:
            return self._asked
        try:
            return solve(without_machines(task, self._gone), self._events)
        except DoesNotFitError as error:
            names = " and ".join(self._gone)
            raise EngineError(
                f"{names} cannot be reached, and nothing fits without: {error.message}", error.hint
            ) from None

    def _connected(self, planned: Planned) -> Planned:
        """`planned` with its workers running, as commanded over the tunnels, and proven."""
        workers = self.workers.start(planned.plan.rig)
        if not workers:
            return prove_if_possible(planned, self._events)
        task = replace(planned.task, planner=planned.task.planner.on(reached_at(planned.task.rig, workers)))
        return prove_if_possible(commanded(task, _reached(planned.plan, workers)), self._events)

    def _tell(self, before: Planned) -> None:
        from splitter.run.replan import differences

        if nodes_of(before.plan.rig) == nodes_of(self.planned.plan.rig):
            return
        missing = [f"{name} is gone ({why})" for name, why in self._gone.items()]
        new = [name for name in nodes_of(self.planned.plan.rig) if name not in nodes_of(before.plan.rig)]
        words = [*missing, *(f"{name} {'is back' if name in self._back else 'takes part now'}" for name in new)]
        self._back.clear()
        self._events.say(f"{' and '.join(words)}: {differences(before.plan, self.planned.plan)}")

    def _watch(self) -> None:
        silence = _Silence(self)
        recalled_s = time.monotonic()
        while not self._ended.wait(LOOK_S):
            instance = self._instance
            if instance is None or instance.phase not in {"ready", "degraded"} or self._busy.locked():
                silence.again()
                continue
            if dead := self._dead(instance):
                self._events.say(f"the worker on {' and '.join(dead)} is gone: server and workers start again")
                instance.ask_renew(stuck=True)
                self._wait_renewed(instance)
            elif self.workers.tunnels and silence.lasts(instance):
                self._events.say(f"no answer and no token for {SILENT_S:.0f} s: server and workers start again")
                instance.ask_renew(stuck=True)
                self._wait_renewed(instance)
            elif self._gone and time.monotonic() - recalled_s > self._recall_s:
                recalled_s = time.monotonic()
                self._recall(instance)

    def _dead(self, instance: "Instance") -> list[str]:
        """The machines whose session ended, or whose worker did: ssh then stays for the server's own connection."""
        closed = endpoint.hung_up(instance.pid, [tunnel.port for tunnel in self.workers.tunnels])
        return [tunnel.node.name for tunnel in self.workers.tunnels if not tunnel.alive() or tunnel.port in closed]

    def _wait_renewed(self, instance: "Instance") -> None:
        """Not asked twice for the same."""
        until_s = time.monotonic() + SILENT_S
        while instance.phase in {"ready", "degraded"} and time.monotonic() < until_s and not self._ended.wait(0.05):
            pass

    def _recall(self, instance: "Instance") -> None:
        """Takes machines back that answer again, once the server is idle."""
        for name in tuple(self._gone):
            with suppress(SplitterError):
                if run_on(self.workers.nodes[name], ("exit",), timeout_s=15).code == 0 and self._idle(instance):
                    del self._gone[name]
                    self._back.add(name)
                    self._events.say(f"{name} answers again: server and workers start again with it")
                    instance.ask_renew()
                    self._wait_renewed(instance)

    def _idle(self, instance: "Instance") -> bool:
        slots = ask_slots(instance)
        return slots is not None and slots == 0


def without_machines(task: Job, gone: Collection[str]) -> Job:
    """`task` without the cards of the machines `gone`."""
    margins = task.request.margin_bytes
    if len(margins) > 1:
        here = zip(margins, task.rig.devices, strict=True)
        margins = tuple(margin for margin, device in here if device.node not in gone)
    planner = task.planner.on(without_nodes(task.rig, gone))
    return replace(task, planner=planner, request=replace(task.request, margin_bytes=margins))


def _reached(plan: Plan, workers: dict[str, str]) -> Plan:
    """`plan` with its workers where the tunnels end."""
    rig = reached_at(plan.rig, workers)
    devices = tuple(replace(planned, device=rig.device(planned.device.id)) for planned in plan.devices)
    return replace(plan, rig=rig, devices=devices)


class _NodeGoneError(EngineError):
    def __init__(self, node: str, error: SplitterError) -> None:
        super().__init__(error.message, error.hint)
        self.node = node


def ask_slots(instance: "Instance", timeout_s: float = 3.0) -> int | None:
    """How many slots work; None where the server does not answer."""
    kind = ENGINES[instance.command.engine.kind]
    try:
        key = key_of(instance.command.server)
        answer = endpoint.ask(instance.url, kind.slots_path, api_key=key, timeout_s=timeout_s, most_bytes=1 << 20)
    except (OSError, http.client.HTTPException):
        return None
    found = kind.slots(answer.json(), instance.command.argv)
    return 0 if found is None else found.busy


class _Silence:
    """How long nothing has been seen of a server: no answer, no byte through a tunnel, no CPU time."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self.again()

    def again(self) -> None:
        """Something was seen."""
        self._since_s = time.monotonic()
        self._bytes, self._cpu_s = 0, 0.0

    def lasts(self, instance: "Instance") -> bool:
        """Whether it has been silent for SILENT_S."""
        if ask_slots(instance) is not None:
            self.again()
            return False
        carried, cpu_s = self._group.workers.carried(), endpoint.cpu_time_s(instance.pid)
        if carried > self._bytes + BEAT_BYTES or cpu_s > self._cpu_s + BUSY_S:
            self._since_s = time.monotonic() if self._bytes or self._cpu_s else self._since_s
        self._bytes, self._cpu_s = carried, cpu_s
        return time.monotonic() - self._since_s > SILENT_S


BEAT_BYTES = 2000
"""Between two looks, beats and keep-alives carry less than this."""


@contextmanager
def grouped(planned: Planned, events: Events, on_line: Callable[[str], None]) -> Iterator[Group | None]:
    """The workers of a plan with cards of other machines, for as long as the block runs; None for any other plan."""
    if not uses_nodes(planned):
        yield None
        return
    group = Group(planned, events, on_line)
    try:
        group.start()
        yield group
    finally:
        group.end()


@contextmanager
def startable(planned: Planned, events: Events) -> Iterator[Planned]:
    """`planned` as it can be started while the block runs: its workers run, and it is proven over them."""
    with grouped(planned, events, lambda _line: None) as group:
        yield planned if group is None else group.planned


@contextmanager
def with_workers(task: Job, events: Events) -> Iterator[Job]:
    """`task` with the workers of all its machines running while the block does, each with all its cards: plans on the
    whole rig can be started."""
    workers = Workers(task, events, lambda _line: None)
    try:
        yield replace(task, planner=task.planner.on(reached_at(task.rig, workers.start(task.rig))))
    finally:
        workers.end()
