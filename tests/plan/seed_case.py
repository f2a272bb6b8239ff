"""Issue 4, Show 6: 32B Q4_K_M on phoenix at 4096 tokens: the seed's line, llama-fit-params' and ours side by side.

    python -m tests.plan.seed_case

The seed names 40 GPU layers. Shown are layers on GPU, MiB that the dry run counts per card (and leaves free), and the
roofline in tokens per second.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import pairwise

from splitter.model.load import load_model
from splitter.plan.overhead import no_overhead
from splitter.plan.placement import place
from splitter.plan.request import Request
from splitter.plan.solve import solve
from splitter.units import MIB
from tests.engine.oracle import RIGS, dry_run, engine_dir, skeleton
from tests.plan.table import MARGIN_MIB, emulated, experts_on_host, flags, roofline

MODEL, RIG = "qwen2.5-32b-q4_k_m", "phoenix"
COMMON = ("-c", "4096", "-np", "1")
SEED = (*COMMON, "-ngl", "40", "-ts", "1.5,4.5,3")


def fit_line() -> tuple[str, ...]:
    """The flags that llama-fit-params prints."""
    engine = engine_dir()
    command = [str(engine.binary("llama-fit-params")), "-m", str(skeleton(MODEL)), *COMMON, "-fitt", str(MARGIN_MIB)]
    command += ["-dev", ",".join(device.id for device in emulated(RIG).devices)]
    env = {**os.environ, **engine.env(RIGS[RIG])}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=True)
    found = re.search(r"-ngl -?\d+.*", done.stdout)
    assert found, done.stdout
    return (*COMMON, *found[0].replace('"', "").split())


def described(name: str, args: Sequence[str], order: Sequence[str]) -> Iterator[str]:
    """One line per planner, one per card."""
    facts, rig = load_model(str(skeleton(MODEL))), emulated(RIG)
    given = dict(pairwise(args))
    devices = rig.devices if not order else [next(d for d in rig.devices if d.id == name) for name in order]
    ids = [device.id for device in devices]
    split = [float(x) for x in given.get("-ts", "").split(",") if x] or [d.free_bytes for d in devices]
    layers = place(facts.layers, int(given["-ngl"]), split, len(ids)).layers
    moved = [item for flag, value in pairwise(args) if flag == "-ot" for item in re.split(r",(?=blk)", value)]
    overrides = (*moved, *experts_on_host(int(given.get("-ncmoe", 0))))
    speed = roofline(facts, rig, ids, layers, overrides)
    on_gpu = sum(owner is not None for owner in layers)
    yield f"{name}: {on_gpu} of {len(layers)} layers on GPU, {speed:.2f} tokens/s   {' '.join(args)}"
    held = {row.device: row for row in dry_run(skeleton(MODEL), RIGS[RIG], args)}
    for device in devices:
        row = held.get(device.id)
        used = row.model_mib + row.context_mib + row.compute_mib if row else 0
        yield f"  {device.id} {device.name:14} {used:6} MiB used, {device.free_bytes // MIB - used:6} MiB free"


def main() -> None:
    request = Request(fixed={"context_size": 4096, "parallel": 1}, margin_bytes=(MARGIN_MIB * MIB,))
    settings = solve(
        load_model(str(skeleton(MODEL))), emulated(RIG), request, overhead=no_overhead, details=False
    ).settings
    cases = (("seed", SEED, ()), ("fit", fit_line(), ()), ("ours", tuple(flags(settings)), settings.device_order))
    for name, args, order in cases:
        for line in described(name, args, order):
            sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
