"""A real terminal of a given size: tmux draws it, keys go in, the screen comes out."""

import os
import shlex
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from uuid import uuid4

WAIT_S = 90.0


class Terminal:
    """`words` run in it until `close`."""

    def __init__(self, columns: int, rows: int, words: Sequence[str], folder: Path, env: Mapping[str, str]) -> None:
        self._name = f"splitter-{os.getpid()}-{uuid4().hex[:8]}"
        self.rows = rows
        command = f"trap : INT; {shlex.join(words)}; echo ended with $?; sleep 600"
        size = ("-x", str(columns), "-y", str(rows))
        inside = ["env", "-i", *(f"{name}={value}" for name, value in env.items()), "sh", "-c", command]
        self._tmux("-f", "/dev/null", "new-session", "-d", *size, "-c", str(folder), shlex.join(inside))

    def _tmux(self, *words: str) -> str:
        done = subprocess.run(["tmux", "-L", self._name, *words], capture_output=True, text=True, check=True)
        return done.stdout

    def screen(self) -> str:
        """What is to be seen now."""
        return self._tmux("capture-pane", "-p", "-t", "0")

    def all(self) -> str:
        """Everything since the start."""
        return self._tmux("capture-pane", "-p", "-S", "-", "-t", "0")

    def wait(self, text: str) -> str:
        """The screen, once it shows `text`."""
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            screen = self.screen()
            if text in " ".join(screen.split()):
                return screen
            time.sleep(0.1)
        raise AssertionError(f"{text!r} did not come:\n{self.all()}")

    def types(self, text: str) -> None:
        """Types a line."""
        self._tmux("send-keys", "-t", "0", "-l", text)
        self._tmux("send-keys", "-t", "0", "Enter")

    def ctrl_c(self) -> None:
        self._tmux("send-keys", "-t", "0", "C-c")

    def close(self) -> None:
        self._tmux("kill-server")
