"""`splitter ui`: the server with its door, its pages and its API."""

import secrets
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import uvicorn
from fastapi import FastAPI

from splitter import __version__
from splitter.engine.command import Server
from splitter.errors import SplitterError, UsageError
from splitter.folders import state_folder
from splitter.run.keys import key_of, secured
from splitter.web.api import ROOT, api
from splitter.web.door import Door
from splitter.web.gate import Gate
from splitter.web.reach import Reach, reach
from splitter.web.work import Works
from splitter.whole_file import write_whole

KEY_BYTES = 32
STOP_S = 3


@dataclass(frozen=True, slots=True)
class Ui:
    """What the command line says: `paths` are files and folders that the page may read as well."""

    host: str = "127.0.0.1"
    port: int = 8090
    paths: tuple[str, ...] = ()
    api_only: bool = False
    api_key_file: str | None = None


def serve(ui: Ui, ready: Callable[[str], None], say: Callable[[str], None]) -> None:
    """Serves until it is interrupted; `ready` gets the address to open. UsageError for a port that is taken."""
    listening = _listen(ui)
    port = int(listening.getsockname()[1])
    door = _door(ui, port, say)
    works = Works()
    app = application(ui, door, works)
    host = "127.0.0.1" if ui.host in {"localhost", "0.0.0.0", "::"} else ui.host  # noqa: S104 - compared, not bound
    shown = f"[{host}]" if ":" in host else host
    ready(f"http://{shown}:{port}/" + ("" if _beyond(ui) else f"?token={door.key}"))
    config = uvicorn.Config(
        app, log_config=None, access_log=False, timeout_graceful_shutdown=STOP_S, server_header=False, lifespan="off"
    )
    try:
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        works.close()


def application(ui: Ui, door: Door, works: Works) -> Gate:
    """The routes behind the door."""
    found = reachable(ui.paths)
    app = FastAPI(
        title="splitter",
        version=__version__,
        description="Every use case of splitter; the answers are the objects of `--json`.",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{ROOT}/openapi.json",
    )
    app.include_router(api(found, works))
    if not ui.api_only:
        from splitter.web.pages import pages

        app.include_router(pages(found, works, door, ui.paths))
    return Gate(app, door)


def reachable(paths: tuple[str, ...]) -> Reach:
    """The folders of the models that are found, the shipped examples, and what was named."""
    from splitter.model.found import find_models
    from splitter.shipped import shipped_folder

    for path in paths:
        if not Path(path).expanduser().exists():
            raise UsageError(f"there is no {path}", "name a model, a rig file, or a folder of models")
    return reach((*paths, str(shipped_folder("examples"))), (model.path for model in find_models().models))


def _beyond(ui: Ui) -> bool:
    return Server(host=ui.host).beyond_loopback()


def _listen(ui: Ui) -> socket.socket:
    family = socket.AF_INET6 if ":" in ui.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((ui.host, ui.port))
    except OSError as error:
        listening.close()
        raise UsageError(f"{ui.host}:{ui.port} cannot be used: {error.strerror}", "give another --port") from None
    listening.listen(128)
    return listening


def _door(ui: Ui, port: int, say: Callable[[str], None]) -> Door:
    """On loopback a key of our own, kept so that an open page comes back after a restart; beyond it the user's."""
    if not _beyond(ui) and ui.api_key_file is None:
        return Door(port, _own_key())
    server, said = secured(Server(host=ui.host, port=port, api_key_file=ui.api_key_file))
    for line in said:
        say(line)
    key = key_of(server)
    if not key:
        raise SplitterError("there is no key to open the page with", "give one with --api-key-file FILE")
    any_address = ui.host in {"0.0.0.0", "::"}  # noqa: S104 - compared, not bound
    return Door(port, key, (ui.host.lower(),), everywhere=any_address)


def _own_key() -> str:
    path = state_folder() / "ui.key"
    try:
        kept = path.read_text(encoding="ascii").strip()
        if len(kept) >= KEY_BYTES:
            return kept
    except (OSError, ValueError):
        pass
    key = secrets.token_urlsafe(KEY_BYTES)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_whole(path, key + "\n", 0o600)
    return key
