"""Snapshot: what is known of a supervised engine at one moment, for views, the registry and exporters. Pure."""

from collections.abc import Callable
from dataclasses import dataclass

from splitter.engine.command import EngineCommand
from splitter.run.lifecycle import Failure, Phase


@dataclass(frozen=True, slots=True)
class Snapshot:
    """`pid` None while no process runs. `generation` counts the starts so far (the first is 1), `restarts` those that
    followed an end, re-plans included. `started_at` is the wall clock (`time.time()`) of the latest start, `ready_s`
    how long that start took to become ready, `failure` why the latest process ended or is being stopped."""

    phase: Phase
    pid: int | None
    url: str
    restarts: int
    generation: int
    started_at: float
    ready_s: float | None
    failure: Failure | None
    command: EngineCommand


Watcher = Callable[[Snapshot], None]
