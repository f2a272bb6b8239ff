"""What `splitter launch` does for the other terminals: its place in the registry, and its log file."""

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from splitter.app.background import Background
from splitter.app.events import Events
from splitter.app.planning import Planned
from splitter.app.replanning import Announcer, Replanner
from splitter.app.wishes import Wishes, ask
from splitter.errors import UsageError
from splitter.folders import state_folder
from splitter.plan.plan import Plan
from splitter.run.endpoint import url_of
from splitter.run.entry import Entry, draft
from splitter.run.log_file import LogFile
from splitter.run.registry import Claim, Registry
from splitter.run.snapshot import Watcher
from splitter.run.spill_warner import SpillWarner
from splitter.run.supervisor import launch
from splitter.script.render import script_name
from splitter.units import from_mib
from splitter.whole_file import write_whole

if TYPE_CHECKING:
    from splitter.app.replanning import Replanner
    from splitter.engine.supervision import Supervision
    from splitter.run.supervisor import Instance

OWN_WORDS = "splitter: "  # before what the supervisor itself says, in the engine's log


@dataclass(frozen=True, slots=True)
class LaunchPlace:
    """What is asked of a launch's place: `began_at` is `time.time()` before the devices were read; `on_stop` is called
    when another terminal wants it stopped (default: as Ctrl-C)."""

    wishes: Wishes
    name: str | None
    log_file: str | None
    began_at: float
    background: Background | None = None
    on_stop: Callable[[], None] | None = None


@dataclass(frozen=True, slots=True)
class Seat:
    """A launch's place: `on_log` and `watchers` are for the supervisor."""

    claim: Claim
    on_log: Callable[[str], None]

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        return (self.claim.watch,)


@dataclass(frozen=True, slots=True)
class Started:
    """An engine that runs in its place; `replanner` knows the plan in force."""

    instance: "Instance"
    replanner: "Replanner"

    @property
    def planned(self) -> Planned:
        return self.replanner.planned

    def data(self) -> dict[str, Any]:
        """As JSON has it, once it is ready."""
        now = self.instance
        return {"url": now.url, "pid": now.pid, "ready_s": now.ready_s, "plan": self.planned.data()}


@contextmanager
def started(
    planned: Planned,
    place: LaunchPlace,
    supervision: "Supervision",
    events: Events,
    *,
    show: Callable[[str], None] | None = None,
    watchers: Sequence[Watcher] = (),
    told: Sequence[Callable[[Plan], None]] = (),
) -> Iterator[Started]:
    """The engine in its place, started and supervised until the block ends. `show` gets each line of its log, `told`
    hear of every plan that takes the place of `planned`."""
    from splitter.app.grouping import grouped  # only what --nodes needs

    with seated(planned, place, show) as seat, grouped(planned, events, seat.on_log) as group:
        planned = planned if group is None else group.planned
        spill = SpillWarner(planned.plan, events.say)
        told = (*told, seat.claim.replanned, spill.expect)
        replanner = Replanner(planned, events, told)
        if group is not None:
            group.on_plan = replanner.take

        def on_log(line: str) -> None:
            spill.on_line(line)
            seat.on_log(line)

        watching: tuple[Watcher, ...] = (*seat.watchers, *watchers, Announcer(events, supervision))
        with launch(
            planned.command,
            on_log=on_log,
            supervision=supervision,
            watchers=watching,
            replan=replanner,
            prepare=None if group is None else group.prepare,
        ) as instance:
            if group is not None:
                group.attach(instance)
            yield Started(instance, replanner)


def logs_folder() -> Path:
    """Where the logs lie that nobody named a place for."""
    return state_folder() / "logs"


