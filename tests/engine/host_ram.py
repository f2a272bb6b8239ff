"""RAM of the real llama-server after 50 different prompts, against what the memory model says it may take.

    nice -n 10 python -m tests.engine.host_ram            five settings, some minutes

A model of 24 layers answers on the CPU alone, so that all it holds is in RAM. Compared is the resident set of the
process: right after it listens, and after the prompts, each of which leaves its state in the prompt cache.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.plan.overhead import no_overhead
from splitter.rig.device import Host, Rig
from splitter.run.endpoint import any_free_port
from splitter.run.supervisor import launch
from splitter.units import MIB
from tests.engine.oracle import engine_dir
from tests.engine.test_launch import post

PROMPTS = 50
SETTINGS: dict[str, dict[str, Any]] = {
    "as by default, one slot": {"parallel": 1},
    "--cache-ram 64": {"parallel": 1, "cache_ram_mib": 64},
    "--cache-ram 0": {"parallel": 1, "cache_ram_mib": 0},
    "four slots, --no-mmap, --cache-ram 128": {"mmap": False, "cache_ram_mib": 128},
    "-ctk q8_0 -ctv q8_0, --cache-ram 32": {
        "parallel": 1,
        "cache_type_k": "q8_0",
        "cache_type_v": "q8_0",
        "cache_ram_mib": 32,
    },
}


@dataclass(frozen=True)
class Measured:
    """Bytes: `said` once loaded, `most` with all that may grow; the process's own when loaded and after the prompts."""

    name: str
    said: int
    most: int
    loaded: int
    after: int


def main_model(folder: Path) -> Path:
    path = folder / "main.gguf"
    script = Path(__file__).parents[2] / "examples" / "make_model.py"
    subprocess.run([sys.executable, str(script), "-o", str(path), "--layers", "24", "--embd", "256"], check=True)
    return path


def measured(model: Path, name: str, fixed: dict[str, Any], prompts: int = PROMPTS) -> Measured:
    """One server under one of SETTINGS."""
    settings = Settings(context_size=4096, gpu_layers=0, device_order=(), **fixed)
    plan = evaluate(load_model(str(model)), Rig("host", Host(), ()), settings, overhead=no_overhead)
    host, growth = plan.footprint.host.used_bytes(), sum(size for _, size in plan.footprint.growth)
    engine = EngineRef("llama-server", str(engine_dir().binary("llama-server")), "11434")
    with launch(build_command(plan, engine, Server(port=any_free_port()))) as instance:
        instance.wait_ready()
        loaded = _resident()
        for i in range(prompts):
            words = " ".join(f"{(i + 3) * (k + 7) % 997}" for k in range(150))
            post(instance, "/completion", {"prompt": words, "n_predict": 2, "temperature": 0})
        after = _resident()
    return Measured(name, host, host + growth, loaded, after)


def _resident() -> int:
    """The resident set of the server among this process's children."""
    servers = (one for one in psutil.Process().children(recursive=True) if one.name() == "llama-server")
    return int(max(one.memory_info().rss for one in servers))


def run(prompts: int = PROMPTS) -> Iterator[Measured]:
    with tempfile.TemporaryDirectory() as name:
        model = main_model(Path(name))
        for title, fixed in SETTINGS.items():
            yield measured(model, title, fixed, prompts)


def main() -> None:
    print(f"MiB of RAM: said when loaded, at most; measured when loaded, after {PROMPTS} prompts")
    for one in run():
        sizes = (one.said, one.most, one.loaded, one.after)
        print(f"  {one.name:40}", *(f"{size / MIB:9.1f}" for size in sizes), flush=True)


if __name__ == "__main__":
    main()
