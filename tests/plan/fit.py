"""The placement that llama.cpp's own `--fit` takes, as its llama-fit-params prints it."""

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from splitter.memory.settings import Settings
from splitter.rig.device import Rig
from tests.engine.oracle import RigRow, engine_dir


def fit_settings(model: Path, rig: Rig, emulated: Sequence[RigRow], margin_mib: int, *flags: str) -> Settings | None:
    """Its layers, shares and overrides for the `emulated` cards of `rig`; None where it gives up."""
    engine, order = engine_dir(), tuple(device.id for device in rig.devices)
    command = [str(engine.binary("llama-fit-params")), "-m", str(model), *flags]
    command += ["-fitt", str(margin_mib), "-dev", ",".join(order)]
    env = {**os.environ, **engine.env(emulated)}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    match = re.search(r"-c (\d+) -ngl (-?\d+)(?: -ts ([\d,]+))?(?: -ot \"(.*)\")?", done.stdout)
    if done.returncode or not match:
        return None
    return Settings(
        context_size=int(match[1]),
        gpu_layers=int(match[2]),
        tensor_split=tuple(float(share) for share in match[3].split(",")) if match[3] else (),
        device_order=order,
        override_tensors=tuple(re.split(r",(?=blk)", match[4])) if match[4] else (),
    )