@contextmanager
def seated(planned: Planned, place: LaunchPlace, show: Callable[[str], None] | None) -> Iterator[Seat]:
    """The launch's place in the registry and its log file, for as long as the block runs; `show` gets each line too.

    Refuses, before anything starts, a port or a card that a running instance has, and a name that is taken.
    """
    own_log = Path(place.log_file).expanduser().absolute() if place.log_file else None
    asked = ask(place.wishes)
    wanted = _wanted(planned, place, asked.profile.name if place.wishes.profile else None)
    free_bytes = {used.device.id: used.device.free_bytes for used in planned.plan.devices}
    with Registry().claim(
        wanted,
        free_bytes,
        place.began_at,
        exact=place.name is not None,
        instance_id=place.background.id if place.background else None,
        log_of=lambda name: own_log or logs_folder() / f"{name}.log",
        on_stop=place.on_stop,
    ) as claim:
        settings = asked.task.log
        path = Path(claim.entry.log_file or "")
        log = LogFile(path, from_mib(settings.max_mib), settings.files, fresh=own_log is not None)
        try:
            if place.background is None:
                yield Seat(claim, _on_log(log, show))
            else:
                with _words_into(log, place.background):
                    yield Seat(claim, _on_log(log, show))
        finally:
            log.close()


def launch_words(wishes: Wishes, name: str | None) -> tuple[str, ...]:
    """The command line that launches what is wished for: its values are kept as a profile, for the next start too."""
    from splitter.profile.profile import BUILT_IN
    from splitter.profile.write import render_profile

    asked = ask(wishes)
    wanted = _name(name, asked.profile.name if wishes.profile else Path(asked.model()).stem)
    said = {key: kept.value for key, kept in asked.profile.values.items() if kept.source != BUILT_IN}
    text = render_profile({key: value for key, value in said.items() if key not in {"name", "description"}})
    path = _kept_profile(wanted)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, text, 0o600)
    return ("launch", "--quiet", "--profile", str(path), *(("--name", wanted) if name else ()))


def words_again(name: str) -> tuple[str, ...]:
    """The command line that launched the instance `name`. UsageError where that is not kept."""
    path = _kept_profile(_name(name, ""))
    if not path.is_file():
        raise UsageError(f"how {name} was launched is not kept", f"`splitter stop {name}`, then launch it again")
    return ("launch", "--quiet", "--profile", str(path), "--name", name)


def launched_before(name: str) -> bool:
    """Whether it is kept how the instance `name` was launched."""
    return _kept_profile(name).is_file()


def _kept_profile(name: str) -> Path:
    return state_folder() / "launches" / f"{name}.yaml"


def _wanted(planned: Planned, place: LaunchPlace, profile: str | None) -> Entry:
    name = _name(place.name, profile or Path(planned.command.model_path).stem)
    return replace(draft(planned.plan, planned.command, name), url=url_of(planned.command.server))


def _name(given: str | None, otherwise: str) -> str:
    """The user's word as it is, or a name made of `otherwise`. UsageError for a word that cannot name a file."""
    if given is None:
        return script_name(otherwise)
    if script_name(given) != given:
        hint = "use at most 80 small letters, digits, dots, dashes and underscores"
        raise UsageError(f"--name {given!r} is not a usable instance name", hint)
    return given


def _on_log(log: LogFile, show: Callable[[str], None] | None) -> Callable[[str], None]:
    """Writes each line into the log, then shows it; a terminal that is gone does not end the log."""

    def write_and_show(line: str) -> None:
        log.write(line)
        if show is not None:
            with suppress(OSError, ValueError):
                show(line)

    return write_and_show


@contextmanager
def _words_into(log: LogFile, background: Background) -> Iterator[None]:
    """What this process says goes into the log from here on; what it said before is no longer needed afterwards."""
    words = LogWords(log)
    try:
        with redirect_stdout(words), redirect_stderr(words):
            yield
    finally:
        # On Windows this process still has the file open as its standard output: the next launch sweeps it away.
        with suppress(OSError):
            background.words.unlink(missing_ok=True)


class LogWords(io.TextIOBase):
    """A text stream that writes whole lines into a log."""

    def __init__(self, log: LogFile) -> None:
        super().__init__()
        self._log, self._begun = log, ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._begun = (self._begun + text).split("\n")
        for line in lines:
            self._log.write(OWN_WORDS + line)
        return len(text)
