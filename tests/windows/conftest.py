"""A real Windows Python under wine: built once, cached (see winpython.sh)."""

import os
import shutil
import subprocess
import sys
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

    def environment(self, **more: str) -> dict[str, str]:
        own = {
            "WINEPREFIX": str(self.home / "prefix"),
            "WINEDEBUG": "-all",
            "DISPLAY": "",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return {**os.environ, **own, "PYTHONPATH": f"Z:{ROOT}", **more}

    def run(self, *words: str, timeout_s: float = 300, **more: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            ["wine", str(self.home / "py" / "python.exe"), *words],
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
    python = WindowsPython(Path(built.stdout.splitlines()[-1]))
    yield python
    subprocess.run(["wineserver", "-k"], env=python.environment(), check=False, capture_output=True)
