"""What Prometheus is told. Labels are names of backends and of models that are here, never a client's words."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from splitter.gateway.door import FrontDoor
from splitter.gateway.record import RequestRecord

WAITS = (0.005, 0.02, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120)
TIMES = (0.05, 0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 600)


class Metrics:
    """One registry for one gateway."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        name = "splitter_gateway"

        def counter(what: str, about: str, *labels: str) -> Counter:
            return Counter(f"{name}_{what}", about, labels, registry=self._registry)

        def gauge(what: str, about: str, *labels: str) -> Gauge:
            return Gauge(f"{name}_{what}", about, labels, registry=self._registry)

        def histogram(what: str, about: str, buckets: tuple[float, ...]) -> Histogram:
            return Histogram(f"{name}_{what}", about, buckets=buckets, registry=self._registry)

        self._requests = counter("requests", "Finished requests", "route", "backend", "status")
        self._tokens = counter("tokens", "Tokens by kind: prompt, cached, output", "backend", "kind")
        self._retries = counter("retries", "Requests asked again elsewhere before the first byte")
        self._waits = histogram("wait_seconds", "Time until a slot", WAITS)
        self._expected_waits = histogram("expected_wait_seconds", "Expected time until a slot, at arrival", WAITS)
        self._firsts = histogram("first_byte_seconds", "Time until the first byte", TIMES)
        self._totals = histogram("request_seconds", "Time until the last byte", TIMES)
        self._error = histogram("wait_error_seconds", "How far the expected wait was from the real one", WAITS)
        self._waiting = gauge("waiting", "Requests that wait for a slot")
        self._at_work = gauge("at_work", "Requests at work on a backend", "backend")
        self._slots = gauge("slots", "Slots of a backend that may be used now", "backend")
        self._up = gauge("backend_up", "1: it gets requests", "backend")
        self._tps = gauge("generation_tokens_per_second", "Measured speed of one request alone", "backend")

    def finished(self, record: RequestRecord) -> None:
        """A request has ended."""
        backend = record.backend or "none"
        self._requests.labels(record.route, backend, record.status).inc()
        if record.attempts > 1:
            self._retries.inc(record.attempts - 1)
        told = record.figures
        for kind, count in (
            ("prompt", told.prompt_tokens),
            ("cached", told.cached_tokens),
            ("output", told.output_tokens),
        ):
            if count:
                self._tokens.labels(backend, kind).inc(count)
        if record.queue_s is not None:
            self._waits.observe(record.queue_s)
            if record.expected_queue_s is not None:
                self._expected_waits.observe(record.expected_queue_s)
                self._error.observe(abs(record.queue_s - record.expected_queue_s))
        if record.first_byte_s is not None:
            self._firsts.observe(record.first_byte_s)
        if record.total_s is not None:
            self._totals.observe(record.total_s)

    def look(self, door: FrontDoor) -> None:
        """How it stands now."""
        self._waiting.set(len(door.waiting))
        for backend in door.backends.values():
            view = backend.view()
            self._at_work.labels(backend.name).set(view.at_work)
            self._slots.labels(backend.name).set(view.slots)
            self._up.labels(backend.name).set(1 if backend.standing.serves else 0)
            self._tps.labels(backend.name).set(backend.pace.generation_tps or 0)

    def text(self) -> bytes:
        """The page."""
        return generate_latest(self._registry)
