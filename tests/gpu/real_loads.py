"""Show 7: ten plans loaded for real on a CUDA card, predicted against printed and against the driver.

    tests/gpu/build_cuda.sh ~/.cache/splitter-cuda            # llama.cpp 11434 for this card; 5-15 minutes on 16 cores
    python -m tests.gpu.real_loads --engine ~/.cache/splitter-cuda/build/bin/llama-server

One card serves as four: llama.cpp's GGML_CUDA_DEVICES=4 opens four virtual devices on it, each with its own buffers and
compute pool and a quarter of the free memory; they share the driver's context. Printed are llama-server's own buffer
lines per device, and NVML's memory of its process (or the card's growth where the system hides processes) when it has
loaded and after a prompt that fills the context. The exit code is 1 when something was larger than estimated beyond
the margins below. `--emulate` does the same on the emulated rig, without driver figures.

On the `device` machine (no network, 10 minutes a command, 2,000 characters), from this checkout:

    tests/gpu/pack.sh                                          # here: .gpu/llama.cpp.tar.gz, see `carry`
    run(carry=[".gpu"], command="timeout 570 tests/gpu/build_cuda.sh /root/cuda 16 2>&1 | tail -2")
    run(carry=[".gpu"], command="tests/gpu/build_cuda.sh /root/cuda 16 >/dev/null 2>&1; PYTHONUNBUFFERED=1 python3 -m
        tests.gpu.real_loads --engine /root/cuda/build/bin/llama-server --folder /root/loads 2>&1 | tee $OUT/loads.txt")

(the second command within 30 seconds of the first: it ends the build if that was broken off, and loads).
"""

import argparse
import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.log.events import BufferAllocated, events
from splitter.model.load import load_model
from splitter.plan.overhead import driver_overhead, no_overhead
from splitter.plan.plan import Plan
from splitter.rig.device import Device, Host, Rig
from splitter.rig.probe import probe_rig
from splitter.run.endpoint import any_free_port
from splitter.run.supervisor import Instance, launch
from splitter.units import MIB
from tests.gpu.driver import Driver
from tests.gpu.plans import DEVICES, ten_plans

EXAMPLES = Path(__file__).parents[2] / "examples"
EXACT_MIB = 1.0  # weights and caches: printed with two decimals
COMPUTE_MIB, COMPUTE_SHARE = 16.0, 0.03  # issue 3, Show 1: how far below the truth an estimate may lie
EMULATED_MIB = 6144
VERSION = "11434"


@dataclass(frozen=True)
class Printed:
    """What llama-server printed for one device, bytes."""

    model: int = 0
    context: int = 0
    compute: int = 0


def printed(lines: Iterable[str]) -> dict[str, Printed]:
    """Device -> its buffers; weights, KV and state add up, of several compute reserves the largest counts."""
    found: dict[str, Printed] = {}
    for one in events(lines):
        if isinstance(one, BufferAllocated):
            old = found.get(one.device, Printed())
            found[one.device] = _added(old, one)
    return found


def _added(old: Printed, one: BufferAllocated) -> Printed:
    match one.kind:
        case "model":
            return replace(old, model=old.model + one.size_bytes)
        case "KV" | "RS":
            return replace(old, context=old.context + one.size_bytes)
        case "compute":
            return replace(old, compute=max(old.compute, one.size_bytes))
    return old


def excess(plan: Plan, found: dict[str, Printed]) -> list[str]:
    """Where the engine held more than estimated, beyond the margins."""
    words = []
    for device, use in zip(plan.settings.device_order, plan.footprint.devices, strict=True):
        real = found.get(device, Printed())
        margin = max(COMPUTE_MIB, COMPUTE_SHARE * real.compute / MIB)
        terms = (
            ("model", real.model - use.model_bytes, EXACT_MIB),
            ("context", real.context - use.context_bytes, EXACT_MIB),
            ("compute", real.compute - use.compute_bytes, margin),
        )
        words += [f"{device} {term} +{over / MIB:.1f} MiB" for term, over, allowed in terms if over / MIB > allowed]
    return words


def table(plan: Plan, found: dict[str, Printed]) -> str:
    """Per device and term: predicted, and predicted - printed, MiB."""
    rows = []
    for device, use in zip(plan.settings.device_order, plan.footprint.devices, strict=True):
        real = found.get(device, Printed())
        pairs = (
            (use.model_bytes, real.model),
            (use.context_bytes, real.context),
            (use.compute_bytes, real.compute),
        )
        cells = "  ".join(f"{ours / MIB:9.1f} {(ours - theirs) / MIB:+7.2f}" for ours, theirs in pairs)
        rows.append(f"    {device:6} {cells}")
    return "\n".join(rows)


def fill_context(instance: Instance, tokens: int) -> int:
    """Sends a prompt of `tokens` tokens and asks for 8 more; how many the server took in."""
    body = {"prompt": [100 + i % 200 for i in range(tokens)], "n_predict": 8, "cache_prompt": False}
    request = urllib.request.Request(
        f"{instance.url}/completion", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=600) as answer:
        return int(json.load(answer)["tokens_evaluated"])


