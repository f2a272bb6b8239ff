"""Runs verbs in this process and hands back what a shell would see."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from splitter.cli.main import run

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "examples" / "tiny.gguf")


@dataclass(frozen=True)
class Said:
    """Exit code, standard output and standard error of one command."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)


Splitter = Callable[..., Said]


@pytest.fixture
def splitter(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Splitter:
    """`splitter(*words)` runs one command line, in an empty folder and with nobody's configuration."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("COLUMNS", "160")

    def call(*words: str) -> Said:
        code = run(list(words))
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call
