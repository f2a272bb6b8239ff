"""The real llama-server of ik_llama.cpp, built for the CPU: starts it for a while and reads its load lines."""

import re
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from splitter.units import from_mib

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "splitter-engine" / "ik_llama-0.1.5"
LAYER = re.compile(r"^Layer +(\d+): +([\d.]+), +([\d.]+), +([\d.]+) +([\d.]+)? +MiB", re.MULTILINE)
KV = re.compile(r"KV self size +=\s+([\d.]+) MiB")
BUFFER = re.compile(r"(\S+) +(KV |compute )?buffer size = +([\d.]+) MiB")
PLACED = re.compile(r"Setting default device in layer +(\d+) to (\d+)")
LOADED = ("HTTP server listening", "graph splits")


@cache
def server() -> str:
    """The program; built where it is not there yet."""
    script = str(HERE / "build_ik_llama.sh")
    out = subprocess.run(["bash", script, str(CACHE)], stdout=subprocess.PIPE, text=True, check=True)
    return str(Path(out.stdout.strip().splitlines()[-1]) / "bin" / "llama-server")


@dataclass(frozen=True, slots=True)
class LoadLines:
    """What the server said while it loaded, in bytes: `layers` are (weights, cache, compute need) of each layer."""

    text: str

    def layers(self) -> list[tuple[int, int, int]]:
        found = (match for match in LAYER.finditer(self.text) if match[5])
        return [(from_mib(float(m[2])), from_mib(float(m[3])), from_mib(float(m[5]))) for m in found]

    def cache_bytes(self) -> int | None:
        found = KV.search(self.text)
        return from_mib(float(found[1])) if found else None

    def buffers(self, kind: str) -> dict[str, int]:
        """Bytes by device: `kind` is "" for weights, "KV " or "compute "."""
        return {m[1]: from_mib(float(m[3])) for m in BUFFER.finditer(self.text) if (m[2] or "") == kind}

    def owners(self) -> dict[int, int]:
        """The device of each layer, as the engine set it."""
        return {int(m[1]): int(m[2]) for m in PLACED.finditer(self.text)}


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def load_lines(args: Sequence[str], folder: Path, timeout_s: float = 300) -> LoadLines:
    """Starts the server with `args` until it has allocated everything, and ends it."""
    log = folder / "server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [server(), *args, "--host", "127.0.0.1", "--port", str(free_port()), "--no-warmup"],
            stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=folder,
        )  # fmt: skip
        try:
            ends = time.monotonic() + timeout_s
            while time.monotonic() < ends and process.poll() is None:
                if any(word in log.read_text(errors="replace") for word in LOADED):
                    break
                time.sleep(0.1)
        finally:
            process.kill()
            process.wait()
    return LoadLines(log.read_text(errors="replace"))
