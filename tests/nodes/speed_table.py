"""Issue 17, Show 2: predicted against measured tokens per second and load times over RPC.

    python -m tests.nodes.speed_table [--quick]

One delayed worker per remote device, a proxy as the network, emulated cards without a speed of their own; what a token
takes on this machine is measured once (RTT 0 over as many direct workers is not part of it: one local card). The model
has 32 layers of 256 values, as in reference/distributed.md.
"""

import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from splitter.memory.footprint import Placement
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.remote import hops, link_s, message_s, sending, token_bytes
from splitter.plan.work import Part, Portion, Work
from splitter.rig.device import Device
from splitter.run.endpoint import any_free_port
from splitter.run.rpc_worker import accepts
from tests.engine.oracle import engine_dir
from tests.nodes.group import BIG, made
from tests.nodes.proxy import Proxy

SHAPE = ["--layers", "32", "--embd", "256", "--ffn", "512", "--heads", "8", "--kv-heads", "2"]
RTTS_S = (0.0, 0.0001, 0.0005, 0.001, 0.005)
RATES = {"1 Gbit": 117.5e6, "0.1 Gbit": 11.75e6}
TOKENS, ROUNDS = 48, 3
GPU = ("GPU", 65536, 65536, 0)
# An emulated card computes with four threads, which hides the network where cores are few.
ONE_THREAD = {"OMP_THREAD_LIMIT": "1"}


@contextmanager
def workers(count: int, cache: Path | None = None) -> Iterator[list[int]]:
    """Ports of workers with one card each."""
    with ExitStack() as stack:
        ports = []
        for index in range(count):
            port = any_free_port()
            argv = [str(engine_dir().binary("ggml-rpc-server")), "-p", str(port), "-d", "CUDA0"]
            env = {**os.environ, **ONE_THREAD, **engine_dir().env([GPU])}
            if cache is not None:
                argv.append("-c")
                env["LLAMA_CACHE"] = str(cache / str(index))
            quiet = subprocess.DEVNULL
            process = stack.enter_context(subprocess.Popen(argv, env=env, stdout=quiet, stderr=quiet))
            stack.callback(process.kill)
            ports.append(port)
            until_s = time.monotonic() + 30
            while not accepts(port):
                assert time.monotonic() < until_s
                time.sleep(0.05)
        yield ports


@dataclass(frozen=True)
class Ran:
    """Seconds per token (the best of the rounds) and of the load."""

    token_s: float
    load_s: float


def serve(model: Path, split: Sequence[int], ports: Sequence[int], tokens: int = TOKENS) -> Ran:
    """llama-server over these workers and one local card."""
    port = any_free_port()
    order = ",".join([*(f"RPC{i}" for i in range(len(ports))), "CUDA0"])
    far = ["--rpc", ",".join(f"127.0.0.1:{p}" for p in ports)] if ports else []
    argv = [
        str(engine_dir().binary("llama-server")),
        "-m",
        str(model),
        "--fit",
        "off",
        "-c",
        "512",
        *far,
        "-dev",
        order,
    ]
    argv += ["-ngl", str(sum(split)), "-ts", ",".join(map(str, split)), "-np", "1", "-t", "1", "--port", str(port)]
    argv += ["--no-warmup", "--cache-ram", "0"]
    env = {**os.environ, **ONE_THREAD, **engine_dir().env([GPU])}
    with tempfile.TemporaryFile() as log, subprocess.Popen(argv, env=env, stdout=log, stderr=log) as server:
        try:
            began = time.monotonic()
            url = f"http://127.0.0.1:{port}"
            while True:
                assert server.poll() is None, "the server ended"
                try:
                    with urllib.request.urlopen(f"{url}/health", timeout=1):
                        break
                except OSError:
                    time.sleep(0.01)
            load_s = time.monotonic() - began
            body = {
                "prompt": "The card",
                "n_predict": tokens,
                "temperature": 0,
                "ignore_eos": True,
                "cache_prompt": False,
            }
            times = []
            for _ in range(ROUNDS if tokens > 1 else 1):
                asked = urllib.request.Request(f"{url}/completion", json.dumps(body).encode())
                with urllib.request.urlopen(asked, timeout=120) as answer:
                    times.append(json.load(answer)["timings"]["predicted_per_token_ms"] / 1000)
            return Ran(min(times), load_s)
        finally:
            server.kill()


