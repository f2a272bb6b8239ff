"""What a shell, a full disk, Ctrl-C and odd paths meet: one sentence or one JSON object, never our own failure."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Splitter

PLAN = ("plan", TINY, "--rig", "phoenix")


def shell(line: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`line` under sh, with `splitter` and `words` as its "$@"."""
    command = ["sh", "-c", line, "sh", sys.executable, "-m", "splitter", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("words", [PLAN, ("plan", str(Path(TINY).parent), "--rig", "phoenix")])
def test_a_file_that_cannot_be_saved_is_one_json_object(splitter: Splitter, words: tuple[str, ...]) -> None:
    said = splitter(*words, "--save", "missing/plan.json", "--json")
    assert (said.code, said.json()["status"]) == (2, "error")


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_full_disk(extra: tuple[str, ...]) -> None:
    done = shell('"$@" >/dev/full', *PLAN, *extra)
    assert (done.returncode, "No space left" in done.stderr, "Traceback" in done.stderr) == (1, True, False)


@pytest.mark.parametrize("extra", [(), ("--json",)])
def test_a_closed_output(extra: tuple[str, ...]) -> None:
    done = shell('"$@" >&-', *PLAN, *extra)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "words",
    [
        ("plan", "~nobody-here/model.gguf", "--rig", "phoenix"),
        ("inspect", "~nobody-here/model.gguf"),
        ("check", "~nobody-here/start.bat"),
        ("rig", "--rig", "~nobody-here/rig.yaml"),
        (*PLAN, "--save", "~nobody-here/plan.json"),
        ("plan", "m" * 5000, "--rig", "phoenix"),
        ("rig", "--rig", "r" * 5000),
        (*PLAN, "-ts", "0,0,1e-300"),
    ],
)
def test_odd_paths_and_values_are_refused(splitter: Splitter, words: tuple[str, ...]) -> None:
    said = splitter(*words, "--json")
    assert (said.code, said.json()["errors"][0]["code"]) == (2, "usage")


def test_tensor_mode_is_planned_with_its_alternatives(splitter: Splitter) -> None:
    assert splitter(*PLAN, "-sm", "tensor", "--json").code == 0


def launched(tmp_path: Path, *, until: str) -> tuple[subprocess.Popen[bytes], Path]:
    """`splitter launch --json` on the embedded engine, once `until` stands in its engine's log or its output."""
    from splitter.run.endpoint import any_free_port

    out, log = tmp_path / "out.json", tmp_path / "engine.log"
    words = (
        "launch",
        TINY,
        "--engine",
        "embedded",
        "--port",
        str(any_free_port()),
        "--restart",
        "never",
        "--log-file",
        str(log),
        "--json",
    )
    with out.open("wb") as file:
        process = subprocess.Popen([sys.executable, "-m", "splitter", *words], stdout=file, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    while not any(until in path.read_text(encoding="utf-8") for path in (out, log) if path.exists()):
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    return process, out


@pytest.mark.engine
@pytest.mark.skipif(os.name == "nt", reason="signals")
def test_an_engine_that_dies_after_it_was_ready_adds_no_second_object(tmp_path: Path) -> None:
    process, out = launched(tmp_path, until='"pid"')
    try:
        while not out.read_text(encoding="utf-8").endswith("}\n"):
            time.sleep(0.02)
        os.kill(json.loads(out.read_text(encoding="utf-8"))["data"]["pid"], signal.SIGKILL)
        assert process.wait(30) == 4
    finally:
        process.kill()
    assert json.loads(out.read_text(encoding="utf-8"))["status"] == "ok"


def test_an_interrupt_is_one_json_object(splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> None:
    def ctrl_c(*_: object, **_named: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("splitter.app.planning.resolve_rig", ctrl_c)
    said = splitter(*PLAN, "--json")
    assert (said.code, said.json()["errors"][0]["code"]) == (130, "interrupted")


@pytest.mark.parametrize("engine", ["llama-server", "koboldcpp", "embedded"])
def test_no_device_at_all(splitter: Splitter, engine: str) -> None:
    data = splitter(*PLAN, "-dev", "none", "--engine", engine, "--json").json()["data"]
    assert (data["devices"], data["settings"]["gpu_layers"]) == ([], 0)


def test_a_draft_model_on_the_cpu(splitter: Splitter) -> None:
    data = splitter(*PLAN, "-md", TINY, "-devd", "none", "--json").json()["data"]
    assert "-devd none" in " ".join(data["command"]["argv"])
    assert data["settings"]["draft_device_order"] == []
    assert splitter("profile", "new", "mine.yaml", TINY, "--rig", "phoenix", "-md", TINY, "-devd", "none").code == 0
    assert splitter("plan", "-p", "mine.yaml", "--json").json()["data"]["settings"]["draft_device_order"] == []


@pytest.mark.parametrize(
    "words",
    [
        (*PLAN, "--save", "."),
        (*PLAN, "--report", "."),
        ("plan", str(Path(TINY).parent), "--rig", "phoenix", "--save", "."),
        ("check", TINY, "-ngl", "3", "--rig", "phoenix", "--save", "."),
        ("rig", "--rig", "phoenix", "--save", "."),
        ("bench", "export", "-o", "."),
        ("bench", "report", "-o", "."),
        ("tune", TINY, "--rig", "phoenix", "--save", "no-folder/tune.json"),
    ],
)
def test_a_folder_is_no_file_to_write(splitter: Splitter, words: tuple[str, ...], tmp_path: Path) -> None:
    """Said before anything is planned or measured, and nothing is left."""
    said = splitter(*words, "--json")
    assert said.code == 2, said.out
    assert "cannot write" in said.json()["errors"][0]["message"]
    assert list(tmp_path.iterdir()) == []
