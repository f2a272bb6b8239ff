"""What `splitter launch` shows and exports of its instance while it runs."""

import gc
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from splitter.app.serving_metrics import serving_metrics
from splitter.cli.output import Output
from splitter.run.snapshot import Snapshot, Watcher

if TYPE_CHECKING:
    from rich.live import Live

    from splitter.app.planning import Planned
    from splitter.plan.plan import Plan
    from splitter.run.reading import Expected, Reading
    from splitter.run.tally import Tally
    from splitter.run.watch import Watch

LOG_LINES = 12
OUR_OWN = " GET /slots "  # older builds of llama-server log every request, also those of the watch
METRICS_INTERVAL_S = 2.0  # nobody looks closer: Prometheus asks every 15 s by default


class LaunchWatch:
    """Give `on_log` and `watchers` to `launch`; `live()` shows the instance while its block runs.

    Until then, and where nothing is shown live, the engine's log is printed line by line.
    """

    def __init__(self, output: Output, *, quiet: bool) -> None:
        self._output = output
        self._print = None if quiet or output.as_json else output.log_line
        self.shows_live = not quiet and not output.as_json and output.words.is_terminal
        self._tail: deque[str] = deque(maxlen=LOG_LINES)
        self._watch: Watch | None = None
        self._expected: Expected | None = None
        self._live: Live | None = None
        self._lock = threading.Lock()

    @property
    def watchers(self) -> tuple[Watcher, ...]:
        """For `launch(..., watchers=)`."""
        return (self._take,)

    @property
    def on_log(self) -> Callable[[str], None] | None:
        """For `launch(..., on_log=)`."""
        return self._print if self._watch is None else self._line

    def attach(self, watch: "Watch", plan: "Plan") -> None:
        """From now on `watch` is told everything; `plan` is in force."""
        self._watch = watch
        self.expect(plan)

    def expect(self, plan: "Plan") -> None:
        """Another plan is in force from now on."""
        from splitter.run.reading import expected_of

        self._expected = expected_of(plan)

    def expected(self) -> "Expected":
        """What the plan in force promises."""
        if self._expected is None:
            raise RuntimeError("nothing is watched")
        return self._expected

    def totals(self) -> "Tally | None":
        """What was asked and answered so far; None where nothing is watched."""
        return None if self._watch is None else self._watch.latest.tally

    @contextmanager
    def live(self) -> Iterator[None]:
        """Shows the instance until the block ends; the last picture stays."""
        if not self.shows_live or self._watch is None:
            yield
            return
        from rich.live import Live

        with Live(console=self._output.words, auto_refresh=False, transient=False) as live:
            self._live = live
            self._show(self._watch.latest)
            self._watch.on_reading = self._show
            try:
                yield
            finally:
                self._watch.on_reading = None
                self._show(self._watch.latest)
                with self._lock:
                    self._live = None

    def _take(self, snapshot: Snapshot) -> None:
        if self._watch is not None:
            self._watch.watcher(snapshot)

    def _line(self, line: str) -> None:
        if self._watch is not None:
            self._watch.on_line(line)
        if OUR_OWN not in line:
            self._tail.append(line)
        if self._live is None and self._print:
            self._print(line)

    def _show(self, reading: "Reading") -> None:
        from splitter.cli.views.live import LiveView

        with self._lock, suppress(OSError):  # a terminal that was closed is the supervisor's business
            if self._live is not None and self._expected is not None:
                view = LiveView(reading, self._expected, tuple(self._tail), time.time())
                self._live.update(view, refresh=True)


@contextmanager
def watching(output: Output, planned: "Planned", *, quiet: bool, metrics: str | None) -> Iterator[LaunchWatch]:
    """Everything that watches one launch. EngineError, before anything starts, for a metrics port that is taken."""
    gc.collect()
    gc.set_threshold(700, 10, 10)  # planning wants few collections; what lives for weeks wants them
    seen = LaunchWatch(output, quiet=quiet)
    if not seen.shows_live and metrics is None:
        yield seen
        return
    from splitter.run.watch import INTERVAL_S, Watch

    watch = Watch(planned.plan.rig, interval_s=INTERVAL_S if seen.shows_live else METRICS_INTERVAL_S)
    seen.attach(watch, planned.plan)
    with serving_metrics(metrics, planned, watch, seen.expected, output), watch:
        yield seen
