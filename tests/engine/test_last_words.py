"""The real llama-server made to fail: its log is blamed rightly."""

import os
import socket
import subprocess
from pathlib import Path
from threading import Timer

import pytest

from splitter.engine.log.events import BufferAllocated, Ready, events
from splitter.engine.log.last_words import EngineFailure, last_words
from tests.engine.oracle import RIGS, engine_dir

pytestmark = pytest.mark.engine
TINY = str(Path(__file__).parents[2] / "examples" / "tiny.gguf")


def log_of(*flags: str, timeout_s: float = 20) -> list[str]:
    """What llama-server prints until it ends, or until it has run for `timeout_s`."""
    engine = engine_dir()
    env = {**os.environ, **engine.env(RIGS["mx-pair"])}
    argv = [str(engine.binary("llama-server")), "--fit", "off", *flags]
    with subprocess.Popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "listening on" in line:
                process.terminate()
                # A SIGTERM between that line and the loop of the server is lost: seen once, it served for ever.
                Timer(5, process.kill).start()
        process.wait(timeout_s)
    return lines


def blamed(*flags: str) -> EngineFailure:
    failure = last_words(log_of(*flags))
    assert failure is not None
    return failure


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def test_out_of_memory_names_card_and_size() -> None:
    failure = blamed("-m", TINY, "--port", free_port(), "-dev", "CUDA0", "-ngl", "99", "-c", "4000000")
    assert failure.kind == "out_of_memory"
    assert failure.sentence == "CUDA0 had no room for another 7.63 GiB"


def test_a_taken_port() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        failure = blamed("-m", TINY, "--port", str(port), "-c", "512")
    assert (failure.kind, failure.sentence) == ("port_taken", f"port {port} is taken by another program")


def test_bad_files(tmp_path: Path) -> None:
    broken, missing = tmp_path / "broken.gguf", tmp_path / "missing.gguf"
    broken.write_bytes(Path(TINY).read_bytes()[:900_000])
    failure = blamed("-m", str(broken), "--port", free_port())
    assert failure.kind == "bad_model"
    assert "corrupted or incomplete" in failure.sentence
    failure = blamed("-m", str(missing), "--port", free_port())
    assert (failure.kind, failure.sentence) == ("missing_file", f"there is no file {missing}")


@pytest.mark.parametrize("flags", [("--nonsense",), ("-fa", "maybe"), ("-dev", "CUDA9")])
def test_arguments_it_does_not_take(flags: tuple[str, ...]) -> None:
    failure = blamed("-m", TINY, *flags)
    assert failure.kind == "invalid_argument"
    assert flags[-1] in failure.sentence


def test_a_good_start_blames_nothing_and_shows_its_buffers() -> None:
    port = free_port()
    lines = log_of("-m", TINY, "--port", port, "-dev", "CUDA1,CUDA0", "-ngl", "99", "-c", "4096", "-lv", "5")
    assert last_words(lines) is None
    found = list(events(lines))
    assert Ready(f"http://127.0.0.1:{port}") in found
    buffers = {(event.device, event.kind) for event in found if isinstance(event, BufferAllocated)}
    assert {("CUDA0", "model"), ("CUDA1", "model"), ("CUDA0", "KV"), ("CUDA1", "KV"), ("CUDA0", "compute")} <= buffers
