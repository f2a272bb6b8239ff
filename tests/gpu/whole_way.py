"""The whole of splitter on a real card, stage by stage: what a person types, and what came of it.

    python -m tests.gpu.whole_way --engine LLAMA_SERVER [--folder F] [--out F] [STAGE ...]

rig        what NVML and the engine say of the card
speed      `bench` of models of true size (tests/gpu/heavy_model.py): predicted against measured, energy per token
calibrate  `calibrate`, then the same plans again: predicted against measured, before and after
memory     a rig file that promises what another program holds: a real out-of-memory, a new plan, ready
crowd      another program takes the rest of the card while the engine runs: the same, and nothing of it is kept
edge       the longest context in what another program leaves, no margin: loads, and answers a long prompt
watch      `launch --metrics`: the card in Prometheus' words; supervisor killed with 9: the card's memory comes back
hops       `calibrate` with the card cut in two (GGML_CUDA_DEVICES): what a hop between devices costs
tune       `tune` from our own plan for a minute
compare    `bench --compare`: our plan, the engine's own placement, by free memory, in turn

Every stage is tried whatever became of the ones before. `--out` gets the verbs' JSON. The exit code is 1 when a stage
failed. Without names: all. No weights are needed, and no network. Where the engine was built: tests/gpu/real_loads.py.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from splitter.run.endpoint import any_free_port
from splitter.units import MIB
from tests.gpu.driver import Driver
from tests.gpu.heavy_model import write_heavy

MODELS = (
    "tinyllama-1.1b-q4_0",
    "qwen3-4b-q4_k_m",
    "llama-3.1-8b-q4_k_m",
    "qwen2.5-7b-q8_0",
    "qwen3-30b-a3b-q4_k_m",
    "qwen2.5-32b-q4_k_m",
)
MIDDLE = "llama-3.1-8b-q4_k_m"
CALIBRATED_WITH = "qwen2.5-7b-q8_0"
CONTEXT = ("-c", "8192", "-np", "1")
LEFT_OVER_MIB = 3000  # of the card, for a model of 4.6 GiB


@dataclass
class Place:
    """Where it runs; `measured`: model -> tokens per second, prompt and generation, with what was predicted."""

    engine: str
    folder: Path
    out: Path
    measured: dict[str, dict[str, tuple[float, float]]] = field(default_factory=dict)

    def model(self, name: str) -> str:
        path = self.folder / f"{name}.gguf"
        return str(path if path.exists() else write_heavy(name, self.folder))

    def env(self) -> dict[str, str]:
        homes = {f"XDG_{kind}_HOME": str(self.folder / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA", "STATE")}
        return {**os.environ, **homes}

    def words(self, verb: str, *more: str) -> list[str]:
        return [sys.executable, "-m", "splitter", *verb.split(), *more]

    def run(self, verb: str, *more: str, name: str = "") -> Any:
        """The `data` of one verb, which must succeed; its JSON is kept under `name`."""
        engine = [] if verb == "ps" else ["--engine-path", self.engine]
        argv = self.words(verb, *more, *engine, "--json")
        done = subprocess.run(argv, env=self.env(), capture_output=True, text=True, check=False)
        if name:
            (self.out / f"{name}.json").write_text(done.stdout, encoding="utf-8")
        assert done.returncode == 0, f"{argv}: {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
        return json.loads(done.stdout)["data"]


def rig(place: Place) -> None:
    for device in place.run("rig", name="rig")["devices"]:
        print(json.dumps({key: value for key, value in device.items() if key != "sources"}))
        print(json.dumps(device.get("sources")))


def speed(place: Place) -> None:
    print("model: generation predicted, measured, error; prompt the same; J/token")
    for name in MODELS:
        measure(place, name)


def measure(place: Place, name: str) -> None:
    """One model: measured, kept for the stage `calibrate`, and printed."""
    path, driver = place.model(name), Driver()
    before, start = driver.used_bytes(), time.monotonic()
    data = place.run("bench measure", path, *CONTEXT, "--budget", "8", "--no-save", name=f"bench-{name}")
    rates = {
        kind: (float(data["predicted"][f"{kind}_tokens_per_s"]), float(data[f"{kind}_tokens_per_s"]["median"]))
        for kind in ("generation", "prompt")
    }
    place.measured[name] = rates
    energy = data["points"][0].get("energy_j_per_token")
    print(f"{name:24} {said(rates)}  {energy} J/token  ({time.monotonic() - start:.0f} s, {before // MIB} MiB before)")


def said(rates: dict[str, tuple[float, float]]) -> str:
    return "  ".join(
        f"{kind} {predicted:8.1f} {real:8.1f} {predicted / real - 1:+7.1%}"
        for kind, (predicted, real) in rates.items()
    )  # fmt: skip


def calibrate(place: Place) -> None:
    for name in MODELS if not place.measured else ():
        measure(place, name)
    start = time.monotonic()
    place.run("calibrate", place.model(CALIBRATED_WITH), name="calibrate")
    print(f"calibrated in {time.monotonic() - start:.0f} s")
    errors: dict[str, list[tuple[float, float]]] = {"generation": [], "prompt": []}
    for name, rates in place.measured.items():
        planned = place.run("plan", place.model(name), *CONTEXT, name=f"plan-{name}")["speed"]
        now = {kind: (float(planned[f"{kind}_tokens_per_s"]), real) for kind, (_, real) in rates.items()}
        print(f"{name:24} {said(now)}  {planned['basis']}")
        for kind in errors:
            (old, real), (new, _) = rates[kind], now[kind]
            errors[kind].append((abs(old / real - 1), abs(new / real - 1)))
    for kind, pairs in errors.items():
        before, after = ((median(side), max(side)) for side in zip(*pairs, strict=True))
        print(f"{kind}: before {before[0]:.1%}, worst {before[1]:.1%}; after {after[0]:.1%}, worst {after[1]:.1%}")


@contextmanager
def hog(left: int) -> Iterator[None]:
    """Another program that holds all but `left` bytes of what is free on the first card."""
    source = (
        "import ctypes, sys\n"
        "cuda, context, at = ctypes.CDLL('libcuda.so.1'), ctypes.c_void_p(), ctypes.c_uint64()\n"
        "free, total = ctypes.c_size_t(), ctypes.c_size_t()\n"
        "assert cuda.cuInit(0) == 0 and cuda.cuDevicePrimaryCtxRetain(ctypes.byref(context), 0) == 0\n"
        "assert cuda.cuCtxSetCurrent(context) == 0\n"
        "assert cuda.cuMemGetInfo_v2(ctypes.byref(free), ctypes.byref(total)) == 0\n"
        f"assert cuda.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(free.value - {left})) == 0\n"
        "print('held', flush=True); sys.stdin.read()\n"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", source], stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.kill()


@dataclass
class Launch:
    """A launch in the background: its process, what it said so far, its URL."""

    process: "subprocess.Popen[str]"
    url: str
    lines: list[str] = field(default_factory=list)

    def read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def wait_for(self, words: str, seconds: float = 120) -> None:
        """Until it said `words`."""
        end_s = time.monotonic() + seconds
        while not any(words in line for line in tuple(self.lines)):
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < end_s, self.said()
            time.sleep(0.02)

    def said(self, start: int = 0) -> str:
        return "".join(f"\n    {line}" for line in self.lines[start:])


@contextmanager
def launched(place: Place, *more: str) -> Iterator[Launch]:
    """A launch that got ready; stopped with Ctrl-C if it still runs."""
    port = any_free_port()
    argv = place.words("launch", *more, "--engine-path", place.engine, "--port", str(port), "--quiet")
    out, env = subprocess.PIPE, {**place.env(), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(argv, env=env, stdout=out, stderr=subprocess.STDOUT, text=True)
    launch = Launch(process, f"http://127.0.0.1:{port}")
    reader = threading.Thread(target=launch.read, daemon=True)
    reader.start()
    try:
        launch.wait_for("ready at")
        yield launch
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
        process.wait(60)
        reader.join(5)
        with (place.out / "launch.log").open("a", encoding="utf-8") as file:
            file.write(launch.said() + f"\nexit {process.returncode}\n")


def answer(url: str, tokens: int = 16, prompt: int = 8) -> int:
    """How many tokens the server generated after a prompt of `prompt` tokens."""
    body = {"prompt": [33 + i % 90 for i in range(prompt)], "n_predict": tokens, "ignore_eos": True}
    request = urllib.request.Request(
        f"{url}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as reply:
        return int(json.load(reply)["tokens_predicted"])


def whole_again(place: Place) -> str:
    """How the middle model is placed by the live rig now that the other program is gone: whole, or nothing was true."""
    plan = place.run("plan", place.model(MIDDLE), *CONTEXT)
    assert plan["settings"]["gpu_layers"] == plan["model"]["layers"] + 1, plan["settings"]
    speed = plan["speed"]
    return f"the other program gone: all layers, {speed['generation_tokens_per_s']:.1f} t/s ({speed['basis']})"


def memory(place: Place) -> None:
    model, rig_file = place.model(MIDDLE), place.folder / "stale-rig.yaml"
    place.run("rig", "--save", str(rig_file))
    with hog(LEFT_OVER_MIB * MIB):
        for attempt in ("first", "second"):
            start = time.monotonic()
            with launched(place, model, *CONTEXT, "--rig", str(rig_file)) as launch:
                tokens = answer(launch.url)
                print(f"{attempt} launch: {tokens} tokens after {time.monotonic() - start:.0f} s{launch.said()}")
    print(whole_again(place))


def crowd(place: Place) -> None:
    with launched(place, place.model(MIDDLE), *CONTEXT) as launch:
        answer(launch.url)
        heard = len(launch.lines)
        with hog(4 * MIB):
            try:
                print(f"{answer(launch.url, prompt=7000)} tokens although the card is full")
            except OSError as error:
                print(f"the request was lost: {error}")
                launch.wait_for("is ready again")
                print(f"{answer(launch.url, prompt=7000)} tokens from the new plan{launch.said(heard)}")
    print(whole_again(place))


def edge(place: Place) -> None:
    driver = Driver()
    with hog(11_500 * MIB):
        before = driver.free_bytes()
        flags = ("--goal", "context", "-c", "max", "-np", "1", "--margin", "0")
        plan = place.run("plan", place.model(MIDDLE), *flags, name="plan-edge")
        (used,) = plan["devices"]
        with launched(place, place.model(MIDDLE), *flags) as launch:
            loaded = driver.free_bytes()
            answer(launch.url, prompt=7000)
            after = driver.free_bytes()
            assert not any("out of memory" in line for line in launch.lines), launch.said()
        print(f"context {plan['settings']['context_size']}: no start failed")
        print(f"planned {used['used_bytes'] / MIB:.0f} MiB of the {used['free_bytes'] / MIB:.0f} that are free")
        print(f"NVML: {before / MIB:.0f} free, loaded {loaded / MIB:.0f}, after a long prompt {after / MIB:.0f}")


def watch(place: Place) -> None:
    driver, port = Driver(), any_free_port()
    before = driver.used_bytes()
    with launched(place, place.model(MIDDLE), *CONTEXT, "--metrics", str(port)) as launch:
        answer(launch.url, 400)
        time.sleep(3)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as reply:
            text = reply.read().decode()
        (place.out / "metrics.txt").write_text(text, encoding="utf-8")
        print("\n".join(line for line in text.splitlines() if line.startswith("splitter_")))
        print(json.dumps(place.run("ps", name="ps"))[:3000])
        held = driver.used_bytes() - before
        launch.process.kill()
        launch.process.wait(10)
        start = time.monotonic()
        while driver.used_bytes() > before + 64 * MIB and time.monotonic() < start + 30:
            time.sleep(0.05)
        left = driver.used_bytes() - before
        print(f"held {held / MIB:.0f} MiB; {time.monotonic() - start:.1f} s after kill -9: {left / MIB:.0f} MiB")
        assert left <= 64 * MIB


def tune(place: Place) -> None:
    data = place.run("tune", place.model(MIDDLE), *CONTEXT, "--minutes", "1", "--fresh", name="tune")
    print({key: value for key, value in data.items() if not isinstance(value, list | dict)})
    for trial in data.get("trials", ()):
        print(json.dumps(trial)[:300])


def hops(place: Place) -> None:
    os.environ["GGML_CUDA_DEVICES"] = "2"
    try:
        data = place.run("calibrate", place.model(MIDDLE), name="hops")
    finally:
        del os.environ["GGML_CUDA_DEVICES"]
    for card in data["cards"]:
        print(f"{card['id']}: {card['bandwidth_bytes_per_s'] / 1e9:.0f} GB/s")
    print(f"a hop {data['hop_s'] * 1e6:.0f} us, a layer {data['layer_s'] * 1e6:.0f} us, fit {data['worst_error']:.1%}")
    for run in data["runs"]:
        print(f"{run['label']}: {median(run['outcome']['generation']):.1f} t/s")


def compare(place: Place) -> None:
    data = place.run("bench measure", place.model(MIDDLE), *CONTEXT, "--compare", "--rounds", "2", "--budget", "4",
                     name="compare")  # fmt: skip
    for each in data["alternatives"]:
        record = each["record"]
        print(record["label"], record["points"][0]["generation_tokens_per_s"], each["plan_over_it"])


STAGES: dict[str, Callable[[Place], None]] = {
    stage.__name__: stage for stage in (rig, speed, calibrate, memory, crowd, edge, watch, hops, tune, compare)
}


def main(argv: list[str] | None = None) -> int:
    """Runs the stages; 1 if one failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", required=True, help="llama-server built for CUDA (tests/gpu/build_cuda.sh)")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/splitter-whole-way"), help="for models and records")
    parser.add_argument("--out", type=Path, default=Path("/tmp/splitter-whole-way/out"), help="for the verbs' JSON")
    parser.add_argument("stage", nargs="*", choices=[*STAGES, []], help="all by default")
    asked = parser.parse_args(argv)
    asked.out.mkdir(parents=True, exist_ok=True)
    asked.folder.mkdir(parents=True, exist_ok=True)
    place, failed = Place(str(Path(asked.engine).resolve()), asked.folder.resolve(), asked.out), []
    for name in asked.stage or STAGES:
        print(f"== {name}", flush=True)
        try:
            STAGES[name](place)
        except (AssertionError, OSError, LookupError, TypeError, ValueError, subprocess.SubprocessError):
            failed.append(name)
            traceback.print_exc(file=sys.stdout)
        sys.stdout.flush()
    print(f"failed: {', '.join(failed) or 'nothing'}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
