"""Enters a gateway: a thread tells it of a running engine until that stops. It is reached where it asks from."""

import http.client
import platform
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any

from splitter.app.events import Events
from splitter.app.launching import Started
from splitter.errors import SplitterError, UsageError
from splitter.folders import config_folder
from splitter.run.endpoint import ask, connect
from splitter.run.keys import key_of, read_key

HEARTBEAT_S = 5.0
ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class Entrance:
    """A gateway that an engine enters, and its join key."""

    url: str
    key: str


def entrance(url: str, file: str | None) -> Entrance:
    """The gateway at `url`, with the key in `file` or where a gateway of this user keeps it. UsageError for what is
    no URL, SplitterError without a key."""
    connect(url, ANSWER_S)
    path = Path(file).expanduser() if file else config_folder() / "keys" / "join.key"
    if not path.is_file():
        hint = "copy keys/join.key from the gateway's settings folder, and name it with --join-key-file FILE"
        raise SplitterError(f"there is no join key at {path}", hint)
    return Entrance(url, read_key(path))


def membership(started: Started) -> dict[str, Any]:
    """What a gateway is told of a launched engine."""
    planned = started.planned
    server, speed, settings = planned.command.server, planned.plan.speed, planned.settings
    file = PurePath(planned.command.model_path.replace("\\", "/")).name
    told = {
        "name": re.sub(r"[^A-Za-z0-9._-]", "-", f"{platform.node() or 'engine'}-{PurePath(file).stem}")[:80],
        "port": int(started.instance.url.rpartition(":")[2]),
        "models": list(dict.fromkeys(word for word in (planned.plan.facts.name, file) if word)),
        "engine": planned.command.engine.kind,
        "version": planned.command.engine.version,
        "slots": settings.parallel,
        "context_size": settings.context_size,
        "api_key": key_of(server),
        "generation_tokens_per_s": speed.generation_tokens_per_s,
        "prompt_tokens_per_s": speed.prompt_tokens_per_s,
        "rig": [device.device.name for device in planned.devices],
        "plan": " ".join(planned.command.arguments)[:4000],
    }
    return {key: value for key, value in told.items() if value is not None}


@contextmanager
def joined(enters: Entrance | None, tell: Callable[[], Mapping[str, Any]], events: Events) -> Iterator[None]:
    """Tells the gateway of the engine while the block runs, and at its end that it is gone. None: there is none."""
    if enters is None:
        yield
        return
    over = threading.Event()
    thread = threading.Thread(target=_beat, args=(enters, tell, events, over), name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(ANSWER_S + 1)


def _beat(enters: Entrance, tell: Callable[[], Mapping[str, Any]], events: Events, over: threading.Event) -> None:
    """A gateway that is away is told again when it is back. What it says is said once."""
    said = ""
    while True:
        now = _told(enters, "/nodes/join", tell())
        if now != said:
            events.say(now)
        said = now
        if over.wait(HEARTBEAT_S):
            break
    _told(enters, "/nodes/leave", {"port": tell()["port"]})


def _told(enters: Entrance, path: str, body: Mapping[str, Any]) -> str:
    """What came of it, for people."""
    url = enters.url
    try:
        answer = ask(url, path, body=body, api_key=enters.key, timeout_s=ANSWER_S, most_bytes=1 << 16)
    except (OSError, http.client.HTTPException, UsageError) as error:
        return f"the gateway {url} does not answer ({type(error).__name__}); this engine enters it when it does"
    if answer.status == 200:
        return f"entered the gateway {url}"
    errors = (answer.json() or {}).get("errors") if isinstance(answer.json(), dict) else None
    reason = errors[0].get("message") if errors else f"it answered {answer.status}"
    return f"the gateway {url} refuses this engine: {reason}"
