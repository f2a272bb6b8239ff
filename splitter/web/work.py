"""Long work: one process per question, which can be watched and stopped; its end does not depend on who watches."""

import json
import subprocess
import sys
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from splitter.app.questions import QUESTIONS
from splitter.app.wire import envelope
from splitter.errors import SplitterError

KEPT = 40  # finished pieces of work that can still be looked at
SAID = 400  # lines of each
STOP_S = 40.0


class LongWork:
    """One question in a process of its own. `version` grows with everything that it tells."""

    def __init__(self, name: str, values: Mapping[str, Any]) -> None:
        self.id, self.name, self.values = uuid.uuid4().hex[:12], name, dict(values)
        self.started_at = time.time()
        self.ended_at: float | None = None
        self.said: deque[str] = deque(maxlen=SAID)
        self.step, self.here, self.total = "starting", 0, 0
        self.answer: dict[str, Any] | None = None
        self.version, self.cancelled = 0, False
        self._process = subprocess.Popen(
            [sys.executable, "-m", "splitter.web.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            start_new_session=sys.platform != "win32",
        )
        self._thread = threading.Thread(target=self._read, name=f"work {name}", daemon=True)
        self._say(json.dumps({"name": name, "values": self.values}) + "\n")
        self._thread.start()

    @property
    def state(self) -> str:
        """running, stopping, stopped, done or failed."""
        if self.answer is None:
            return "stopping" if self.cancelled else "running"
        codes = {item["code"] for item in self.answer["errors"]}
        return "stopped" if "interrupted" in codes else "failed" if self.answer["status"] != "ok" else "done"

    def cancel(self) -> None:
        """Asks it to stop: its input ends, and it does what Ctrl-C does."""
        self.cancelled = True
        self.version += 1
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()

    def wait(self, timeout_s: float) -> bool:
        """Whether it has ended."""
        self._thread.join(timeout_s)
        return self.answer is not None

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()

    def data(self, since: int = 0) -> dict[str, Any]:
        """What is known of it."""
        return {
            "id": self.id,
            "question": self.name,
            "state": self.state,
            "step": self.step,
            "progress": {"here": self.here, "total": self.total} if self.total else None,
            "said": list(self.said)[since:],
            "started_at": self.started_at,
            "ended_at": self.ended_at,
            "answer": self.answer,
        }

    def _say(self, text: str) -> None:
        with suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.write(text)
                self._process.stdin.flush()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            with suppress(ValueError):
                self._take(json.loads(line))
        self._process.wait()
        if self.answer is None:
            item = {"code": "interrupted" if self.cancelled else "bug", "message": "it ended without an answer",
                    "hint": "see `splitter doctor`"}  # fmt: skip
            self.answer = envelope(QUESTIONS[self.name].command, "error", None, [item])
        self.ended_at = time.time()
        self.version += 1

    def _take(self, told: dict[str, Any]) -> None:
        if "said" in told:
            self.said.append(told["said"])
        self.step = told.get("step", self.step)
        self.here, self.total = told.get("here", self.here), told.get("total", self.total)
        self.answer = told.get("answer", self.answer)
        self.version += 1


class Works:
    """All work of this server, the newest last."""

    def __init__(self) -> None:
        self._works: dict[str, LongWork] = {}
        self._lock = threading.Lock()

    def start(self, name: str, values: Mapping[str, Any]) -> LongWork:
        """Starts one."""
        work = LongWork(name, values)
        with self._lock:
            self._works[work.id] = work
            ended = [key for key, other in self._works.items() if other.ended_at is not None]
            for key in ended[: max(0, len(ended) - KEPT)]:
                del self._works[key]
        return work

    def get(self, number: str) -> LongWork:
        """SplitterError where there is none."""
        work = self._works.get(number)
        if work is None:
            raise SplitterError(f"there is no work {number!r}", "ask for the list of work")
        return work

    def all(self) -> tuple[LongWork, ...]:
        """Everything that can still be looked at."""
        with self._lock:
            return tuple(self._works.values())

    def close(self) -> None:
        """Stops what runs, and waits for it."""
        running = [work for work in self.all() if work.ended_at is None]
        for work in running:
            work.cancel()
        for work in running:
            if not work.wait(STOP_S):
                work.kill()
