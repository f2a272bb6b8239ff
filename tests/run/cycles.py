"""Soak, first half: launch/stop cycles of the example model; nothing may be left over and memory must stay flat.

    python -m tests.run.cycles [--cycles 200]

One long-living process launches and stops the embedded engine through the registry, as `splitter launch` does. Exit
code 1 when a process, descriptor, file or thread is left, or when memory grew by more than 10 % after the first tenth.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import psutil

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.run.endpoint import any_free_port
from splitter.run.entry import Entry
from splitter.run.log_file import LogFile
from splitter.run.registry import Registry
from splitter.run.supervisor import launch

TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"


def cycle(registry: Registry, logs: Path) -> None:
    port = any_free_port()
    words = ("-m", str(TINY), "-c", "256", "--port", str(port), "-ngl", "0", "--device", "none")
    argv = (sys.executable, "-m", "splitter.engine.embedded.server", *words)
    command = EngineCommand(EngineRef("embedded"), argv, {}, Server(port=port), str(TINY))
    wanted = Entry(
        "cycle", "", 0, 0.0, "embedded", None, "127.0.0.1", port, "", str(TINY), "tiny", None, argv, None, 0.0
    )
    with registry.claim(wanted, {}, 0.0) as claim:
        log = LogFile(logs / "cycle.log", 100_000, 3, fresh=False)
        with launch(command, on_log=log.write, watchers=(claim.watch,)) as instance:
            instance.wait_ready()
        log.close()


def measured(folder: Path) -> dict[str, int]:
    me = psutil.Process()
    files = sum(len(names) for _, _, names in os.walk(folder / "instances"))
    return {"processes": len(me.children(recursive=True)), "descriptors": me.num_fds(), "threads": me.num_threads(),
            "files": files, "rss": me.memory_info().rss}  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cycles", type=int, default=200)
    cycles = parser.parse_args().cycles
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        registry = Registry(folder / "instances")
        early: dict[str, int] = {}
        for number in range(1, cycles + 1):
            cycle(registry, folder / "logs")
            if number == max(1, cycles // 10):
                early = measured(folder)
        late = measured(folder)
    print(f"after {max(1, cycles // 10)}: {early}\nafter {cycles}: {late}")
    leaked = [what for what in ("processes", "descriptors", "threads", "files") if late[what] > early[what]]
    if late["rss"] > early["rss"] * 1.1:
        leaked.append("rss")
    print("leaked: " + (", ".join(leaked) or "nothing"))
    return 1 if leaked else 0


if __name__ == "__main__":
    sys.exit(main())
