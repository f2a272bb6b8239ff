"""Real processes for the gateway's tests: gateways, engines (real, stand-in, emulated), and what they say."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitter.run.endpoint import any_free_port
from tests.engine.oracle import engine_dir
from tests.standin.install import install

ROOT = Path(__file__).parents[2]
TINY = ROOT / "examples" / "tiny.gguf"
START_S = 60


@dataclass
class Running:
    """A process that serves `url`; its words lie in `log`."""

    process: "subprocess.Popen[bytes]"
    url: str
    log: Path

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def words(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")


def get(url: str, key: str | None = None, timeout_s: float = 30) -> Any:
    """The JSON of a page, whatever its status."""
    return ask(url, None, key, timeout_s)[1]


def ask(
    url: str, body: Any, key: str | None = None, timeout_s: float = 120, headers: Mapping[str, str] | None = None
) -> tuple[int, Any]:
    """Status and JSON (or text) of one request; POST where there is a body."""
    data = None if body is None else json.dumps(body).encode()
    told = {
        "Content-Type": "application/json",
        **(headers or {}),
        **({"Authorization": f"Bearer {key}"} if key else {}),
    }
    request = urllib.request.Request(url, data, told)
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:
            status, raw = answer.status, answer.read()
    except urllib.error.HTTPError as error:
        status, raw = error.code, error.read()
    try:
        return status, json.loads(raw)
    except ValueError:
        return status, raw.decode()


@contextmanager
def process(
    words: list[str], url: str, ready: str, log: Path, env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Runs `words` until the block ends; it is ready when the page `ready` answers 200."""
    with log.open("ab") as file:
        child = subprocess.Popen(
            words,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            start_new_session=True,
        )
        try:
            until_s = time.monotonic() + START_S
            while True:
                try:
                    with urllib.request.urlopen(url + ready, timeout=5):
                        break
                except urllib.error.HTTPError as error:
                    if error.code in {401, 403, 503} and ready == "/health":
                        break
                except OSError:
                    pass
                assert child.poll() is None, log.read_text(errors="replace")
                assert time.monotonic() < until_s, log.read_text(errors="replace")
                time.sleep(0.03)
            yield Running(child, url, log)
        finally:
            end(child)


def end(child: "subprocess.Popen[bytes]") -> None:
    if child.poll() is None:
        child.send_signal(signal.SIGCONT)  # what is stopped cannot end
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)  # the engine inside a stand-in outlives it


def gateway(
    folder: Path,
    *words: str,
    port: int | None = None,
    settings: str | None = None,
    host: str = "127.0.0.1",
    name: str = "gw",
) -> Any:
    """`splitter gateway`, its state in `folder`; a context manager."""
    port = port or any_free_port()
    file = folder / f"{name}.yaml"
    file.write_text((settings or "") + "\nfound: false\n" * ("found:" not in (settings or "")), encoding="utf-8")
    env = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "STATE")}
    command = [sys.executable, "-m", "splitter", "gateway", "--config", str(file), "--host", host, "--port", str(port)]
    return process([*command, *words], f"http://127.0.0.1:{port}", "/health", folder / f"{name}.log", env)


def key_words(folder: Path, *words: str, settings: str | None = None) -> "subprocess.CompletedProcess[str]":
    """`splitter gateway key ...` with the state in `folder`."""
    env = {f"XDG_{kind}_HOME": str(folder / kind.lower()) for kind in ("CONFIG", "DATA", "STATE")}
    more = ["--config", settings] if settings else []
    command = [sys.executable, "-m", "splitter", "gateway", "key", *words, *more]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, **env}, cwd=ROOT, check=False)


def emulated(folder: Path, *words: str, port: int | None = None, name: str = "emulated") -> Any:
    """An engine of known speed."""
    port = port or any_free_port()
    command = [sys.executable, "-m", "tests.gateway.emulated", str(port), *words]
    return process(command, f"http://127.0.0.1:{port}", "/health", folder / f"{name}.log")


def llama_server(folder: Path, *words: str, port: int | None = None, slots: int = 4, name: str = "llama") -> Any:
    """The real one, on the CPU."""
    port = port or any_free_port()
    command = [
        str(engine_dir().binary("llama-server")),
        "-m",
        str(TINY),
        "--port",
        str(port),
        "-t",
        "1",
        "-np",
        str(slots),
    ]
    flags = ["-c", str(1024 * slots), "-dev", "none", "--no-webui"]
    return process([*command, *flags, *words], f"http://127.0.0.1:{port}", "/health", folder / f"{name}.log")


def koboldcpp(folder: Path, port: int | None = None) -> Any:
    """The stand-in, in front of the embedded engine."""
    port = port or any_free_port()
    program = install(folder / "kobold")
    command = [str(program), "--model", str(TINY), "--port", str(port), "--contextsize", "1024", "--host", "127.0.0.1"]
    return process(command, f"http://127.0.0.1:{port}", "/api/extra/version", folder / "kobold.log")


def embedded(folder: Path, port: int | None = None) -> Any:
    """The engine inside Python."""
    port = port or any_free_port()
    command = [
        sys.executable,
        "-m",
        "splitter.engine.embedded.server",
        "-m",
        str(TINY),
        "-c",
        "4096",
        "--port",
        str(port),
    ]
    return process(command, f"http://127.0.0.1:{port}", "/health", folder / "embedded.log")


def wait_up(url: str, count: int, key: str | None = None) -> list[dict[str, Any]]:
    """The nodes, once `count` of them get requests."""
    until_s = time.monotonic() + START_S
    while True:
        nodes: list[dict[str, Any]] = get(f"{url}/health/nodes", key)["data"]["nodes"]
        if sum(node["state"] in {"up", "returning"} for node in nodes) >= count:
            return nodes
        assert time.monotonic() < until_s, nodes
        time.sleep(0.05)


def opened(stack: ExitStack, *contexts: Any) -> list[Running]:
    """Several at once."""
    return [stack.enter_context(context) for context in contexts]
