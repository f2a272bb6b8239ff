"""What supervision costs: `splitter launch` beside the bare engine with the same command line, in one run.

    python -m tests.timing.overhead [--pairs 300] [--requests 2] [--parallel 2] [--tokens 256]

Both engines are up; short bursts of requests alternate between them (A B, B A, A B, ...): a busy machine slows both.
Prints the ratio of tokens per second with its 95 % interval (bootstrap over the pairs), the same for CPU seconds per
token (engine and supervisor against the engine alone), and what the supervisor uses: CPU per minute and memory.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import psutil

from splitter.run.endpoint import any_free_port, ask, health
from splitter.units import to_mib
from tests.run.launched import Launched, launched, shown

WARM_UP = 5  # pairs


@dataclass(frozen=True)
class Burst:
    """One burst: tokens per second, and CPU seconds of everything involved (in ticks of 10 ms: add up many)."""

    tokens_per_s: float
    cpu_s: float


Pair = tuple[Burst, Burst]  # launched, bare
Interval = tuple[float, float, float]


@contextmanager
def bare(target: Launched) -> Iterator[Launched]:
    """The engine with the very command line that the supervisor gave it, on a port of its own."""
    engine = psutil.Process(target.pid)
    argv, port = engine.cmdline(), any_free_port()
    argv[argv.index("--port") + 1] = str(port)
    # A session of its own, as the supervised engine has: Linux shares the CPU out by session (autogroup).
    null = subprocess.DEVNULL
    process = psutil.Popen(argv, env=engine.environ(), stdout=null, stderr=null, start_new_session=True)
    try:
        while health("llama-server", f"http://127.0.0.1:{port}") != "ready":
            assert process.poll() is None
            time.sleep(0.1)
        yield Launched(process, process.pid, f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        process.wait(30)


def cpu_s(*pids: int) -> float:
    """CPU seconds that these processes have used."""
    times = [psutil.Process(pid).cpu_times() for pid in set(pids)]
    return sum(t.user + t.system for t in times)


def burst(target: Launched, requests: int, parallel: int, tokens: int) -> Burst:
    """Asks `requests` times for `tokens` tokens, `parallel` at once, and times it."""
    pids = (target.supervisor.pid, target.pid)
    before_s, began_s = cpu_s(*pids), time.perf_counter()
    with ThreadPoolExecutor(parallel) as pool:
        made = sum(pool.map(partial(generate, target.url, tokens), range(requests)))
    return Burst(made / (time.perf_counter() - began_s), cpu_s(*pids) - before_s)


def generate(url: str, tokens: int, number: int) -> int:
    """One request; its tokens."""
    body = {"prompt": f"Card {number}", "n_predict": tokens, "ignore_eos": True, "seed": number}
    answer = ask(url, "/completion", body=body, timeout_s=300)
    assert answer.status == 200
    return int(answer.json()["tokens_predicted"])


def interval(pairs: Sequence[Pair], figure: Callable[[Sequence[Pair]], float], draws: int = 1000) -> Interval:
    """The figure over all pairs, and between which values 95 % of those over resampled pairs lie."""
    chance = random.Random(1)
    drawn = sorted(figure(chance.choices(pairs, k=len(pairs))) for _ in range(draws))
    return figure(pairs), drawn[int(0.025 * draws)], drawn[int(0.975 * draws)]


def speed_ratio(pairs: Sequence[Pair]) -> float:
    """The median pair's throughput, ours to the bare engine's."""
    return median(ours.tokens_per_s / theirs.tokens_per_s for ours, theirs in pairs)


def cpu_ratio(pairs: Sequence[Pair]) -> float:
    """All CPU seconds, ours to the bare engine's; the tokens are as many."""
    return sum(ours.cpu_s for ours, _ in pairs) / sum(theirs.cpu_s for _, theirs in pairs)


def compare(mode: str, target: Launched, given: argparse.Namespace) -> float:
    """Prints both ratios of one way to launch; the upper end of the throughput's interval."""
    pairs: list[Pair] = []
    with bare(target) as engine:
        for i in range(given.pairs + WARM_UP):
            order = (target, engine) if i % 2 else (engine, target)
            bursts = [burst(one, given.requests, given.parallel, given.tokens) for one in order]
            pairs.append((bursts[0], bursts[1]) if i % 2 else (bursts[1], bursts[0]))
    pairs = pairs[WARM_UP:]
    speed, cost = interval(pairs, speed_ratio), interval(pairs, cpu_ratio)
    bare_speed = median(theirs.tokens_per_s for _, theirs in pairs)
    work = f"{given.requests} requests of {given.tokens} tokens at {given.parallel}"
    print(f"{mode}: {len(pairs)} pairs of {work}, bare {bare_speed:.0f} t/s")
    print("  tokens per second, launch / bare:   {:.4f}  (95 %: {:.4f} to {:.4f})".format(*speed))
    print("  CPU seconds for the same tokens:       {:.4f}  (95 %: {:.4f} to {:.4f})".format(*cost))
    return speed[2]


def uses(mode: str, target: Launched, given: argparse.Namespace, metrics: int | None) -> None:
    """Prints what the supervisor uses while nothing and while much is asked; with `metrics` scraped every second."""
    pid = target.supervisor.pid
    told = []
    for busy in (False, True):
        end_s = time.monotonic() + given.idle
        before_s, began_s = cpu_s(pid), time.monotonic()
        while time.monotonic() < end_s:
            if busy:
                for number in range(8):
                    generate(target.url, given.tokens, number)
            else:
                time.sleep(1)
            if metrics is not None:
                assert ask(f"http://127.0.0.1:{metrics}", "/metrics").status == 200
        told.append(60 * (cpu_s(pid) - before_s) / (time.monotonic() - began_s))
    memory = psutil.Process(pid).memory_full_info()
    print(f"  supervisor ({mode}): {told[0]:.2f} CPU s per minute idle, {told[1]:.2f} while it serves; ", end="")
    print(f"resident {to_mib(memory.rss):.1f} MiB, of it its own {to_mib(memory.uss):.1f} MiB")


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 when supervision surely costs more than a hundredth of the speed."""
    parser = argparse.ArgumentParser(description="Supervision's cost.")
    parser.add_argument("--pairs", type=int, default=300)
    parser.add_argument("--requests", type=int, default=2)
    parser.add_argument("--parallel", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--idle", type=float, default=20.0)
    given = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        with launched("llama-server", Path(folder)) as target:
            best = [compare("launch", target, given)]
            uses("plain", target, given, None)
        port = any_free_port()
        with launched("llama-server", Path(folder), "--metrics", str(port)) as target:
            best.append(compare("launch --metrics", target, given))
            uses("--metrics, scraped every second", target, given, port)
    if sys.platform != "win32":
        with shown("llama-server") as target:
            uses("live view", target, given, None)
    return 0 if min(best) >= 0.99 else 1


if __name__ == "__main__":
    sys.exit(main())
