"""HAProxy's configuration from the gateway's own facts (HAProxy 2.6 to 3.x). Pure.

What was measured in front of real engines: without `retry-on ... empty-response 503` requests are lost when an engine
dies, with the default buffer a body of 40 KB is, and without `option http-no-delay` the first byte comes 20 ms later.
With `balance leastconn` every retry goes to the server that just died, since it has the fewest connections.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from splitter.errors import UsageError
from splitter.gateway.settings import GatewaySettings
from splitter.units import MIB

BUFFER_BYTES = MIB
CONNECTIONS = 4096
CHECK = "check inter 1s fall 2 rise 1 slowstart 5s observe layer4 error-limit 2 on-error mark-down"
PRIORITIES = {"high": -100, "low": 100}  # HAProxy's classes: the lower first


@dataclass(frozen=True, slots=True)
class Upstream:
    """A server behind HAProxy: `health` is the page that says whether it works, `slots` what it may have at once."""

    name: str
    url: str
    health: str
    slots: int | None = None
    models: tuple[str, ...] = ()


def haproxy_config(settings: GatewaySettings, engines: Sequence[Upstream], runtime_socket: str) -> str:
    """The whole file. `runtime_socket` takes its commands: `set server gateways/gateway1 state drain`."""
    own = settings.haproxy
    urls = own.gateways or (f"http://127.0.0.1:{settings.port}",)
    gateways = [Upstream(f"gateway{number}", url, "/health") for number, url in enumerate(urls, 1)]
    parts = [_global(runtime_socket), _defaults(settings)]
    parts += [_door(own.host, own.port or settings.port + 1), _gateways(gateways)]
    if own.engines_port is not None:
        if not engines:
            raise UsageError("haproxy.engines_port needs backends", "name them in `backends`")
        parts += _engines(own.host, own.engines_port, engines)
    if own.metrics_port is not None:
        parts.append(_metrics(own.host, own.metrics_port))
    return "\n".join(parts)


def _global(runtime_socket: str) -> str:
    return f"""# Written by `splitter gateway --haproxy`: changes are lost when it starts again.
global
    maxconn {CONNECTIONS}
    tune.bufsize {BUFFER_BYTES}
    stats socket {runtime_socket} mode 600 level admin
    hard-stop-after 120s
"""


def _defaults(settings: GatewaySettings) -> str:
    wait_s = int(settings.queue.wait_s + settings.queue.down_s)
    return f"""defaults
    mode http
    option http-no-delay
    option redispatch 1
    retries 4
    retry-on conn-failure empty-response 503
    timeout connect 3s
    timeout client {max(int(settings.limits.stall_s), wait_s)}s
    timeout http-request {int(settings.limits.header_s)}s
    timeout server {max(wait_s, 600)}s
    timeout queue {wait_s}s
    timeout check 3s
"""


def _door(host: str, port: int) -> str:
    """Clients come here; the gateways are told who asks."""
    return f"""frontend door
    bind {host}:{port}
    http-request del-header X-Forwarded-For
    option forwardfor
    default_backend gateways
"""


def _gateways(gateways: Sequence[Upstream]) -> str:
    """The gateways queue by priority themselves."""
    servers = "\n".join(f"    {_server(server)} {CHECK}" for server in gateways)
    return f"""backend gateways
    balance random
    option httpchk GET /health
{servers}
"""


def _engines(host: str, port: int, engines: Sequence[Upstream]) -> list[str]:
    """Straight to the engines, by the model in the body; each is asked for its health in its own way."""
    groups: dict[tuple[str, ...], list[Upstream]] = {}
    for engine in engines:
        groups.setdefault(tuple(sorted(engine.models)), []).append(engine)
    rules = [
        f"    use_backend engines{number} if {{ var(txn.model) -m str {' '.join(map(_quoted, models))} }}"
        for number, models in enumerate(groups, 1)
        if models
    ]
    classes = [
        f"    http-request set-priority-class int({level}) if {{ req.hdr(X-Priority) -m str {word} }}"
        for word, level in PRIORITIES.items()
    ]
    head = [
        "frontend engines_door",
        f"    bind {host}:{port}",
        "    option http-buffer-request",
        "    http-request set-var(txn.model) req.body,json_query('$.model')",
    ]
    parts = ["\n".join([*head, *classes, *rules, "    default_backend engines1", ""])]
    for number, members in enumerate(groups.values(), 1):
        rows = [f"    {_server(one)} track check_{one.name}/{one.name}{_limit(one)}" for one in members]
        parts.append("\n".join([f"backend engines{number}", "    balance random", "    http-reuse never", *rows, ""]))
    for one in engines:
        parts.append(f"""backend check_{one.name}
    option httpchk GET {one.health}
    {_server(one)} {CHECK}
""")
    return parts


def _server(server: Upstream) -> str:
    parts = urlsplit(server.url)
    tls = " ssl verify required ca-file @system-ca" if parts.scheme == "https" else ""
    return f"server {server.name} {parts.hostname}:{parts.port or (443 if tls else 80)}{tls}"


def _limit(server: Upstream) -> str:
    return f" maxconn {server.slots}" if server.slots else ""


def _quoted(word: str) -> str:
    """A name as HAProxy reads it: nothing in it ends the quotes."""
    return '"' + word.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"'


def _metrics(host: str, port: int) -> str:
    return f"""frontend metrics
    bind {host}:{port}
    http-request use-service prometheus-exporter if {{ path /metrics }}
    stats enable
    stats uri /stats
"""


def word_of(name: str) -> str:
    """A name that HAProxy takes for a server."""
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)[:60]
