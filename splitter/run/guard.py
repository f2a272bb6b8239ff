"""POSIX: a tiny process that leads the engine's process group and kills the whole group when the supervisor is gone.

Why not a parent-death signal: PR_SET_PDEATHSIG exists only on Linux, reaches only the direct child (koboldcpp's single
file starts another one), fires when the creating *thread* ends, and would have to be set in a `preexec_fn`, which
may deadlock in a program with threads. The guard needs none of that: it reads a pipe whose other end only the
supervisor holds, and the kernel closes that end however the supervisor dies. The engine joins the guard's group before
it becomes the engine, so there is no moment in which it is alive and unguarded; and as long as the guard is not reaped,
the group's number cannot belong to anybody else.
"""

import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from shutil import which
from typing import Any

# Its own stop signals are ignored before the line that says so; then it waits for the end of its input.
SCRIPT = "trap '' HUP INT QUIT TERM TSTP TTIN TTOU USR1 USR2; echo guarding; read -r _; kill -KILL 0"


KILL = getattr(signal, "SIGKILL", signal.SIGTERM)  # the module is imported on Windows too, where nothing of it runs


class Guard:
    """The leader of one engine's process group. OSError when it cannot be started."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._popen = subprocess.Popen(
            [which("sh") or "/bin/sh", "-c", SCRIPT],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env={},
            process_group=0,
        )
        if self._popen.stdout is not None:  # from its line on, no signal but SIGKILL ends it
            self._popen.stdout.readline()
            self._popen.stdout.close()

    @property
    def group(self) -> int:
        """The process group that it leads."""
        return self._popen.pid

    def popen_options(self) -> dict[str, Any]:
        """How `subprocess.Popen` starts the engine inside the group."""
        return {"process_group": self.group}

    def adopt(self, popen: "subprocess.Popen[bytes]") -> None:
        """Nothing: the engine was born in the group."""

    def signal(self, number: int) -> None:
        """Signals the engine and what it started; the guard itself hears only SIGKILL."""
        with self._lock:
            if self._popen.returncode is None:
                kill_group(self.group, number)

    def end(self) -> None:
        """Kills what is left of the group, the guard with it."""
        with self._lock:
            if self._popen.returncode is None:
                kill_group(self.group, KILL)
                self._popen.wait()
        if self._popen.stdin is not None:
            self._popen.stdin.close()


def kill_group(group: int, number: int) -> None:
    """Signals a POSIX process group; one that is gone already is fine."""
    if sys.platform != "win32":
        with suppress(ProcessLookupError, PermissionError):  # macOS answers EPERM for a group of zombies
            os.killpg(group, number)
