"""What README.md and the walk-throughs tell people to type works: every splitter command of their shell blocks."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PROGRAM = ".venv/bin/splitter"


def commands() -> list[str]:
    texts = [README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "examples").glob("*.md")))]
    blocks = [block for text in texts for block in re.findall(r"```sh\n(.*?)```", text, re.DOTALL)]
    return [line for block in blocks for line in block.splitlines() if line.startswith(PROGRAM)]


@pytest.mark.parametrize("line", commands())
def test_command_works(line: str) -> None:
    words = shlex.split(line)[1:]
    done = subprocess.run(
        [sys.executable, "-m", "splitter", *words], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_set_up_is_two_commands() -> None:
    block = re.search(r"## Set up.*?```sh\n(.*?)```", README, re.DOTALL)
    assert block
    assert len(block[1].strip().splitlines()) == 2


def test_ci_runs_the_readmes_test_command() -> None:
    block = re.search(r"## Tests.*?```sh\n(.*?)```", README, re.DOTALL)
    assert block
    assert block[1].strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_verb_is_documented() -> None:
    from splitter.cli.app import app

    names = {command.name for command in app.registered_commands} | {group.name for group in app.registered_groups}
    assert {name for name in names if name and f"splitter {name}" not in README} == set()
