"""Five situations, two sizes of a terminal: nothing here, engine only, model only, everything, no card."""

import io
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitter.run.endpoint import any_free_port, ask
from tests.cli.conftest import TINY
from tests.engine.oracle import RIGS, engine_dir, skeleton
from tests.engine.release_server import ReleaseServer, serving
from tests.from_nothing.test_linux import release_archive
from tests.guided.terminal import Terminal
from tests.model.hub_server import Hollow, Hub, serve_hub

pytestmark = [pytest.mark.engine, pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")]
SIZES = [(80, 24), (120, 40)]
HERE = Path(__file__).parent
OFFERED = {  # what the Hub holds of the suggested repositories: shapes of real models, and one that generates
    "bartowski/Llama-3.3-70B-Instruct-GGUF": "llama-3.3-70b-q4_k_m",
    "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF": "llama-3.1-8b-q4_k_m",
    "bartowski/Qwen2.5-32B-Instruct-GGUF": "qwen2.5-32b-q4_k_m",
    "ggml-org/gpt-oss-20b-GGUF": "gpt-oss-20b-mxfp4",
    "unsloth/Qwen3-30B-A3B-GGUF": "qwen3-30b-a3b-q4_k_m",
}
GENERATES = "ggml-org/gemma-3-1b-it-GGUF"


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("driver")
    library = folder / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(HERE / "nvml.c")], check=True)
    return folder


@pytest.fixture(scope="module")
def archive() -> bytes:
    return release_archive()


@pytest.fixture(scope="module")
def hub() -> Iterator[Hub]:
    with serve_hub({}) as hub:
        hub.others = {repo: {f"{name}.gguf": Hollow(skeleton(name))} for repo, name in OFFERED.items()}
        hub.others[GENERATES] = {"tiny-Q4_K_M.gguf": Path(TINY).read_bytes()}
        yield hub


class Machine:
    """A home folder, a release server, a Hub; cards by a driver and, for the engine, by the emulator."""

    def __init__(self, home: Path, hub: Hub, archive: bytes, driver: Path) -> None:
        self.home, self.port = home, any_free_port()
        self.releases = ReleaseServer({f"llama-b11434-bin-ubuntu-{b}x64.tar.gz": archive for b in ("cuda-12.8-", "")})
        self.env = {
            "HOME": str(home), "PATH": "/usr/bin:/bin", "TERM": "xterm-256color", "LANG": "C.UTF-8",
            "HF_ENDPOINT": hub.url, "no_proxy": "127.0.0.1", "LD_LIBRARY_PATH": str(driver),
            **engine_dir().env(RIGS["phoenix"]),
        }  # fmt: skip
        (home / "splitter.yaml").write_text(f"server:\n  port: {self.port}\n")  # 8080 may be another test's

    def with_engine(self) -> None:
        with tarfile.open(fileobj=io.BytesIO(next(iter(self.releases.files.values())))) as packed:
            packed.extractall(self.home / "llama.cpp", filter="data")
        folder = self.home / "llama.cpp" / "llama-b11434"
        for path in folder.iterdir():
            path.rename(self.home / "llama.cpp" / path.name)

    def with_model(self) -> None:
        shutil.copy(TINY, self.home / "mine.gguf")

    def without_card(self) -> None:
        for name in ("LD_LIBRARY_PATH", "GGML_BACKEND_PATH", "RIG_EMULATOR"):
            del self.env[name]


@pytest.fixture
def machine(tmp_path: Path, hub: Hub, archive: bytes, driver: Path) -> Iterator[Machine]:
    home = tmp_path / "home"
    home.mkdir()
    made = Machine(home, hub, archive, driver)
    with serving(made.releases) as server:
        made.env["GITHUB_API_URL"] = server.url
        yield made


@pytest.fixture(params=SIZES, ids=[f"{columns}x{rows}" for columns, rows in SIZES])
def opened(request: pytest.FixtureRequest, machine: Machine) -> Iterator[list[Terminal]]:
    """Opens when asked: `opened.append` is `start`'s."""
    terminals: list[Terminal] = []
    machine.size = request.param  # type: ignore[attr-defined]
    yield terminals
    for terminal in terminals:
        terminal.close()


