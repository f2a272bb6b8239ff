"""Stops instances from another terminal: asks their supervisors, waits until nothing is left, and kills what stays."""

import time
from collections.abc import Sequence
from contextlib import suppress

from splitter.run.endpoint import is_free
from splitter.run.entry import Entry
from splitter.run.registry import Registry, is_ours

ASK_S = 20.0  # the supervisor's own ladder: interrupt, terminate, kill, five seconds each
INSIST_S = 5.0
PORT_S = 5.0
POLL_S = 0.1


def stop(registry: Registry, entries: Sequence[Entry], ask_s: float = ASK_S) -> tuple[Entry, ...]:
    """Stops all of `entries` together; returns those that are still there in the end.

    Asks, waits `ask_s`, asks again (which climbs the supervisor's ladder), then kills the supervisors: their engines
    die with them.
    """
    left = tuple(entries)
    for means, wait_s in ((ask, ask_s), (ask, INSIST_S), (kill, INSIST_S)):
        for entry in left:
            means(registry, entry)
        left = wait_gone(registry, left, wait_s)
        if not left:
            break
    wait_ports([entry for entry in entries if entry not in left])
    return left


def ask(registry: Registry, entry: Entry) -> None:
    """Puts down a file that the instance's supervisor looks for: a signal would stop everything in its process."""
    with suppress(OSError):
        registry.stop_file(entry.name).touch()


def kill(_registry: Registry, entry: Entry) -> None:
    """Kills the supervisor, which ends its engine too."""
    import psutil

    if is_ours(entry.supervisor_pid, entry.supervisor_created):
        with suppress(psutil.Error):
            psutil.Process(entry.supervisor_pid).kill()


def wait_gone(registry: Registry, entries: Sequence[Entry], wait_s: float) -> tuple[Entry, ...]:
    """Those of `entries` that are still registered after at most `wait_s`."""
    until_s = time.monotonic() + wait_s
    while True:
        here = {entry.id for entry in registry.entries()}
        left = tuple(entry for entry in entries if entry.id in here)
        if not left or time.monotonic() >= until_s:
            return left
        time.sleep(POLL_S)


def wait_ports(entries: Sequence[Entry]) -> None:
    """Returns when the ports are free, or after PORT_S: somebody else may have taken them."""
    until_s = time.monotonic() + PORT_S
    for entry in entries:
        while not is_free(entry.host, entry.port) and time.monotonic() < until_s:
            time.sleep(POLL_S)
