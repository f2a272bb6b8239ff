"""A supervisor killed with SIGKILL leaves nothing of the engine. SPLITTER_REPEAT=20 runs each case that often."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from splitter.run.endpoint import any_free_port, is_free
from splitter.run.guard import Guard
from splitter.run.job_object import ExtendedLimits, JobObject
from tests.run.test_supervisor import FAKE, gone

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX process groups")
REPEAT = range(int(os.environ.get("SPLITTER_REPEAT", "1")))
SUPERVISE = """
import sys
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.run.supervisor import launch
port = int(sys.argv[2])
command = EngineCommand(EngineRef("llama-server"), (sys.executable, *sys.argv[1:]), {}, Server(port=port))
with launch(command, on_log=lambda line: print(line, flush=True)) as instance:
    print("engine", instance.pid, flush=True)
    instance.wait_ready()
    print("ready", flush=True)
    instance.wait()
"""


def family(pid: int) -> list[psutil.Process]:
    return psutil.Process(pid).children(recursive=True)


def said(supervisor: "subprocess.Popen[str]", word: str) -> None:
    assert supervisor.stdout is not None
    for line in supervisor.stdout:
        if line.startswith(word):
            return
    raise AssertionError(f"never said {word}")


@pytest.mark.parametrize("_", REPEAT)
@pytest.mark.parametrize(
    ("behaviours", "word"),
    [
        (("silent",), "fake engine"),
        ((), "ready"),
        (("parent",), "ready"),
        (("stubborn", "parent"), "ready"),
        (("parent", "silent"), "child"),
    ],
    ids=["loading", "serving", "grandchild", "stubborn", "grandchild-loading"],
)
def test_nothing_outlives_a_killed_supervisor(behaviours: tuple[str, ...], word: str, _: int) -> None:
    port = any_free_port()
    argv = [sys.executable, "-c", SUPERVISE, str(FAKE), str(port), *behaviours]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as supervisor:
        said(supervisor, word)
        processes = family(supervisor.pid)
        assert len(processes) == 2 + ("parent" in behaviours)  # the guard, the engine, its child
        supervisor.kill()
    assert all(gone(process.pid) for process in processes)
    assert is_free("127.0.0.1", port)


@pytest.mark.parametrize("_", REPEAT)
@pytest.mark.parametrize("pause_s", [0.0, 0.1, 0.2, 0.3, 0.4])
def test_killed_at_any_moment(tmp_path: Path, pause_s: float, _: int) -> None:
    """Also between the start of the guard and that of the engine."""
    word = f"SPLITTER_MARK_{tmp_path.name}"
    argv = [sys.executable, "-c", SUPERVISE, str(FAKE), str(any_free_port()), "stubborn", word]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL) as supervisor:
        try:
            supervisor.wait(pause_s)
        except subprocess.TimeoutExpired:
            supervisor.kill()
    marked = [p.pid for p in psutil.process_iter(["cmdline"]) if word in (p.info["cmdline"] or ())]
    assert all(gone(pid) for pid in marked)


def test_the_guard_hears_no_stop_signal_but_ends_when_it_is_not_needed() -> None:
    guard = Guard()
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"):
        guard.signal(getattr(signal, name))
    assert psutil.Process(guard.group).is_running()
    guard.end()
    guard.end()
    assert not psutil.pid_exists(guard.group)


class Kernel:
    """kernel32's answers, and what it was asked."""

    def __init__(self, refuses: str = "") -> None:
        self.refuses, self.asked = refuses, []  # type: ignore[var-annotated]

    def __getattr__(self, name: str) -> object:
        def answer(*arguments: object) -> int:
            self.asked.append(name)
            return 0 if name == self.refuses else 7

        return answer


def test_a_job_object_is_made_limited_and_closed_once() -> None:
    assert ExtendedLimits.IoInfo.offset == 64
    assert (ExtendedLimits.ProcessMemoryLimit.offset, ExtendedLimits.PeakJobMemoryUsed.offset) == (112, 136)
    kernel = Kernel()
    job = JobObject(kernel)
    job.end()
    job.end()
    assert kernel.asked == ["CreateJobObjectW", "SetInformationJobObject", "CloseHandle"]


@pytest.mark.parametrize("refuses", ["CreateJobObjectW", "SetInformationJobObject"])
def test_a_refused_job_object_leaves_no_handle(refuses: str) -> None:
    kernel = Kernel(refuses)
    with pytest.raises(OSError, match="job object"):
        JobObject(kernel)
    assert kernel.asked.count("CloseHandle") == (refuses == "SetInformationJobObject")
