"""Starts the gateway, and what `splitter gateway key` does. Imported by its verb alone."""

import asyncio
import gc
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import uvicorn

from splitter.errors import EngineError, SplitterError, UsageError
from splitter.folders import config_folder
from splitter.gateway.app import Gateway, build, key_data
from splitter.gateway.backend import GatewayBackend
from splitter.gateway.door import FrontDoor
from splitter.gateway.gate import KeyGate
from splitter.gateway.haproxy_process import HaproxyProcess
from splitter.gateway.keeper import Keeper
from splitter.gateway.keys import KeyRecord, hashed, new_token
from splitter.gateway.metrics import Metrics
from splitter.gateway.protocol import bounded_protocol
from splitter.gateway.quota import Quota
from splitter.gateway.relay import Relay
from splitter.gateway.settings import BackendSettings, GatewaySettings, backend_of, checked, read_rate, read_settings
from splitter.gateway.store import Store
from splitter.profile.files import read_text
from splitter.run.endpoint import is_free, next_free_port, port_owner
from splitter.run.keys import read_key
from splitter.whole_file import write_whole

SETTINGS_FILE = "gateway.yaml"
KEEP_ALIVE_S = 30


def settings_of(file: str | None, backends: tuple[str, ...] = (), **given: object) -> GatewaySettings:
    """The settings file (default: gateway.yaml in the settings folder, where there is one) under what was given."""
    path = Path(file).expanduser() if file else config_folder() / SETTINGS_FILE
    settings = read_settings(read_text(path), str(path)) if file or path.is_file() else GatewaySettings()
    named = tuple(backend_of(url, "--backend") for url in backends)
    told = {name: value for name, value in given.items() if value is not None}
    more = replace(settings, backends=(*settings.backends, *named), **told)  # type: ignore[arg-type]
    return checked(more, "command line")


def run(
    settings: GatewaySettings, say: Callable[[str], None], ready: Callable[[str], None], *, haproxy: bool = False
) -> None:
    """Serves until a signal. `ready` is told the URL. EngineError for a port that is taken. `haproxy`: HAProxy starts
    in front."""
    if not is_free(settings.host, settings.port):
        owner = port_owner(settings.port) or "another program"
        free = next_free_port(settings.host, settings.port)
        raise EngineError(f"port {settings.port} on {settings.host} is already used by {owner}",
                          f"stop it, or use --port {free}")  # fmt: skip
    store = Store(settings.database)
    _require_keys(settings, store)
    runner = _runner()
    runner(_serve(settings, store, say, ready, HaproxyProcess(settings, say) if haproxy else None))


def _runner() -> Callable[..., None]:
    """uvloop where there is one: a third less time per request."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    return uvloop.run


def _require_keys(settings: GatewaySettings, store: Store) -> None:
    if not settings.guarded or settings.jwt.algorithm:
        return
    if not any(record.revoked_at is None for record in store.all_keys()):
        message = f"{settings.host} can be reached by others, and this gateway has no key yet"
        raise UsageError(message, "splitter gateway key add NAME")


async def _serve(
    settings: GatewaySettings,
    store: Store,
    say: Callable[[str], None],
    ready: Callable[[str], None],
    haproxy: HaproxyProcess | None,
) -> None:
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    door, quota, metrics = FrontDoor(settings), Quota(settings.shared), Metrics()
    jwt_key = (
        Path(settings.jwt.key_file).expanduser().read_text(encoding="utf-8").strip() if settings.jwt.key_file else None
    )
    gate = KeyGate(settings, quota, jwt_key)
    keeper = Keeper(door, gate, quota, store, metrics, name, say)
    relay = Relay(door, keep_text=settings.history.text)
    for told in settings.backends:
        door.backends[told.name] = _backend(told)
    gateway = Gateway(door, gate, relay, keeper, store, metrics, name, join_key(settings), say)
    config = uvicorn.Config(
        build(gateway),
        settings.host,
        settings.port,
        http=bounded_protocol(settings.limits),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        date_header=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=int(settings.stop_s),
        limit_concurrency=settings.limits.connections,
    )
    server = _Server(config)
    await keeper.start()
    if haproxy is not None:
        await haproxy.start(list(door.backends.values()))
    gc.collect()
    gc.freeze()  # what was loaded stays: looking through it again and again cost some milliseconds each time
    waiting = asyncio.create_task(_announce(server, settings, ready))
    try:
        await server.serve()
    except SystemExit:
        raise EngineError(
            f"the gateway could not listen on {settings.host}:{settings.port}", "use another --port"
        ) from None
    finally:
        waiting.cancel()
        if haproxy is not None:
            await haproxy.stop()
        await keeper.stop()
        await relay.close()


class _Server(uvicorn.Server):
    """Ends with what runs done, at the first signal; at a second one at once. uvicorn's own raises the signal again."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {name: signal.signal(name, self.handle_exit) for name in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for name, handler in before.items():
                signal.signal(name, handler)


async def _announce(server: uvicorn.Server, settings: GatewaySettings, ready: Callable[[str], None]) -> None:
    while not server.started:
        await asyncio.sleep(0.01)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    ready(f"http://{host}:{settings.port}")


def _backend(told: BackendSettings) -> GatewayBackend:
    key = read_key(Path(told.api_key_file).expanduser()) if told.api_key_file else None
    return GatewayBackend(told.name, told.url, "settings", key, told.models, told.slots)


def join_key_file(settings: GatewaySettings) -> Path:
    """Where the join key lies."""
    given = settings.join_key_file
    return Path(given).expanduser() if given else config_folder() / "keys" / "join.key"


def join_key(settings: GatewaySettings) -> str | None:
    """The join key; made where no file is named and none is there."""
    path = join_key_file(settings)
    if not path.exists() and settings.join_key_file is None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_whole(path, secrets.token_urlsafe(32) + "\n", 0o600)
        except OSError:
            return None
    return read_key(path)


def add_key(
    settings: GatewaySettings,
    name: str,
    *,
    rate: str | None = None,
    at_once: int | None = None,
    models: tuple[str, ...] | None = None,
    priority: str | None = None,
    admin: bool = False,
) -> str:
    """A new key, which is shown once: its hash is kept. UsageError for a value that makes no sense."""
    if not 0 < len(name) <= 80 or not name.isprintable():
        raise UsageError(f"{name[:80]!r} cannot name a key", "use at most 80 printable characters")
    try:
        kept = str(read_rate(rate)) if rate else None
    except ValueError as problem:
        raise UsageError(f"--rate {rate!r} is not {problem}", "--rate 60/min") from None
    token = new_token()
    record = KeyRecord(name, hashed(token), time.time(), None, kept, at_once, models, priority, admin)  # type: ignore[arg-type]
    Store(settings.database).add_key(record)
    return token


def keys(settings: GatewaySettings) -> tuple[KeyRecord, ...]:
    """All keys."""
    return Store(settings.database).all_keys()


def revoke_key(settings: GatewaySettings, name: str) -> None:
    """SplitterError when there is no such key in force."""
    if not Store(settings.database).revoke(name):
        raise SplitterError(f"there is no key called {name!r} in force", "splitter gateway key list")


__all__ = ["add_key", "key_data", "keys", "revoke_key", "run", "settings_of"]
