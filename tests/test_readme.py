"""What the documents tell people to type works, and prints what they show."""

import re
from pathlib import Path

import pytest

from tests.documents import ROOT, SHOWN, commands, documents, furnish, run, said

README = (ROOT / "README.md").read_text(encoding="utf-8")
SET_UP = re.search(r"## Set up.*?```sh\n(.*?)```", README, re.DOTALL)
TESTS = re.search(r"## Tests.*?```sh\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the documents' commands find what they name."""
    made = tmp_path_factory.mktemp("documents")
    furnish(made)
    return made


@pytest.mark.parametrize("line", [line for document in documents() for line in commands(document)])
def test_command_works(line: str, folder: Path) -> None:
    done = run(line, folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_what_is_shown_is_what_is_printed(document: Path, folder: Path) -> None:
    """After a change that is meant: `python -m tests.documents`."""
    for found in SHOWN.finditer(document.read_text(encoding="utf-8")):
        assert said(found["line"], folder) == found["output"]


def test_the_readme_shows_a_real_rig() -> None:
    assert "RTX 2080" in "".join(found["output"] for found in SHOWN.finditer(README))


def test_installing_is_three_lines_on_each_system() -> None:
    install = README[README.index("## Install") : README.index("## What it prints")]
    blocks = re.findall(r"```(?:sh|powershell)\n(.*?)```", install, re.DOTALL)
    assert [len(block.strip().splitlines()) for block in blocks] == [3, 3]
    assert all("tensor-splitter[embedded]" in block for block in blocks)


def test_set_up_is_two_commands() -> None:
    assert SET_UP
    assert len(SET_UP[1].strip().splitlines()) == 2
    assert (ROOT / SET_UP[1].splitlines()[0]).is_file()


def test_ci_runs_the_readmes_test_command() -> None:
    assert TESTS
    assert TESTS[1].strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


def test_every_verb_is_documented() -> None:
    from splitter.cli.app import VERBS

    assert {name for name in VERBS if f"splitter {name}" not in README} == set()


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_every_file_that_is_named_exists(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    files = re.findall(r"`((?:splitter|tests|examples|profiles|launchers|docs|\.ci)/[\w./-]*)`", text)
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", text)
    missing = [name for name in files if not (ROOT / name).exists()]
    assert missing + [name for name in links if not (document.parent / name).exists()] == []


@pytest.mark.parametrize("document", documents(), ids=lambda path: path.name)
def test_every_module_that_is_named_can_be_run(document: Path) -> None:
    names = re.findall(r"python -m (tests\.[\w.]+)", document.read_text(encoding="utf-8"))
    paths = [ROOT.joinpath(*name.split(".")) for name in names]
    assert [
        str(path) for path in paths if not (path.with_suffix(".py").exists() or (path / "__main__.py").exists())
    ] == []


def test_the_glossary_is_short() -> None:
    glossary = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("## Glossary")[1].split("\n## ")[0]
    terms = re.findall(r"^- \*\*(.+?)\*\*", glossary, re.MULTILINE)
    assert 10 <= len(terms) == len(set(terms)) <= 25
