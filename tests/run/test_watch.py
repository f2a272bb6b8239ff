"""Watch on a real engine: exact counts, live tokens, a key; and on one that hangs."""

import json
import os
import socket
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.rig.device import Host, Rig
from splitter.rig.sensors import Sensors
from splitter.run.endpoint import any_free_port
from splitter.run.process_use import ProcessMeter
from splitter.run.reading import Reading
from splitter.run.supervisor import launch
from splitter.run.watch import Watch
from tests.run.launched import TINY
from tests.run.readings import SNAPSHOT

EMPTY = Rig("none", Host(), ())
TOKENS = 200


def embedded(port: int, key: Path | None = None, *more: str) -> EngineCommand:
    keys = ("--api-key-file", str(key)) if key else ()
    argv = (sys.executable, "-m", "splitter.engine.embedded.server", "-m", str(TINY), "-c", "4096", "-np", "2",
            "-t", "1", "--port", str(port), *keys, *more)  # fmt: skip
    return EngineCommand(EngineRef("embedded"), argv, {}, Server(port=port, api_key_file=str(key) if key else None))


def keep_asking(url: str, enough: threading.Event, answered: list[int]) -> None:
    """One request after the other, each of TOKENS tokens, until it is `enough`."""
    body = json.dumps({"prompt": "The card", "n_predict": TOKENS, "ignore_eos": True}).encode()
    while not enough.is_set():
        request = urllib.request.Request(f"{url}/completion", body, {"Authorization": "Bearer a-secret"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            answered.append(answer.status)


def sampled(watch: Watch, is_there: Callable[[Reading], bool]) -> Reading:
    """The first sample of which `is_there`; the last after a minute."""
    for _ in range(600):
        reading = watch.sample()
        if is_there(reading):
            break
        time.sleep(0.05)
    return reading


@pytest.mark.engine
def test_a_real_engine_with_a_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a-secret\n", encoding="utf-8")
    watch = Watch(EMPTY, sensors=Sensors(EMPTY))
    with launch(embedded(any_free_port(), key), on_log=watch.on_line, watchers=(watch.watcher,)) as instance:
        assert watch.sample().slots is None
        instance.wait_ready()
        seen, answered = threading.Event(), list[int]()
        asking = threading.Thread(target=keep_asking, args=(instance.url, seen, answered))
        asking.start()
        live = sampled(watch, lambda r: bool(r.slots and r.slots.busy and r.tokens_per_s))
        seen.set()
        asking.join()
        done = sampled(watch, lambda r: r.tally.requests == len(answered))
    assert live.slots
    assert (live.slots.total, live.slots.busy) == (2, 1)
    assert live.tokens_per_s
    assert done.tally.generated_tokens == TOKENS * len(answered) >= live.tally.generated_tokens
    assert done.tally.last_generation_tokens_per_s
    assert done.engine
    assert done.engine.resident_bytes > 0
    assert watch.sample().slots is None, "a stopped engine is not asked"


def test_an_engine_that_accepts_and_never_answers() -> None:
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        port = deaf.getsockname()[1]
        server = replace(SNAPSHOT.command, server=Server(port=port))
        hung = replace(SNAPSHOT, url=f"http://127.0.0.1:{port}", pid=os.getpid(), command=server)
        with Watch(EMPTY, interval_s=0.01) as watch:
            watch.watcher(hung)
            while watch.latest.snapshot is None:
                time.sleep(0.01)
            reading = watch.latest
    assert (reading.slots, reading.tokens_per_s) == (None, None)
    assert reading.engine


def test_an_engine_that_sleeps_when_idle_is_not_woken() -> None:
    asleep = replace(SNAPSHOT.command, argv=("llama-server", "--sleep-idle-seconds", "60"))
    watch = Watch(EMPTY)
    watch.watcher(replace(SNAPSHOT, command=asleep, pid=os.getpid()))
    assert watch.sample().slots is None


def test_a_process_that_is_gone() -> None:
    assert ProcessMeter(2**22 - 3).read() is None
    own = ProcessMeter()
    first, second = own.read(), own.read()
    assert first
    assert second
    assert (first.cpus, second.resident_bytes > 0) == (None, True)
    assert second.cpu_s >= first.cpu_s
