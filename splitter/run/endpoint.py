"""Asks an engine over HTTP whether it is ready, and whether the one that answers is ours."""

import http.client
import json
import socket
import time
from collections.abc import Collection, Mapping
from typing import Any, Literal
from urllib.parse import urlsplit

from splitter.engine.command import Server
from splitter.engine.engine import Health
from splitter.engine.engines import ENGINES
from splitter.engine.http import Answer
from splitter.errors import EngineError, UsageError

Pulse = Literal["well", "failing", "silent"]
PROBE_TIMEOUT_S = 5.0
PAGE_BYTES = 1 << 20  # of a page that a probe asks for
PORTS_TRIED = 100
HTTP_ERROR, HTTP_UNAVAILABLE = 500, 503  # llama-server says 503 while it loads (again)
ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - what is listened on, as asked for


def url_of(server: Server) -> str:
    """Where to reach the server from this machine: an address that means "all" becomes loopback."""
    host = ANY_ADDRESS.get(server.host, server.host)
    return f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"


def headers(api_key: str | None) -> dict[str, bytes]:
    """The request headers: JSON, and the key as both llama-server and koboldcpp take it."""
    key = {"Authorization": f"Bearer {api_key}".encode()} if api_key else {}
    return {"Content-Type": b"application/json", **key}


def connect(url: str, timeout_s: float) -> tuple[http.client.HTTPConnection, str]:
    """A connection to the URL's host, not through any proxy, and the URL's path. UsageError for another scheme."""
    parts = urlsplit(url)
    kinds = {"http": http.client.HTTPConnection, "https": http.client.HTTPSConnection}
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in kinds or not parts.hostname or port == -1:
        raise UsageError(f"{url!r} is not a server's URL", "write it like http://127.0.0.1:8080")
    return kinds[parts.scheme](parts.hostname, port, timeout=timeout_s), parts.path.rstrip("/")


def ask(
    url: str,
    path: str,
    *,
    body: Mapping[str, Any] | None = None,
    api_key: str | None = None,
    timeout_s: float = 5,
    most_bytes: int | None = None,
) -> Answer:
    """One request: GET, or POST when there is a body. OSError or HTTPException when nothing answers properly.

    `timeout_s` bounds each silence; with `most_bytes` the whole answer, of which no more than so much is read.
    """
    connection, base = connect(url, timeout_s)
    try:
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", base + path, data, headers(api_key))
        response = connection.getresponse()
        whole = response.read() if most_bytes is None else beginning(response, most_bytes, timeout_s)
        return Answer(response.status, whole)
    finally:
        connection.close()


def beginning(response: http.client.HTTPResponse, most_bytes: int, timeout_s: float) -> bytes:
    """The first `most_bytes` of an answer at most. TimeoutError when it still trickles in after `timeout_s`."""
    read, until_s = b"", time.monotonic() + timeout_s
    while len(read) < most_bytes and (more := response.read1(most_bytes - len(read))):
        read += more
        if time.monotonic() > until_s:
            raise TimeoutError("the answer is too long")
    return read


def health(kind: str, url: str, api_key: str | None = None) -> Health:
    """What the endpoint says, asked in the engine's own way."""

    def page(path: str) -> Answer:
        return ask(url, path, api_key=api_key, timeout_s=PROBE_TIMEOUT_S, most_bytes=PAGE_BYTES)

    try:
        return ENGINES[kind].health(page)
    except (OSError, http.client.HTTPException):
        return "absent"


def pulse(kind: str, url: str, api_key: str | None = None) -> Pulse:
    """How an engine that was ready does: one request to a page that the engine does not write into its log. "failing":
    it answers an error or refuses the connection; "silent": no answer in PROBE_TIMEOUT_S, which a busy one may be."""
    try:
        path = ENGINES[kind].pulse_path
        status = ask(url, path, api_key=api_key, timeout_s=PROBE_TIMEOUT_S, most_bytes=PAGE_BYTES).status
    except TimeoutError:
        return "silent"
    except (OSError, http.client.HTTPException):
        return "failing"
    return "failing" if status >= HTTP_ERROR and status != HTTP_UNAVAILABLE else "well"


def cpu_time_s(pid: int) -> float:
    """CPU time that `pid` has spent so far; 0 when the system will not tell."""
    import psutil

    try:
        spent = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(spent.user + spent.system)


def hung_up(pid: int, ports: Collection[int]) -> set[int]:
    """Those of `ports` that `pid` is still connected to, but whose other end has closed; none where the system will not
    tell."""
    import psutil

    try:
        rows = psutil.Process(pid).net_connections("tcp")
    except psutil.Error:
        return set()
    return {row.raddr[1] for row in rows if row.raddr and row.status == "CLOSE_WAIT" and row.raddr[1] in ports}


def listens(pid: int, port: int) -> bool:
    """Whether `pid` or one of its descendants listens on `port`; True when the system will not tell whose it is."""
    import psutil

    try:
        root = psutil.Process(pid)
        sockets = [c for p in (root, *root.children(recursive=True)) for c in p.net_connections("tcp")]
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:
        return True
    return any(listens_on(c.status, c.laddr, port) for c in sockets) or _owner_is_unknown(port)


def _owner_is_unknown(port: int) -> bool:
    """Whether the system does not say which process listens on `port`: without rights some systems list a listener
    without its owner, and wine lists no listener at all."""
    import psutil

    try:
        listeners = [row for row in psutil.net_connections("tcp") if row.status == "LISTEN"]
    except psutil.Error:
        return True
    owners = [row.pid for row in listeners if listens_on(row.status, row.laddr, port)]
    return not listeners or (bool(owners) and not any(owners))


def listens_on(status: str, address: tuple[Any, ...], port: int) -> bool:
    """Whether one row of psutil's connections is a listener on `port`."""
    return status == "LISTEN" and address[1:] == (port,)


def is_free(host: str, port: int) -> bool:
    """Whether a server could listen there now."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM)[0]
    except OSError:
        raise UsageError(f"{host!r} is not an address of this machine", "use 127.0.0.1") from None
    with socket.socket(family, kind, protocol) as probe:
        # As servers do: a port in TIME_WAIT is free. On Windows that option would share a port that is in use.
        option = getattr(socket, "SO_EXCLUSIVEADDRUSE", socket.SO_REUSEADDR)
        probe.setsockopt(socket.SOL_SOCKET, option, 1)
        try:
            probe.bind(address)
        except OSError:
            return False
    return True


def next_free_port(host: str, port: int) -> int | None:
    """The first free port after `port`; None when a hundred are taken."""
    return next((p for p in range(port + 1, min(port + PORTS_TRIED, 65535) + 1) if is_free(host, p)), None)


def any_free_port(host: str = "127.0.0.1") -> int:
    """A port that is free now, chosen by the system."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def port_owner(port: int) -> str | None:
    """The process that listens on `port`, as "name (pid)"; None when the system will not tell."""
    import psutil

    try:
        found = [c.pid for c in psutil.net_connections("tcp") if listens_on(c.status, c.laddr, port)]
        pids = [pid for pid in found if pid]
        return f"{psutil.Process(pids[0]).name()} (pid {pids[0]})" if pids else None
    except psutil.Error:
        return None


def require_free(server: Server) -> None:
    """EngineError that names who holds the server's port and the next free one."""
    if is_free(server.host, server.port):
        return
    owner = port_owner(server.port) or "another program"
    free = next_free_port(server.host, server.port)
    hint = f"stop it, or use --port {free}" if free else "stop it, or use another --port"
    raise EngineError(f"port {server.port} on {server.host} is already used by {owner}", hint)
