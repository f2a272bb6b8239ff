"""What `--metrics [HOST:]PORT` means. Pure."""

from dataclasses import dataclass

from splitter.engine.command import is_loopback
from splitter.errors import UsageError

LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True)
class MetricsAddress:
    """Where metrics are served."""

    host: str
    port: int

    def beyond_loopback(self) -> bool:
        """Whether other machines may read them."""
        return not is_loopback(self.host)

    def url(self) -> str:
        """What a scraper is told."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/metrics"


def metrics_address(text: str) -> MetricsAddress:
    """`9400` (loopback), `0.0.0.0:9400`, `[::1]:9400`. UsageError for anything else."""
    host, colon, port = text.strip().rpartition(":")
    host = host.removeprefix("[").removesuffix("]") if colon else LOOPBACK
    if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
        raise UsageError(f"{text!r} is neither a port nor HOST:PORT", "write a port, or HOST:PORT: --metrics 9400")
    return MetricsAddress(host, int(port))
