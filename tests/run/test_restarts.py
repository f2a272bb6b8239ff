"""Real processes that are killed or stop answering, and are started again; the log keeps every start."""

import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.supervision import UNSUPERVISED
from splitter.errors import EngineError
from splitter.run.endpoint import any_free_port
from splitter.run.log_file import LogFile
from splitter.run.snapshot import Snapshot
from splitter.run.supervisor import Instance, launch

FAKE = Path(__file__).parent / "fake_engine.py"
ALIVE = replace(
    UNSUPERVISED,
    ready_timeout_s=60,
    restart="on-failure",
    max_restarts=1,
    backoff_s=0.1,
    health_interval_s=0.2,
    health_failures=2,
    restart_degraded_s=0.2,
)
pytestmark = pytest.mark.usefixtures("no_process_left")
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


def fake(*behaviours: str) -> EngineCommand:
    port = any_free_port()
    return EngineCommand(
        EngineRef("llama-server"), (sys.executable, str(FAKE), str(port), *behaviours), {}, Server(port=port)
    )


def until_generation(instance: Instance, generation: int) -> None:
    """Runs the loop until that start is ready."""
    for _ in range(600):
        instance.wait(0.1)
        now = instance.snapshot()
        if (now.generation, now.phase) == (generation, "ready"):
            return
    raise AssertionError(instance.snapshot())


@posix
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV, signal.SIGTERM])
def test_killed_and_started_again_until_the_cap(number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log, seen = tmp_path / "engine.log", list[Snapshot]()
    with launch(fake(), supervision=ALIVE, on_log=LogFile(log).write, watchers=(seen.append,)) as instance:
        first = instance.wait_ready().pid
        monkeypatch.setattr(time, "time", lambda: 1e9)  # the wall clock jumps: nothing depends on it
        psutil.Process(first).send_signal(number)
        until_generation(instance, 2)
        assert instance.pid != first
        psutil.Process(instance.pid).send_signal(number)
        with pytest.raises(EngineError, match=r"ended while it ran after 1 restart in a row \(killed by"):
            instance.wait(60)
    assert [s.phase for s in seen if s.phase != "starting"] == ["ready", "waiting", "ready", "failed"]
    assert seen[-1].pid is None


def test_an_engine_that_answers_500_is_restarted_then_given_up() -> None:
    phases: list[str] = []
    with launch(fake("errs"), supervision=ALIVE, watchers=(lambda s: phases.append(s.phase),)) as instance:
        instance.wait_ready()
        with pytest.raises(EngineError, match="failed 2 health probes in a row"):
            instance.wait(120)
    assert phases.count("degraded") == 2
    assert phases[-2:] == ["stopping", "failed"]


@posix
def test_an_engine_that_hangs_while_it_loads_is_killed() -> None:
    limits = replace(UNSUPERVISED, ready_timeout_s=1, terminate_after_s=0.3, stop_timeout_s=0.6, kill_timeout_s=5)
    with launch(fake("silent"), supervision=limits) as instance:
        psutil.Process(instance.pid).suspend()
        with pytest.raises(EngineError, match="was not ready after 1 s and was stopped"):
            instance.wait_ready()
    assert instance.exit_code == -signal.SIGKILL
