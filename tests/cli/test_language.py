"""Sentences for people: what once needed a second reading stays away, and the words of libraries become ours."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import TINY, Splitter

ROOT = Path(__file__).parents[2]
GONE = (
    "what it could hold beside its buffers", "it takes what the faster cards cannot", "GPU memory binds", "-f goes on",
    "is no server of a model", "ended its answer at once", "holds what it may not", "fails for a reason that stays",
    "+/- 95 %", "cannot be meant", "hardly anyone measures", "stands in this command", "never repaired", "is no list",
    "is no object", "} free RAM",
)  # fmt: skip


def texts() -> Iterator[tuple[Path, str]]:
    """Every text of the program, f-strings in their pieces."""
    for path in (ROOT / "splitter").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield path, " ".join(node.value.split())


def test_what_needed_a_second_reading_is_gone() -> None:
    assert [(path.name, phrase) for path, text in texts() for phrase in GONE if phrase in text] == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("plan", TINY, "--rig", "phoenix", "-sm", "row"), "'row' is not one of 'none', 'layer', 'tensor'"),
        (("plan", TINY, "--rig", "phoenix", "-ub", "0"), "wrong value for '-ub' / '--ubatch-size': it must be"),
        (("plan", TINY, "more"), "unexpected: more"),
        (("plan", TINY, "--gpus", ""), "--gpus names no card"),
        (("inspect",), "model is missing"),
        (("bench", "show", "x"), "wrong value for 'ID': it must be a valid integer"),
        (("profile",), "splitter profile needs a command"),
        (("stop", "--all", "one"), "--all and a name exclude each other"),
        (("stop",), "no instance is named"),
        (("logs", "-f", "--json"), "-f cannot be combined with --json"),
    ],
)
def test_a_wrong_command_line_is_told_in_plain_words(splitter: Splitter, words: tuple[str, ...], says: str) -> None:
    said = splitter(*words)
    assert said.code == 2
    assert says in (said.err or said.out)
    assert "Value error" not in said.err
    assert "Input should" not in said.err
