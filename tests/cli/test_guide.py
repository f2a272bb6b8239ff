"""`splitter` alone: a guided run on a real terminal, the help anywhere else."""

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Splitter

WAIT_S = 60


def test_without_a_terminal_it_is_the_help(splitter: Splitter) -> None:
    said = splitter()
    assert said.code == 0
    assert "splitter plan MODEL.gguf" in said.out


def converse(folder: Path, turns: tuple[tuple[str, str], ...]) -> tuple[int, str]:
    """Runs `splitter` on a pseudo-terminal; answers each prompt when it has been shown."""
    main, side = pty.openpty()
    env = {
        **os.environ,
        "XDG_CONFIG_HOME": str(folder),
        "HOME": str(folder),
        "TERM": "dumb",
        "CUDA_VISIBLE_DEVICES": "",
    }
    words = [sys.executable, "-m", "splitter"]
    process = subprocess.Popen(words, stdin=side, stdout=side, stderr=side, cwd=folder, env=env)
    os.close(side)
    shown, until, left = "", time.monotonic() + WAIT_S, list(turns)
    while time.monotonic() < until:
        if left and left[0][0] in shown:
            os.write(main, f"{left.pop(0)[1]}\n".encode())
        if select.select([main], [], [], 0.2)[0]:
            try:
                shown += os.read(main, 65536).decode(errors="replace")
            except OSError:
                break
    os.close(main)
    return process.wait(WAIT_S), shown


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_on_a_terminal_it_guides_to_a_script(tmp_path: Path) -> None:
    pytest.importorskip("xllamacpp", reason="the guide falls back on the embedded engine where no GPU is")
    code, shown = converse(
        tmp_path, (("hf:OWNER", "nosuch.gguf"), ("no such file", f'"{TINY}"'), ("[q]uit", "x"), ("One of l, s, q", "s"))
    )
    assert code == 0, shown
    for step in ("1. This machine", "2. The models", "3. The plan"):
        assert step in shown
    assert {path.suffix for path in tmp_path.iterdir()} >= {".bat", ".sh"}
