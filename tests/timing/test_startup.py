"""Issue 2, Show 4: wall time of the command line beside a bare Python; the aims are 0.35 s for help, 0.8 s for a plan.

pytest -m bench -s tests/timing/test_startup.py
"""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.skeletons import write_skeleton
from tests.timing.clock import wall_ms

pytestmark = pytest.mark.bench


def run(*words: str) -> None:
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)


def test_the_command_line_starts_fast(tmp_path: Path) -> None:
    model = str(write_skeleton("llama-3.3-70b-q4_k_m", tmp_path))
    bare = wall_ms(lambda: run("-c", "pass"))
    for name, words in (
        ("import splitter", ("-c", "import splitter")),
        ("splitter --help", ("-m", "splitter", "--help")),
        ("splitter plan, 80 layers, 4 cards", ("-m", "splitter", "plan", model, "--rig", "ampere-mix")),
        ("the same with --json", ("-m", "splitter", "plan", model, "--rig", "ampere-mix", "--json")),
    ):
        spent = wall_ms(lambda words=words: run(*words))  # type: ignore[misc]
        print(f"\n{name}: {spent:.0f} ms, {spent / bare:.1f} x a bare Python ({bare:.0f} ms)", end="")
