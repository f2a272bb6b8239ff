"""Puts the stand-in where a test wants a koboldcpp binary."""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BOOTLOADER = """
import os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-m", "tests.standin", *sys.argv[1:]])
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGTERM, lambda *_: child.terminate())
code = child.wait()
if code < 0:
    signal.signal(-code, signal.SIG_DFL)
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


def install(folder: Path, *, name: str = "koboldcpp-linux-x64", packed: bool = False, **variables: str) -> Path:
    """An executable `name` in `folder` that runs the stand-in with `variables` (KCPP_...) set; a `.py` as a git clone
    has it, which only Python can run.

    `packed`: as the release files do, a parent that unpacks and starts the real program as its child.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    settings = {"PYTHONPATH": str(ROOT), **variables}
    lines = [f"os.environ[{name!r}] = {value!r}" for name, value in settings.items()]
    python = sys.executable
    run = BOOTLOADER if packed else f'os.execv({python!r}, [{python!r}, "-m", "tests.standin", *sys.argv[1:]])'
    path.write_text(f"#!{sys.executable}\nimport os, sys\n" + "\n".join(lines) + "\n" + run + "\n", encoding="utf-8")
    path.chmod(0o644 if name.endswith(".py") else 0o755)
    return path
