"""Serves metrics over HTTP for Prometheus, through prometheus-client."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from splitter.errors import EngineError
from splitter.run import endpoint
from splitter.run.metrics import ReadingCollector
from splitter.run.metrics_address import MetricsAddress
from splitter.run.reading import Expected, Reading


@contextmanager
def serving_metrics(
    address: MetricsAddress, latest: Callable[[], Reading], expected: Callable[[], Expected]
) -> Iterator[None]:
    """Answers on `address` while the block runs. EngineError when the port is taken: nothing was started then."""
    registry = CollectorRegistry()
    registry.register(ReadingCollector(latest, expected))
    if not endpoint.is_free(address.host, address.port):
        raise taken(address)
    try:
        server, thread = start_http_server(address.port, address.host, registry)
    except OSError:  # somebody was faster
        raise taken(address) from None
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def taken(address: MetricsAddress) -> EngineError:
    """The sentence for a port that somebody else holds."""
    owner = endpoint.port_owner(address.port) or "another program"
    free = endpoint.next_free_port(address.host, address.port)
    hint = f"stop it, or use --metrics {free}" if free else "stop it, or use another port"
    return EngineError(f"metrics port {address.port} on {address.host} is already used by {owner}", hint)
