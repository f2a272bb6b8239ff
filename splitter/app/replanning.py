"""The steps of `splitter launch`: words about what happens, a new plan on out of memory."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from splitter.app.events import Events
from splitter.app.planning import Job, Planned, prove_if_possible, solve
from splitter.engine.command import EngineCommand
from splitter.engine.engines import ENGINES
from splitter.engine.learnt import keep_lessons, known_lessons, put_lessons
from splitter.engine.log.shortage import Shortage
from splitter.engine.supervision import Supervision
from splitter.errors import DoesNotFitError, SplitterError
from splitter.memory.settings import Settings
from splitter.plan.plan import Plan
from splitter.rig.combine import ENGINE
from splitter.rig.device import Rig
from splitter.rig.sensors import read_cards
from splitter.run.replan import Learnt, as_it_is_now, learn, lessons, taken_since, what_changed
from splitter.run.snapshot import Snapshot

if TYPE_CHECKING:
    from splitter.run.replan import Learnt

MOST_LESSONS = 5  # from a tenth of a card, doubled each time, to all of it


class Replanner:
    """Answers a shortage with a stricter plan: what was learned is kept, what changed is said. `planned` is the plan in
    force; `told` hear of every new one."""

    def __init__(self, planned: Planned, events: Events, told: Sequence[Callable[[Plan], None]] = ()) -> None:
        self.planned, self._events, self._told = planned, events, told

    def __call__(self, short: Shortage) -> EngineCommand:
        """The command of the next start. DoesNotFitError when no stricter plan obeys what the user fixed: then nothing
        is kept, for the same request may work once another program is closed."""
        before, kept = self.planned, known_lessons()
        try:
            now = looked_again(before.task, short, before.command.env)
            learnt = self._taken(now) or self._learn(now)
        except DoesNotFitError:
            put_lessons(kept)
            raise
        self._events.say(f"out of memory: {what_changed(before.plan, self.planned.plan, learnt)}")
        for tell in self._told:
            tell(self.planned.plan)
        return self.planned.command

    def take(self, planned: Planned) -> None:
        """Another plan is in force: a machine went or came back."""
        self.planned = planned
        for tell in self._told:
            tell(planned.plan)

    def _taken(self, short: Shortage) -> "Learnt | None":
        """Plans again with what is free now, where that explains the failure; no lesson is kept. Where it does not,
        the plan in force is at least checked against it."""
        before = self.planned
        free = free_now(before.task.rig, short)
        now = as_it_is_now(before.plan, free)
        task = replace(before.task, planner=before.task.planner.on(before.task.rig.with_no_more_free(free)))
        self.planned = replace(before, task=task, plan=now)
        taken = taken_since(before.plan, now)
        if not taken:
            return None
        self.planned = prove_if_possible(solve(as_split(task, now.settings), self._events), self._events)
        return Learnt({}, taken)

    def _learn(self, short: Shortage) -> "Learnt":
        """Plans again with what was learnt. A plan that the lesson does not change had room to spare by our figures
        and would fail again: so more is missing than the failure showed, and twice as much is assumed each time."""
        failed, learnt = self.planned.plan.settings, Learnt({})
        task = as_split(self.planned.task, failed)
        for _ in range(MOST_LESSONS):
            more = learn(self.planned.plan, short)
            learnt = Learnt({**learnt.missing, **more.missing})
            keep_lessons(task.rig, task.engine, lessons(self.planned.plan, more))
            self.planned = prove_if_possible(solve(task, self._events), self._events)
            if not more.missing or on_devices(self.planned.plan.settings) != on_devices(failed):
                break
        return learnt


def as_split(task: Job, failed: Settings) -> Job:
    """`task` that splits the model as the plan that failed did: what was learnt about its memory holds for that."""
    if len(failed.device_order) < 2:
        return task
    fixed = {"split_mode": failed.split_mode, **task.request.fixed}
    return replace(task, request=replace(task.request, fixed=fixed))


def on_devices(settings: Settings) -> Settings:
    """`settings` without what concerns the host's RAM alone."""
    return replace(settings, cache_ram_mib=None)


def looked_again(task: Job, short: Shortage, env: Mapping[str, str]) -> Shortage:
    """`short` with what the engine finds free now that its process is gone, where it can be asked; what it found while
    it loaded counts too. A rig whose driver tells of every device needs no engine for that."""
    from splitter.rig.listing import list_devices

    lister = ENGINES[task.engine.kind].lister(task.engine.path)
    if (short.free_bytes and short.stage != "running") or lister is None:
        return short
    if len(told_by_driver(task.rig)) == len(task.rig.devices):
        return short
    with suppress(SplitterError):
        found = {device.id: device.free_bytes for device in list_devices(lister, env)}
        return replace(short, free_bytes={**found, **{k: min(v, found.get(k, v)) for k, v in short.free_bytes.items()}})
    return short


def free_now(rig: Rig, short: Shortage) -> dict[str, int]:
    """What is free on the devices whose free memory was asked for, asked in the same way again: the engine looks from
    inside its context, the driver from outside."""
    by_driver = told_by_driver(rig)
    cards = read_cards(rig).cards if by_driver else ()
    by_card = {card.device_id: card.free_bytes for card in cards}
    found = {
        device.id: (by_card if device.id in by_driver else short.free_bytes).get(device.id)
        for device in rig.devices
        if device.asked
    }
    return {name: size for name, size in found.items() if size is not None}


def told_by_driver(rig: Rig) -> set[str]:
    """The devices whose free memory the driver told, and not the engine or a file."""
    return {device.id for device in rig.devices if device.asked and device.sources["free_bytes"] != ENGINE}


class Announcer:
    """A watcher that says in plain words what happens to the engine after its first start."""

    def __init__(self, events: Events, supervision: Supervision) -> None:
        self._events, self._supervision = events, supervision
        self._tried = 0

    def __call__(self, now: Snapshot) -> None:
        text = self._words(now)
        if text:
            self._events.say(text)

    def _words(self, now: Snapshot) -> str:
        kind = now.command.engine.kind
        match now.phase:
            case "degraded":
                return f"{kind} does not answer its health probes ({self._supervision.health_failures} failed in a row)"
            case "waiting":
                self._tried += 1
                reason = {"died": "died", "unresponsive": "was stopped", "not_started": "could not be started",
                          "renewed": "is stopped with its workers"}  # fmt: skip
                return f"{kind} {reason.get(now.failure or '', 'ended')}: it will be restarted (restart {self._tried})"
            case "ready" if now.generation > 1:
                return f"{kind} is ready again after {now.ready_s or 0:.1f} s (start {now.generation})"
        return ""
