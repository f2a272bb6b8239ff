"""Who sits at the machine: types command lines, double-clicks a file, asks what then listens."""

import json
import subprocess
import time
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ANSWERS_S = 120.0


@dataclass
class Person:
    """`splitter` are the words that start it on this machine; `typed` are the lines that had to be typed."""

    splitter: Sequence[str]
    home: Path
    environment: Mapping[str, str]
    typed: list[str] = field(default_factory=list)

    def types(self, line: str, *unseen: str) -> str:
        """What the line prints. `unseen` words only stand in for this machine's cards: another machine has its own."""
        self.typed.append(line)
        program, *words = line.split()
        assert program == "splitter"
        done = subprocess.run(
            [*self.splitter, *words, *unseen],
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=300,
            check=False,
        )
        said = done.stdout.decode("utf-8", "replace")
        assert done.returncode == 0, f"{line}: exit {done.returncode}\n{said}"
        return said

    def double_clicks(self, words: Sequence[str], elsewhere: Path) -> "subprocess.Popen[bytes]":
        """Starts a script as a file manager does: by its full path, from a folder that is not its own."""
        return subprocess.Popen(
            words,
            cwd=elsewhere,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )


def answer(url: str, body: Mapping[str, Any], running: "subprocess.Popen[bytes]") -> Any:
    """What the engine answers, asked until it is up."""
    until = time.monotonic() + ANSWERS_S
    while time.monotonic() < until and running.poll() is None:
        try:
            request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=60) as reply:
                return json.load(reply)
        except OSError:
            time.sleep(0.2)
    running.kill()
    raise AssertionError(running.communicate()[0].decode("utf-8", "replace"))
