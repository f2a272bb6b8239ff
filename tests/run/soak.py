"""The long soak: `splitter launch` serves thousands of requests; each is answered or refused, memory stays flat.

    python -m tests.run.soak [--requests 20000] [--parallel 8] [--hours 2] [--engine llama-server|embedded]

Ends with whichever comes first, the requests or the hours. Prints medians of the first and the last quarter of the
samples; exit 1 when a request was lost or the supervisor grew.
"""

import argparse
import http.client
import json
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from urllib.parse import urlsplit

import psutil

from splitter.run.endpoint import any_free_port
from splitter.units import MIB, to_mib
from tests.run.launched import Launched, launched

REQUEST_S = 300
WARM_UP = 0.1  # of the samples: the log's ring fills, pools reach their size
GROWTH = 0.03  # what the supervisor's memory may differ between the quarters, beside 1 MiB


@dataclass
class Counts:
    """What became of the requests; `lost` holds what happened in words."""

    answered: int = 0
    refused: int = 0
    lost: list[str] = field(default_factory=list)
    given: int = 0

    @property
    def done(self) -> int:
        return self.answered + self.refused + len(self.lost)


@dataclass(frozen=True)
class Sample:
    """The supervisor and its engine at one moment; `files` are descriptors, on Windows handles."""

    supervisor_bytes: int
    files: int
    threads: int
    engine_bytes: int


def worker(url: str, counts: Counts, lock: threading.Lock, goes_on: Callable[[int], bool]) -> None:
    """Asks one request after the other while `goes_on(number of this request)`."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=REQUEST_S)
    while True:
        with lock:
            number = counts.given
            if not goes_on(number):
                break
            counts.given += 1
        said = ask(connection, number)
        with lock:
            count(counts, said)
    connection.close()


def ask(connection: http.client.HTTPConnection, number: int) -> int | str:
    """The status of one request, or in words how it was lost."""
    body = {"prompt": f"Card {number} has", "n_predict": 2 + number % 6, "seed": number}
    try:
        connection.request("POST", "/completion", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        connection.close()
        return f"request {number}: {error!r}"
    if response.status == 200 and answer.get("tokens_predicted", 0) < 1:
        return f"request {number}: an answer without tokens"
    return response.status


def count(counts: Counts, said: int | str) -> None:
    """Answered, refused (busy), or lost."""
    if said == 200:
        counts.answered += 1
    elif said in {429, 503}:
        counts.refused += 1
    else:
        counts.lost.append(str(said))


def drive(
    target: Launched, requests: int, parallel: int, seconds: float, every_s: float
) -> tuple[Counts, list[Sample]]:
    """Asks `requests` times, `parallel` at once, for at most `seconds`, and looks at the processes every `every_s`."""
    counts, lock, samples = Counts(), threading.Lock(), list[Sample]()
    end_s = time.monotonic() + seconds
    alive = target.supervisor.is_running

    def goes_on(number: int) -> bool:
        return number < requests and time.monotonic() < end_s and len(counts.lost) < 100

    workers = [threading.Thread(target=worker, args=(target.url, counts, lock, goes_on)) for _ in range(parallel)]
    for thread in workers:
        thread.start()
    while any(thread.is_alive() for thread in workers) and alive():
        samples.append(look(target))
        time.sleep(every_s)
    for thread in workers:
        thread.join()
    samples.append(look(target))
    return counts, samples


def look(target: Launched) -> Sample:
    """The two processes now."""
    supervisor = psutil.Process(target.supervisor.pid)
    files = getattr(supervisor, "num_handles" if sys.platform == "win32" else "num_fds")()
    engine_bytes = psutil.Process(target.pid).memory_info().rss
    return Sample(supervisor.memory_info().rss, files, supervisor.num_threads(), engine_bytes)


def quarters(values: Sequence[int]) -> tuple[float, float]:
    """The medians of the first and the last quarter, the warm-up left out."""
    steady = values[int(len(values) * WARM_UP) :]
    size = max(1, len(steady) // 4)
    return median(steady[:size]), median(steady[-size:])


def is_flat(first: float, last: float, slack: float) -> bool:
    """Whether the last quarter is not above the first."""
    return last <= first * (1 + GROWTH) + slack


def report(samples: Sequence[Sample]) -> bool:
    """Prints the table; True when the supervisor stayed flat. The engine's memory is its own: shown, not judged."""
    rows = (
        ("supervisor memory, MiB", [s.supervisor_bytes for s in samples], MIB, MIB),
        ("supervisor files", [s.files for s in samples], 1, 2),
        ("supervisor threads", [s.threads for s in samples], 1, 1),
        ("engine memory, MiB", [s.engine_bytes for s in samples], MIB, None),
    )
    flat = True
    print(f"{'':24}{'first quarter':>15}{'last quarter':>15}")
    for name, values, unit, slack in rows:
        first, last = quarters(values)
        level = "" if slack is None else "  flat" if is_flat(first, last, slack) else "  GROWS"
        flat = flat and "GROWS" not in level
        print(f"{name:24}{first / unit:15.1f}{last / unit:15.1f}{level}")
    return flat


def main() -> int:
    """The exit code."""
    parser = argparse.ArgumentParser(description="Soak `splitter launch`.")
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--parallel", type=int, default=8)
    parser.add_argument("--hours", type=float, default=2.0)
    parser.add_argument("--engine", choices=("llama-server", "embedded"), default="llama-server")
    given = parser.parse_args()
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        extra = ("--metrics", str(any_free_port()))
        with launched(given.engine, Path(folder), *extra) as target:
            counts, samples = drive(target, given.requests, given.parallel, given.hours * 3600, 2.0)
        code = target.supervisor.returncode
    took_s = time.monotonic() - began_s
    print(f"{given.engine}: {counts.answered} answered, {counts.refused} refused, {len(counts.lost)} lost")
    print(f"in {took_s:.0f} s at {given.parallel} in parallel; {len(samples)} samples; launch ended with {code}")
    print("\n".join(counts.lost[:10]))
    flat = report(samples)
    print(f"peak of the supervisor: {to_mib(max(s.supervisor_bytes for s in samples)):.1f} MiB")
    return 0 if flat and not counts.lost else 1


if __name__ == "__main__":
    sys.exit(main())
