"""The process that answers one long question: a line of JSON in, lines of JSON out. It ends when its input closes."""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO, Any

from splitter.app.events import Progress, Tell
from splitter.app.questions import answered
from splitter.app.wire import envelope
from splitter.run.registry import interrupt


class Told:
    """Events as lines of JSON."""

    def __init__(self, write: Callable[[dict[str, Any]], None]) -> None:
        self._write = write

    def say(self, text: str) -> None:
        """A remark."""
        self._write({"said": text})

    @contextmanager
    def step(self, text: str) -> Iterator[Tell]:
        """Work of some seconds."""
        self._write({"step": text})
        yield lambda now: self._write({"step": f"{text}: {now}"})

    @contextmanager
    def transfer(self) -> Iterator[Progress | None]:
        """Bytes that arrive, told at most once a percent."""
        last = -1

        def told(here: int, total: int) -> None:
            nonlocal last
            percent = 100 * here // total if total else 0
            if percent != last:
                last = percent
                self._write({"here": here, "total": total})

        yield told


def main() -> None:
    """Reads the question, answers it, says how far it is."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    question = json.loads(sys.stdin.readline())
    out = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
    os.dup2(2, 1)  # what else prints does not speak between our lines
    try:
        answer = _answer(question, out)
    except KeyboardInterrupt:
        item = {"code": "interrupted", "message": "stopped", "hint": ""}
        answer = envelope(question["name"], "error", None, [item])
    with contextlib.suppress(OSError):
        out.write(json.dumps({"answer": answer}) + "\n")
        out.flush()
    os._exit(0)  # the thread that waits for our input's end does not keep us


def _answer(question: dict[str, Any], out: IO[str]) -> dict[str, Any]:
    def write(line: dict[str, Any]) -> None:
        with contextlib.suppress(OSError, ValueError):
            out.write(json.dumps(line) + "\n")

    threading.Thread(target=_until_closed, daemon=True).start()
    return answered(question["name"], question["values"], Told(write))


def _until_closed() -> None:
    sys.stdin.read()
    interrupt()


if __name__ == "__main__":
    main()
