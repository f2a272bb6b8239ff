"""Issue 6, Show 2: the cards have 10 % less free memory than the rig file says; nobody helps.

    python -m tests.run.oom_replan

A real llama-server on the emulated rig, the whole `splitter launch`: how many starts until it is ready, the first time
and the second time (which knows what the first one learnt). The model is small; its context fills the cards.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from splitter.run.endpoint import any_free_port
from tests.engine.oracle import RIGS, RigRow, engine_dir

MAKE_MODEL = Path(__file__).parents[2] / "examples" / "make_model.py"
SHAPE = ("--layers", "24", "--embd", "512", "--ffn", "1024", "--heads", "8", "--kv-heads", "8")
TRUE_SHARE = 0.9
CONTEXTS = {"phoenix": 330_000, "budget-pair": 250_000, "mx-pair": 60_000}
# The engine's own listing and dry run see all that was reported; only a server meets what is really free.
OVER_REPORTS = """#!/bin/sh
case " $* " in *" --port "*) RIG_EMULATOR='{truth}' ;; esac
export RIG_EMULATOR
exec {real} "$@"
"""
INITIALIZING = "llama_server: initializing"


@dataclass(frozen=True)
class Launched:
    """One `splitter launch`: `starts` of the engine until it was ready (or given up), what was said about each."""

    ready: bool
    starts: int
    exit_code: int
    said: tuple[str, ...]


def small_model(folder: Path) -> Path:
    """Some 65 MB; each thousand tokens of its cache take 48 MiB."""
    path = folder / "small.gguf"
    subprocess.run([sys.executable, str(MAKE_MODEL), "-o", str(path), *SHAPE], check=True, stdout=subprocess.DEVNULL)
    return path


def rig_file(folder: Path, name: str) -> Path:
    """The rig as it is reported."""
    rows = (
        f"  - {{name: {card}, id: CUDA{i}, total_mib: {total}, free_mib: {free}, gb_per_s: {speed}}}"
        for i, (card, total, free, speed) in enumerate(RIGS[name])
    )
    path = folder / f"{name}.yaml"
    host = "host: {ram_mib: 32768, ram_free_mib: 30000, ram_gb_per_s: 40, cores: 2, os: linux}"
    path.write_text("\n".join((f"name: {name}", host, "devices:", *rows)) + "\n", encoding="utf-8")
    return path


def over_reporting(folder: Path, truth: Sequence[RigRow]) -> Path:
    """A llama-server whose driver promises more than there is, and its dry run beside it."""
    engine = engine_dir()
    server = folder / "llama-server"
    server.write_text(OVER_REPORTS.format(truth=engine.env(truth)["RIG_EMULATOR"], real=engine.binary("llama-server")))
    server.chmod(0o755)
    with suppress(FileExistsError):
        (folder / "llama-fit-params").symlink_to(engine.binary("llama-fit-params"))
    return server


def launched(
    model: Path, rig: Path, *flags: str, true_share: float = TRUE_SHARE, over_reports: bool = False
) -> Launched:
    """Launches on the rig as it really is, until it is ready, and stops it. The cache folder is the model's.

    `over_reports`: whoever asks the driver hears the full figures too."""
    engine = engine_dir()
    truth = [(card, total, int(free * true_share), speed) for card, total, free, speed in RIGS[rig.stem]]
    server = over_reporting(model.parent, truth) if over_reports else engine.binary("llama-server")
    told = engine.env(RIGS[rig.stem] if over_reports else truth)
    cache = model.parent / f"cache-{rig.stem}{'-over' if over_reports else ''}"
    env = {**os.environ, **told, "XDG_CACHE_HOME": str(cache)}
    argv = [sys.executable, "-m", "splitter", "launch", str(model), "--rig", str(rig), "--margin", "0", *flags]
    argv += ["--engine-path", str(server), "--port", str(any_free_port())]
    lines, ready = [], False
    # `python -m` and unbuffered: the lines arrive as they are said.
    with subprocess.Popen(
        argv, env=env | {"PYTHONUNBUFFERED": "1", "COLUMNS": "400"}, stdout=-1, stderr=subprocess.STDOUT, text=True
    ) as run:
        assert run.stdout is not None
        for line in run.stdout:
            lines.append(line.rstrip())
            if line.startswith("ready at") and not ready:
                ready = True
                run.send_signal(signal.SIGINT)
    starts = sum(INITIALIZING in line for line in lines)
    said = tuple(line for line in lines if line.startswith(("out of memory", "error:")))
    return Launched(ready, starts, run.returncode, said)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as there:
        file = small_model(Path(there))
        for rig_name, context in CONTEXTS.items():
            path = rig_file(Path(there), rig_name)
            for over, turn in ((over, turn) for over in (False, True) for turn in ("first", "second")):
                result = launched(file, path, "-c", str(context), over_reports=over)
                driver = "driver over-reports" if over else "driver tells truth"
                told = f"{turn:6} launch: ready {result.ready} in {result.starts} starts"
                sys.stdout.write(f"{rig_name:14} {driver:20} {told}\n")
                sys.stdout.writelines(f"    {text}\n" for text in result.said)
                sys.stdout.flush()
