"""`splitter doctor`: what this machine has, and what is wrong with it."""

import os
from typing import TYPE_CHECKING

from splitter.app.events import Events
from splitter.engine.engines import ENGINES, NAMES
from splitter.engine.find import find_engine
from splitter.engine.llama_server.dry_run import find_dry_run
from splitter.errors import EngineNotFoundError
from splitter.rig.probe import probe_rig
from splitter.run.diagnosis import Finding, Seen, diagnose
from splitter.run.endpoint import is_free, port_owner

if TYPE_CHECKING:
    from splitter.engine.command import EngineRef
    from splitter.run.diagnosis import Seen


def look_around(events: Events) -> tuple[Finding, ...]:
    """Driver, engines, device order, ports, RAM and known traps; each finding with what to do."""
    with events.step("looking around"):
        return tuple(diagnose(_look()))


def _look() -> "Seen":
    found: dict[str, EngineRef | None] = {name: _engine(name) for name in NAMES}
    here = [(ENGINES[name], engine) for name, engine in found.items() if engine]
    lister = next((path for kind, engine in here if (path := kind.lister(engine.path))), None)
    ports = dict.fromkeys(engine.port for engine in ENGINES.values())
    return Seen(
        rig=probe_rig(lister),
        engines=found,
        ports={port: None if is_free("127.0.0.1", port) else port_owner(port) or "another program" for port in ports},
        environment=dict(os.environ),
        dry_run=next((tool for _, engine in here if (tool := find_dry_run(engine))), None),
    )


def _engine(kind: str) -> "EngineRef | None":
    try:
        return find_engine(kind)
    except EngineNotFoundError:
        return None
