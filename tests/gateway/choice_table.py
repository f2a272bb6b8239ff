"""Our choice against round-robin, least-connections and random, on three backends of different speed, one mixed load.

    python -m tests.gateway.choice_table

The others are played by a client that picks the backend itself, with the same requests at the same moments, straight to
the engines. Total time is the sum of the requests' times.
"""

import argparse
import asyncio
import itertools
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from tests.gateway.scene import Running, emulated, gateway, opened, wait_up

BACKENDS = (("120", "6000", "2"), ("40", "1500", "2"), ("15", "400", "2"))  # t/s, prompt t/s, slots
WAYS = ("round-robin", "least-connections", "random")
SEED = 7


@dataclass(frozen=True)
class Job:
    """One request: when it comes, its prompt's characters, its tokens."""

    at_s: float
    chars: int
    tokens: int


def load(count: int, per_s: float) -> list[Job]:
    """Chat turns, long documents and long answers, at random moments."""
    chance = random.Random(SEED)
    at_s, jobs = 0.0, []
    for _ in range(count):
        at_s += chance.expovariate(per_s)
        chars, tokens = chance.choice([(400, 30), (800, 60), (6000, 20), (200, 120)])
        jobs.append(Job(at_s, chars + chance.randrange(200), tokens))
    return jobs


def pickers(urls: list[str]) -> dict[str, Callable[[Counter[str]], str]]:
    """How others choose; the counter tells the requests at each URL now."""
    ring, chance = itertools.cycle(urls), random.Random(SEED)

    def least(now: Counter[str], first: str) -> str:
        """Ties in rounds, as HAProxy's leastconn has them."""
        at = urls.index(first)
        return min(urls[at:] + urls[:at], key=lambda url: now[url])

    return {
        "round-robin": lambda _now: next(ring),
        "least-connections": lambda now: least(now, next(ring)),
        "random": lambda _now: chance.choice(urls),
    }


async def play(jobs: list[Job], pick: Callable[[Counter[str]], str]) -> float:
    """The sum of the times of all jobs, in seconds."""
    now: Counter[str] = Counter()
    began_s = time.monotonic()
    times: list[float] = []
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=600)) as session:

        async def one(number: int, job: Job) -> None:
            await asyncio.sleep(max(0.0, job.at_s - (time.monotonic() - began_s)))
            text = f"{number} " + "x" * job.chars
            body = {"model": "emulated-7b", "max_tokens": job.tokens, "messages": [{"role": "user", "content": text}]}
            url, sent_s = pick(now), time.monotonic()
            now[url] += 1
            async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
                assert answer.status == 200, await answer.text()
                await answer.read()
            now[url] -= 1
            times.append(time.monotonic() - sent_s)

        await asyncio.gather(*(one(number, job) for number, job in enumerate(jobs)))
    return sum(times)


def measure(folder: Path, count: int, per_s: float, against: tuple[str, ...] = WAYS) -> dict[str, float]:
    """Total seconds by way of choosing; the gateway learns the speeds from a tenth of such requests first."""
    jobs = load(count, per_s)
    with ExitStack() as stack:
        engines: list[Running] = opened(
            stack,
            *(
                emulated(folder, "--gen", gen, "--prompt", prompt, "--slots", slots, name=f"e{gen}")
                for gen, prompt, slots in BACKENDS
            ),
        )
        urls = [engine.url for engine in engines]
        door = stack.enter_context(gateway(folder, *(word for url in urls for word in ("--backend", url))))
        wait_up(door.url, len(urls))
        asyncio.run(play(load(max(count // 10, 12), per_s), lambda _now: door.url))
        found = {"splitter": asyncio.run(play(jobs, lambda _now: door.url))}
        for name in against:
            found[name] = asyncio.run(play(jobs, pickers(urls)[name]))
    return found


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--per-s", type=float, default=3.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.requests, given.per_s)
    best = min(seconds for name, seconds in found.items() if name != "splitter")
    for name, seconds in found.items():
        print(f"{name:<18} {seconds:8.1f} s")
    print(f"{1 - found['splitter'] / best:.0%} less than the best of the others")


if __name__ == "__main__":
    main()
