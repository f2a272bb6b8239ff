"""`splitter --help` lists every verb without importing any; a verb's module is imported when it is called."""

import subprocess
import sys
from pathlib import Path

import pytest

from splitter.cli.app import VERBS, command_of

MODULES = Path(__file__).parents[2] / "splitter" / "cli" / "verbs"
PARTS = {"__init__", "guide", "bench_records", "bench_report"}  # of a verb, or none


@pytest.mark.parametrize("name", VERBS)
def test_the_list_says_what_the_verb_says_of_itself(name: str) -> None:
    text = command_of(name).help or ""
    assert VERBS[name] == text.partition(". ")[0].partition("\n")[0].rstrip(".") + "."


def test_every_module_is_a_verb() -> None:
    assert {path.stem for path in MODULES.glob("*.py")} - PARTS == set(VERBS)


@pytest.mark.parametrize(("words", "loaded"), [(["--help"], set()), (["ps"], {"ps"}), (["bench", "list"], {"bench"})])
def test_only_the_called_verb_is_imported(words: list[str], loaded: set[str]) -> None:
    code = (
        "import sys; from splitter.cli.main import run; run(sys.argv[1:]); "
        "print(*(name.rpartition('.')[2] for name in sys.modules if name.startswith('splitter.cli.verbs.')))"
    )
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()[-1].split()) - {"bench_records", "bench_report"} == loaded
