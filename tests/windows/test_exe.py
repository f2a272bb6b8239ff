"""splitter.exe, as PyInstaller makes it: size, start time, and that it demonstrates, plans, writes, launches.

    pytest -m bench -s tests/windows/test_exe.py      (some minutes, most of them PyInstaller's)

SPLITTER_EXE names one that is built already.
"""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from splitter.run.endpoint import any_free_port
from tests.cli.conftest import TINY
from tests.from_nothing.person import answer
from tests.windows.conftest import ROOT, WindowsPython, windows_path

pytestmark = pytest.mark.bench
MOST_MB = 60
PLANNED = ("--rig", "phoenix", "--engine-version", "11434")


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory, windows: WindowsPython) -> Path:
    given = os.environ.get("SPLITTER_EXE")
    if given:
        return Path(given)
    built = [str(ROOT / "packaging" / "build_exe.sh"), str(tmp_path_factory.mktemp("exe"))]
    return Path(subprocess.run(built, stdout=subprocess.PIPE, text=True, check=True).stdout.strip())


def run(program: Path, machine: WindowsPython, folder: Path, *words: str) -> str:
    environment = machine.environment()
    del environment["PYTHONPATH"]  # nothing but the program itself
    done = subprocess.run(
        ["wine", str(program), *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr).decode("utf-8", "replace")
    return done.stdout.decode("utf-8", "replace")


def test_size_start_and_every_step(program: Path, fresh: WindowsPython, tmp_path: Path) -> None:
    size_mb = program.stat().st_size / 1e6
    began = time.monotonic()
    assert run(program, fresh, tmp_path, "--version").startswith("splitter ")
    began, first_s = time.monotonic(), time.monotonic() - began
    run(program, fresh, tmp_path, "--version")
    print(f"\nsplitter.exe: {size_mb:.1f} MB, first start {first_s:.1f} s, second {time.monotonic() - began:.1f} s")
    assert size_mb < MOST_MB
    assert "The engine is stopped." in run(program, fresh, tmp_path, "demo")
    model = windows_path(Path(TINY))
    plan: Any = json.loads(run(program, fresh, tmp_path, "plan", model, *PLANNED, "--json"))
    assert plan["data"]["devices"]
    run(program, fresh, tmp_path, "script", model, *PLANNED, "-o", "out")
    assert list((tmp_path / "out").glob("*.bat"))


def test_launch_answers_and_stops(program: Path, fresh: WindowsPython, tmp_path: Path) -> None:
    port = str(any_free_port())
    words = ("launch", windows_path(Path(TINY)), "--engine", "embedded", "-c", "256", "--port", port, "--name", "exe")
    environment = fresh.environment()
    del environment["PYTHONPATH"]
    with subprocess.Popen(
        ["wine", str(program), *words],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as running:
        reply = answer(f"http://127.0.0.1:{port}/completion", {"prompt": "A card", "n_predict": 8}, running)
        assert reply["content"].strip()
        run(program, fresh, tmp_path, "stop", "exe")
        said = running.communicate(timeout=60)[0].decode("utf-8", "replace")
    assert "ready at" in said