def start(machine: Machine, opened: list[Terminal]) -> Terminal:
    columns, rows = machine.size  # type: ignore[attr-defined]
    terminal = Terminal(columns, rows, (sys.executable, "-m", "splitter"), machine.home, machine.env)
    opened.append(terminal)
    return terminal


def both(terminal: Terminal, heading: str, prompt: str) -> str:
    """The screen at a question: what the question is about has not scrolled away."""
    screen = terminal.wait(prompt)
    assert heading in " ".join(screen.split()), screen
    return screen


def answers(machine: Machine) -> str:
    reply = ask(f"http://127.0.0.1:{machine.port}", "/completion", body={"prompt": "A", "n_predict": 4}, timeout_s=60)
    return str(reply.json()["content"])


def stopped(terminal: Terminal) -> None:
    terminal.ctrl_c()
    terminal.wait("ended with 130")
    assert "is free" in " ".join(terminal.all().split())


def test_nothing_here(machine: Machine, opened: list[Terminal]) -> None:
    terminal = start(machine, opened)
    screen = both(terminal, "1. This machine", "Install it? [y]es or [n]o")
    assert "RTX 2080" in screen
    assert "CUDA 12 is the newest that fits" in " ".join(screen.split())
    terminal.types("what")
    terminal.wait("what? One of y, n")
    terminal.types("")
    screen = both(terminal, "3. The model", "hf:OWNER/REPO of another")
    lines = re.findall(r"^ +(\d)\. (.*t/s)$", screen, re.MULTILINE)
    assert len(lines) == 5, screen
    assert "70b" not in screen  # it does not fit
    at = next(number for number, line in lines if "tiny" in line)
    terminal.types("9")
    terminal.wait("9 is no number from 1 to 5")
    terminal.types(at)
    both(terminal, "4. The plan for", "or [q]uit")
    terminal.types("")
    terminal.wait("(Ctrl-C stops the engine)")
    assert answers(machine)
    stopped(terminal)


def test_engine_only(machine: Machine, opened: list[Terminal]) -> None:
    machine.with_engine()
    terminal = start(machine, opened)
    both(terminal, "1. This machine", "hf:OWNER/REPO of another")
    terminal.types(f"hf:{GENERATES}")
    both(terminal, "4. The plan for", "or [q]uit")
    terminal.types("s")
    terminal.wait("ended with 0")
    assert {path.suffix for path in machine.home.iterdir()} >= {".bat", ".sh"}
    assert "start it: sh" in terminal.all()


def test_model_only(machine: Machine, opened: list[Terminal]) -> None:
    machine.with_model()
    terminal = start(machine, opened)
    both(terminal, "1. This machine", "Install it? [y]es or [n]o")
    terminal.types("n")
    screen = both(terminal, "3. The model", "[f]etch a new one")
    assert "mine.gguf" in screen
    assert "on GPUs" in screen
    terminal.types("1")
    screen = both(terminal, "4. The plan for", "or [q]uit")
    assert "[l]aunch" not in screen.splitlines()[-1]
    terminal.types("")
    terminal.wait("ended with 0")
    assert {path.suffix for path in machine.home.iterdir()} >= {".bat", ".sh"}


def test_everything(machine: Machine, opened: list[Terminal]) -> None:
    machine.with_engine()
    machine.with_model()
    terminal = start(machine, opened)
    both(terminal, "1. This machine", "[f]etch a new one")
    terminal.types("my model")
    terminal.wait("my model is no number from 1 to 1, and there is no such file")
    terminal.types("1")
    both(terminal, "4. The plan for", "or [q]uit")
    terminal.types("x")
    terminal.wait("x? One of l, s, q")
    terminal.types("l")
    terminal.wait("(Ctrl-C stops the engine)")
    assert answers(machine)
    stopped(terminal)


def test_no_card(machine: Machine, opened: list[Terminal]) -> None:
    pytest.importorskip("xllamacpp")
    machine.without_card()
    machine.with_model()
    terminal = start(machine, opened)
    screen = both(terminal, "1. This machine", "[f]etch a new one")
    assert "no graphics card" in screen
    terminal.types("1")
    both(terminal, "4. The plan for", "or [q]uit")
    terminal.types("l")
    terminal.wait("(Ctrl-C stops the engine)")
    assert answers(machine)
    stopped(terminal)
