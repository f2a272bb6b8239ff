"""A real Windows Python under wine: built once, cached (see winpython.sh)."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TOOLS = ("wine", "wineserver", "x86_64-w64-mingw32-gcc", "x86_64-w64-mingw32-dlltool")


@dataclass(frozen=True, slots=True)
class WindowsPython:
    """Runs our code, as it lies here, in Windows' CPython. Output comes through a pipe, as wine needs it."""

    home: Path
    prefix: Path

    @property
    def program(self) -> str:
        return str(self.home / "py" / "python.exe")

    @property
    def user(self) -> Path:
        """Its user's home folder: wine sets USERPROFILE and LOCALAPPDATA itself."""
        return next(path for path in (self.prefix / "drive_c" / "users").iterdir() if path.name != "Public")

    def environment(self, **more: str) -> dict[str, str]:
        own = {
            "WINEPREFIX": str(self.prefix),
            "WINEDEBUG": "-all",
            "DISPLAY": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**os.environ, **own, "PYTHONPATH": f"Z:{ROOT}", **more}

    def run(self, *words: str, timeout_s: float = 300, **more: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["wine", self.program, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self.environment(**more),
            cwd=ROOT,
            timeout=timeout_s,
            check=False,
        )


@pytest.fixture(scope="session")
def windows() -> Iterator[WindowsPython]:
    if sys.platform == "win32" or not all(map(shutil.which, TOOLS)):
        pytest.skip(f"needs {', '.join(TOOLS)}")
    built = subprocess.run([str(HERE / "winpython.sh")], capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr[-2000:]
    yield from a_machine(Path(built.stdout.splitlines()[-1]))


@pytest.fixture
def fresh(windows: WindowsPython) -> Iterator[WindowsPython]:
    """Another machine, that nobody has used."""
    yield from a_machine(windows.home)


def a_machine(home: Path) -> Iterator[WindowsPython]:
    """A prefix of its own, so that ending its programs ends nobody else's; Windows' files are shared by hard links."""
    machine = WindowsPython(home, Path(tempfile.mkdtemp(prefix="machine", dir=home)))
    subprocess.run(["cp", "-al", f"{home}/prefix/.", machine.prefix], check=True)
    shutil.rmtree(machine.user / "AppData", ignore_errors=True)
    shutil.rmtree(machine.user / ".cache", ignore_errors=True)
    yield machine
    end_all(machine)
    shutil.rmtree(machine.prefix)


def end_all(machine: WindowsPython) -> None:
    """Ends every program of the machine."""
    subprocess.run(["wineserver", "-k"], env=machine.environment(), check=False, capture_output=True)
    subprocess.run(["wineserver", "-w"], env=machine.environment(), check=False, capture_output=True)


def windows_path(path: Path) -> str:
    return "Z:" + str(path).replace("/", "\\")
