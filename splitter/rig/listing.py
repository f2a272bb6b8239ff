"""Runs the engine's `--list-devices`: names, order, ids and free memory as the engine itself will see them."""

import os
import subprocess
from collections.abc import Mapping

from splitter.errors import EngineError
from splitter.rig.listed import ListedDevice, parse_listing

# Waking several GPUs without a persistence daemon takes seconds each.
TIMEOUT_S = 60.0
_HINT = "run it by hand to see what it says; old builds do not know --list-devices"


def list_devices(engine_path: str, env: Mapping[str, str] | None = None) -> tuple[ListedDevice, ...]:
    """The devices that the llama-server at `engine_path` sees, started in this environment with `env` on top.

    Raises EngineError if it cannot be started, fails, hangs for a minute or does not know --list-devices.
    """
    environment = {**os.environ, "CUDA_DEVICE_ORDER": "PCI_BUS_ID", **(env or {})}
    try:
        done = subprocess.run(
            [engine_path, "--list-devices"],
            capture_output=True,
            env=environment,
            stdin=subprocess.DEVNULL,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise EngineError(f"{engine_path} --list-devices gave no answer in {TIMEOUT_S:.0f} s", _HINT) from None
    except OSError as problem:
        raise EngineError(f"{engine_path} cannot be started: {problem.strerror}", _HINT) from None
    text = (done.stdout + b"\n" + done.stderr).decode("utf-8", "replace")
    listed = parse_listing(text)
    if listed is None or done.returncode != 0:
        raise EngineError(f"{engine_path} --list-devices failed (exit {done.returncode}){_last_words(text)}", _HINT)
    return listed


def _last_words(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return f": {lines[-1][:200]}" if lines else ""