def load(plan: Plan, command: EngineCommand, driver: Driver | None, longest: int) -> tuple[list[str], str]:
    """Loads one plan; what was larger than estimated, and the table."""
    lines: list[str] = []
    before = driver.used_bytes() if driver else 0
    with launch(command, on_log=lines.append) as instance:
        instance.wait_ready()
        at_load = driver.process_bytes(instance.pid, before) if driver else 0
        slot = plan.settings.context_size // (1 if plan.settings.kv_unified else plan.settings.parallel)
        taken = fill_context(instance, min(longest, slot - 64))
        after = driver.process_bytes(instance.pid, before) if driver else 0
    found = printed(lines)
    text, words = table(plan, found), excess(plan, found)
    if driver:
        ours = sum(use.used_bytes() for use in plan.footprint.devices) - (DEVICES - 1) * driver.context_bytes(plan)
        text += "\n    driver " + "  ".join(
            f"{when} {size / MIB:.1f} (predicted - driver {(ours - size) / MIB:+.1f})"
            for when, size in (("at load", at_load), (f"after {taken} tokens", after))
        )
        words += [f"driver +{(after - ours) / MIB:.1f} MiB"] if after > ours else []
    return words, text


def virtual_rig(share: int) -> Rig:
    """This machine's first card as `share` devices, as GGML_CUDA_DEVICES cuts it. Exits where there is no card."""
    rig = probe_rig()
    if not rig.devices:
        sys.exit(f"no CUDA card: {'; '.join(rig.notes)} (try --emulate)")
    card = rig.devices[0]
    devices = tuple(
        replace(card, id=f"CUDA{i}", total_bytes=card.total_bytes // share, free_bytes=card.free_bytes // share)
        for i in range(share)
    )
    return replace(rig, devices=devices)


def emulated_rig() -> Rig:
    size = EMULATED_MIB * MIB
    devices = tuple(Device(f"CUDA{i}", f"Emulated {i}", size, size, 400e9) for i in range(DEVICES))
    return Rig("emulated", Host(), devices)


def write_model(path: Path, small: bool) -> Path:
    """A llama with random weights: 370 MiB (5 s to write), or 8 MiB for the emulated rig."""
    shape = ("8", "256", "512", "8", "2", "32768") if small else ("24", "1024", "4096", "16", "4", "131072")
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        names = ("--layers", "--embd", "--ffn", "--heads", "--kv-heads", "--context")
        flags = [word for pair in zip(names, shape, strict=True) for word in pair]
        subprocess.run([sys.executable, str(EXAMPLES / "make_model.py"), "-o", str(path), *flags], check=True)
    return path


def commands(plans: dict[str, Plan], path: str, env: dict[str, str]) -> dict[str, EngineCommand]:
    """Splitter's own command for each plan, with the log level at which the engine prints its buffers."""
    engine = EngineRef("llama-server", path, VERSION)
    made = {}
    for name, plan in plans.items():
        command = build_command(plan, engine, Server(port=any_free_port()))
        made[name] = replace(command, argv=(*command.argv, "-lv", "4"), env={**command.env, **env})
    return made


def run_all(plans: dict[str, Plan], made: dict[str, EngineCommand], driver: Driver | None, longest: int) -> int:
    """Loads every plan and prints its table; the number of plans that held more than estimated."""
    exceeded = 0
    print("plan; per device: model, context, compute: predicted and predicted - printed, MiB")
    for number, (name, plan) in enumerate(plans.items(), 1):
        start = time.monotonic()
        words, text = load(plan, made[name], driver, longest)
        exceeded += bool(words)
        verdict = "EXCEEDED: " + ", ".join(words) if words else "within the estimate"
        print(f"{number:2d} {name}, -c {plan.settings.context_size}: {verdict} ({time.monotonic() - start:.1f} s)")
        print(text)
    print(f"{len(plans) - exceeded} of {len(plans)} plans within the estimate")
    return exceeded


def real(folder: Path, path: str) -> tuple[dict[str, Plan], dict[str, EngineCommand]]:
    """The plans and commands for this machine's card."""
    facts = load_model(str(write_model(folder / "medium.gguf", small=False)))
    plans = ten_plans(facts, virtual_rig(DEVICES), driver_overhead)
    return plans, commands(plans, path, {"GGML_CUDA_DEVICES": str(DEVICES)})


def emulated(folder: Path) -> tuple[dict[str, Plan], dict[str, EngineCommand]]:
    """The plans and commands for the emulated rig, whose engine is built on first use."""
    from tests.engine.oracle import engine_dir

    facts = load_model(str(write_model(folder / "small.gguf", small=True)))
    rig = emulated_rig()
    env = engine_dir().env([(device.name, EMULATED_MIB, EMULATED_MIB, 400) for device in rig.devices])
    plans = ten_plans(facts, rig, no_overhead)
    return plans, commands(plans, str(engine_dir().binary("llama-server")), env)


def main(argv: list[str] | None = None) -> int:
    """Reads the options, loads ten plans; 1 if something was larger than estimated."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--engine", help="llama-server built for CUDA (tests/gpu/build_cuda.sh)")
    parser.add_argument("--emulate", action="store_true", help="the emulated rig instead of a CUDA card")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/splitter-real-loads"), help="for the model")
    parser.add_argument("--longest-prompt", type=int, default=30000, help="tokens of the long prompt")
    asked = parser.parse_args(argv)
    if asked.emulate:
        plans, made = emulated(asked.folder)
        exceeded = run_all(plans, made, None, asked.longest_prompt)
    elif asked.engine:
        plans, made = real(asked.folder, str(Path(asked.engine).resolve()))
        exceeded = run_all(plans, made, Driver(), asked.longest_prompt)
    else:
        parser.error("--engine or --emulate")
    return 1 if exceeded else 0


if __name__ == "__main__":
    sys.exit(main())
