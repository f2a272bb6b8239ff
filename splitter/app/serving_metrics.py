"""`splitter launch --metrics`: what a launch is told and does about its metrics for Prometheus."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from splitter.app.events import Events
from splitter.errors import UsageError

if TYPE_CHECKING:
    from splitter.app.planning import Planned
    from splitter.run.reading import Expected
    from splitter.run.watch import Watch


@contextmanager
def serving_metrics(
    where: str | None, planned: "Planned", watch: "Watch", expected: "Callable[[], Expected]", events: Events
) -> Iterator[None]:
    """Serves what `watch` sees at `where` ([HOST:]PORT; None: nowhere) while the block runs. UsageError for the
    engine's own port, EngineError for one that is taken."""
    if where is None:
        yield
        return
    from splitter.run import metrics_server
    from splitter.run.metrics_address import metrics_address

    address = metrics_address(where)
    if address.port == planned.command.server.port:
        raise UsageError(f"--metrics and the engine both want port {address.port}", "use another port for --metrics")
    with metrics_server.serving_metrics(address, lambda: watch.latest, expected):
        events.say(f"metrics at {address.url()}")
        if address.beyond_loopback():
            events.say("anyone who can reach that address can read the metrics; they contain no prompts and no keys")
        yield
