"""Requests through a gateway while its backends are killed, stopped and restarted: what is lost, what is cut.

    python -m tests.gateway.storm --requests 10000 --at-once 32 --runs 10

One backend is killed with 9 and started again, one is stopped (SIGSTOP) and goes on, one is restarted. Lost: a request
without a byte of its answer. A cut stream must end with an error event.
"""

import argparse
import asyncio
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import aiohttp

from splitter.run.endpoint import any_free_port
from tests.gateway.scene import Running, emulated, end, gateway, wait_up

SPEEDS = (("400", "2"), ("250", "2"), ("150", "4"))  # tokens per second, slots
TOKENS = 6


async def one(session: aiohttp.ClientSession, url: str, number: int, told: Counter[str]) -> None:
    """Every second request streams."""
    stream = number % 2 == 0
    body = {"model": "emulated-7b", "stream": stream, "max_tokens": TOKENS,
            "messages": [{"role": "user", "content": f"question {number % 50}"}]}  # fmt: skip
    data = b""
    try:
        async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
            status = answer.status
            data = await answer.read()
    except (aiohttp.ClientError, OSError) as error:
        told[f"lost: {type(error).__name__}"] += 1
        return
    if status != 200:
        told[f"lost: {status} {data[:120]!r}"] += 1
    elif not stream:
        whole = json.loads(data)["choices"][0]["message"]["content"]
        told["whole" if len(whole.split()) == TOKENS else "lost: short"] += 1
    elif b"data: [DONE]" in data:
        told["whole" if data.count(b'"content"') == TOKENS else "lost: pieces missing"] += 1
    else:
        told["cut, said so" if b'"stream_cut"' in data else "cut in silence"] += 1


async def storm(url: str, requests: int, at_once: int, told: Counter[str], done: list[int]) -> None:
    numbers = iter(range(requests))
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120)) as session:

        async def work() -> None:
            for number in numbers:
                await one(session, url, number, told)
                done[0] += 1

        await asyncio.gather(*(work() for _ in range(at_once)))


async def trouble(backends: list[Running], words: list[list[str]], requests: int, done: list[int]) -> None:
    """At a fifth one is killed, at two fifths one stops for 8 s, at three fifths one is restarted."""

    async def until(part: float) -> None:
        while done[0] < requests * part:
            await asyncio.sleep(0.01)

    def again(index: int) -> None:
        log = backends[index].log.open("ab")
        backends[index].process = subprocess.Popen(words[index], stdout=log, stderr=log)

    await until(0.2)
    backends[0].process.kill()
    backends[0].process.wait()
    await until(0.4)
    again(0)
    backends[1].process.send_signal(signal.SIGSTOP)
    await asyncio.sleep(8)
    backends[1].process.send_signal(signal.SIGCONT)
    await until(0.6)
    end(backends[2].process)
    again(2)


def run(folder: Path, requests: int, at_once: int) -> tuple[Counter[str], float]:
    """One storm over three backends of different speed; what came of each request, and the seconds."""
    told: Counter[str] = Counter()
    done = [0]
    with ExitStack() as stack:
        ports = [any_free_port() for _ in SPEEDS]
        words = [["--gen", gen, "--slots", slots] for gen, slots in SPEEDS]
        backends = [
            stack.enter_context(emulated(folder, *more, port=port, name=f"emulated{port}"))
            for port, more in zip(ports, words, strict=True)
        ]
        for backend in backends:
            stack.callback(end_of, backend)
        door = stack.enter_context(gateway(folder, *(w for b in backends for w in ("--backend", b.url))))
        wait_up(door.url, 3)
        lines = [[sys.executable, "-m", "tests.gateway.emulated", str(port), *more]
                 for port, more in zip(ports, words, strict=True)]  # fmt: skip
        began_s = time.monotonic()

        async def both() -> None:
            await asyncio.gather(
                storm(door.url, requests, at_once, told, done), trouble(backends, lines, requests, done)
            )

        asyncio.run(both())
    return told, time.monotonic() - began_s


def end_of(backend: Running) -> None:
    """The process that serves there in the end."""
    end(backend.process)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=32)
    parser.add_argument("--runs", type=int, default=10)
    given = parser.parse_args()
    for number in range(given.runs):
        with tempfile.TemporaryDirectory() as folder:
            told, seconds = run(Path(folder), given.requests, given.at_once)
        print(f"run {number + 1}: {dict(told)} in {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
