"""What the gateway costs in front of a real llama-server: direct, HAProxy, the gateway; and httpx beside aiohttp.

    python -m tests.timing.gateway_cost

The ways take turns in rounds, so that a busy machine disturbs all alike; the figures are medians over the rounds.
"""

import argparse
import asyncio
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from pathlib import Path

import aiohttp
import httpx

from splitter.gateway.haproxy import Upstream, haproxy_config
from splitter.gateway.settings import GatewaySettings, HaproxySettings
from splitter.run.endpoint import any_free_port
from tests.gateway.scene import gateway, llama_server, wait_up

ONE = {"model": "tiny", "max_tokens": 1, "temperature": 0, "messages": [{"role": "user", "content": "hi"}]}
STREAM = {**ONE, "max_tokens": 120, "stream": True, "ignore_eos": True}
AT_ONCE = 8


async def latencies(url: str, count: int) -> list[float]:
    """Seconds of one-token requests, one after another."""
    found = []
    async with aiohttp.ClientSession() as session:
        for _ in range(count):
            began_s = time.perf_counter()
            async with session.post(f"{url}/v1/chat/completions", json=ONE) as answer:
                await answer.read()
            found.append(time.perf_counter() - began_s)
    return found


async def streams(url: str, rounds: int) -> float:
    """Tokens per second of AT_ONCE streams at once."""
    async with aiohttp.ClientSession() as session:

        async def one() -> int:
            async with session.post(f"{url}/v1/chat/completions", json=STREAM) as answer:
                return (await answer.read()).count(b'"content"')

        began_s = time.perf_counter()
        total = 0
        for _ in range(rounds):
            total += sum(await asyncio.gather(*(one() for _ in range(AT_ONCE))))
    return total / (time.perf_counter() - began_s)


async def client_cpu(url: str) -> dict[str, float]:
    """CPU seconds that each library takes for AT_ONCE streams, as the gateway would read them."""

    async def by_aiohttp() -> None:
        async with aiohttp.ClientSession() as session:

            async def one() -> None:
                async with session.post(f"{url}/v1/chat/completions", json=STREAM) as answer:
                    while await answer.content.readany():
                        pass

            await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    async def by_httpx() -> None:
        async with httpx.AsyncClient(timeout=60) as session:

            async def one() -> None:
                async with session.stream("POST", f"{url}/v1/chat/completions", json=STREAM) as answer:
                    async for _ in answer.aiter_raw():
                        pass

            await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    ways: dict[str, Callable[[], Awaitable[None]]] = {"aiohttp": by_aiohttp, "httpx": by_httpx}
    found: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(5):
        for name, way in ways.items():
            began_s = time.process_time()
            await way()
            found[name].append(time.process_time() - began_s)
    return {name: statistics.median(seconds) for name, seconds in found.items()}


def haproxy(folder: Path, engine: str, port: int) -> list[str]:
    """HAProxy straight before the engine, as `splitter gateway --haproxy` writes it."""
    settings = GatewaySettings(port=any_free_port(), haproxy=HaproxySettings(any_free_port(), engines_port=port))
    file = folder / "haproxy.cfg"
    file.write_text(haproxy_config(settings, [Upstream("one", engine, "/health", AT_ONCE)], str(folder / "ha.sock")))
    return ["haproxy", "-db", "-f", str(file)]


def measure(folder: Path, rounds: int, requests: int) -> dict[str, tuple[float, float, float]]:
    """By way: p50 and p99 in milliseconds, streamed tokens per second."""
    with ExitStack() as stack:
        engine = stack.enter_context(llama_server(folder, slots=AT_ONCE))
        door = stack.enter_context(gateway(folder, "--backend", engine.url))
        wait_up(door.url, 1)
        ways = {"direct": engine.url, "gateway": door.url}
        if shutil.which("haproxy"):
            port = any_free_port()
            proxy = subprocess.Popen(haproxy(folder, engine.url, port), stderr=subprocess.DEVNULL)
            stack.callback(proxy.wait)
            stack.callback(proxy.terminate)
            time.sleep(3)
            ways["haproxy"] = f"http://127.0.0.1:{port}"
        times: dict[str, list[float]] = {name: [] for name in ways}
        speeds: dict[str, list[float]] = {name: [] for name in ways}
        for url in ways.values():
            asyncio.run(latencies(url, 20))
        for number in range(rounds):
            names = list(ways) if number % 2 else list(reversed(ways))
            for name in names:
                times[name] += asyncio.run(latencies(ways[name], requests))
            for name in names:
                speeds[name].append(asyncio.run(streams(ways[name], 2)))
        for name, seconds in asyncio.run(client_cpu(engine.url)).items():
            print(f"{name}: {seconds * 1000:.0f} ms CPU for {AT_ONCE} streams of {STREAM['max_tokens']} tokens")
    return {
        name: (
            statistics.median(times[name]) * 1000,
            statistics.quantiles(times[name], n=100)[98] * 1000,
            statistics.median(speeds[name]),
        )
        for name in ways
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--requests", type=int, default=100)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measure(Path(folder), given.rounds, given.requests)
    p50, _, speed = found["direct"]
    for name, (middle, high, tokens) in found.items():
        print(f"{name:<8} p50 {middle:6.2f} ms ({middle - p50:+.2f})  p99 {high:6.2f} ms  "
              f"{tokens:7.0f} t/s at {AT_ONCE} at once ({tokens / speed:.3f})")  # fmt: skip


if __name__ == "__main__":
    main()