def far_card(index: int, rtt_s: float, rate: float) -> Device:
    return Device(f"RPC{index}", "GPU", 1 << 40, 1 << 40, node=f"n{index}", rtt_s=rtt_s, node_link_bytes_per_s=rate)


def network_s(facts: ModelFacts, count: int, rtt_s: float, rate: float) -> float:
    """What splitter's model says that the network takes of a token."""
    portion, width = Portion((Part("Q8_0", False, 1, 1, 1),)), facts.hparam("embedding_length")
    assert isinstance(width, int)
    work = Work((portion,) * count, Portion(), Portion(), 0, width, "dense", vocabulary=facts.vocabulary, rows=64)
    devices = [far_card(index, rtt_s, rate) for index in range(count)]
    return sum(
        message_s(device) + link_s(device, token_bytes(work, first=first, output=output))
        for device, first, output in hops(work, devices)
    )


def speeds(model: Path, quick: bool) -> list[float]:
    """Prints the table; the errors of all cells."""
    facts, errors = load_model(str(model)), []
    here_s = median(serve(model, (facts.layers + 1,), ()).token_s for _ in range(3))
    say(f"one local card: {1 / here_s:.0f} t/s")
    for name, rate in RATES.items():
        for count in (1, 2, 3):
            for rtt_s in (0.0, 0.001, 0.005) if quick else RTTS_S:
                each = facts.layers // (count + 1)
                split = (*[each] * count, facts.layers + 1 - each * count)
                with workers(count) as ports, ExitStack() as stack:
                    through = [stack.enter_context(closing(Proxy(("127.0.0.1", p), rtt_s, rate))).port for p in ports]
                    found = serve(model, split, through)
                expected = here_s + network_s(facts, count, rtt_s, rate)
                errors.append(found.token_s / expected - 1)
                say(f"{name:9} {count} remote, RTT {1000 * rtt_s:3.1f} ms: predicted {1 / expected:6.1f}, measured "
                    f"{1 / found.token_s:6.1f} t/s, {100 * (expected / found.token_s - 1):+5.1f} %")  # fmt: skip
    return errors


def loads(model: Path) -> list[float]:
    """The same of the time to load, first and with the worker's cache."""
    facts, errors = load_model(str(model)), []
    split = (facts.layers, 1)
    placement = Placement((*[0] * facts.layers, 1), 2)
    here_s = median(serve(model, (facts.layers + 1,), (), 1).load_s for _ in range(3))
    say(f"load of {model.stat().st_size / 1e6:.0f} MB on this machine: {here_s:.2f} s")
    for name, rate in RATES.items():
        with tempfile.TemporaryDirectory() as folder:
            for what in ("first", "cached"):
                with workers(1, Path(folder)) as (port,), closing(Proxy(("127.0.0.1", port), 0.0005, rate)) as proxy:
                    found = serve(model, split, [proxy.port], 1).load_s
                sent = sending(placement, [far_card(0, 0.0005, rate), Device("CUDA0", "GPU", 1, 1)], facts)
                expected = here_s + (sent.first_s if what == "first" else sent.cached_s)
                errors.append(found / expected - 1)
                say(f"{name:9} load, {what:6}: predicted {expected:5.1f}, measured {found:5.1f} s, "
                    f"{100 * errors[-1]:+5.1f} %")  # fmt: skip
    return errors


def say(text: str) -> None:
    sys.stdout.write(re.sub(r" +$", "", text) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        quick = "--quick" in sys.argv
        if "--loads" not in sys.argv:
            off = [abs(error) for error in speeds(made(Path(folder) / "small.gguf", SHAPE), quick)]
            say(f"speed: worst {100 * max(off):.0f} %, median {100 * median(off):.0f} %, "
                f"within 15 %: {sum(error <= 0.15 for error in off)} of {len(off)}")  # fmt: skip
        off = [abs(error) for error in loads(made(Path(folder) / "big.gguf", BIG))]
        say(f"load: worst {100 * max(off):.0f} %")
