"""What people read on a terminal of 80 columns is whole, and a plan starts without what only measuring needs."""

import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console, RenderableType

from splitter.app.instances import named
from splitter.cli.views.bench_record import list_view, record_view
from splitter.cli.views.ps import ps_view
from splitter.errors import SplitterError
from splitter.run.entry import Entry
from tests.bench.make_record import make_record

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "examples" / "tiny.gguf")
HEAVY = {"splitter.run.supervisor", "splitter.bench.measure", "http.client", "prometheus_client", "filelock", "numpy"}


def shown(*views: RenderableType, width: int = 80) -> str:
    console = Console(width=width, file=StringIO())
    console.print(*views, sep="\n")
    assert isinstance(console.file, StringIO)
    return console.file.getvalue()


def entry() -> Entry:
    return Entry(
        name="phoenix",
        id="1",
        supervisor_pid=1,
        supervisor_created=0.0,
        engine_kind="embedded",
        engine_version="2026.10.11549",
        host="127.0.0.1",
        port=18211,
        url="http://127.0.0.1:18211",
        model_path="m.gguf",
        model_name="a model of many words",
        log_file=None,
        argv=(),
        api_key_file=None,
        started_at=0.0,
        phase="ready",
        engine_pid=123456,
    )


def test_an_address_in_ps_can_be_copied() -> None:
    assert "http://127.0.0.1:18211" in shown(*ps_view([entry()], 5.0))


def test_no_heading_of_a_measurement_is_cut() -> None:
    record = make_record()
    text = shown(*record_view(record), *list_view([record]))
    assert "…" not in text
    assert "at once" in text
    assert "2026-01-02 03:04" in text


def test_an_unknown_instance_where_none_runs() -> None:
    with pytest.raises(SplitterError) as raised:
        named((), "phoenix")
    assert raised.value.hint == "none is running: see `splitter ps`"


def run(*words: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "splitter", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)


def test_calibrate_says_that_the_embedded_engine_has_no_card() -> None:
    done = run("calibrate", TINY, "--engine", "embedded")
    assert done.returncode == 2
    assert "no card to calibrate" in done.stderr


def test_a_plan_loads_nothing_that_only_engines_and_measuring_need() -> None:
    code = (
        "import sys\nfrom splitter.cli.main import main\n"
        f"try:\n    main(['plan', {TINY!r}, '--rig', 'phoenix', '--json'])\nexcept SystemExit as ended:\n"
        "    print(*sorted(sys.modules), file=sys.stderr)\n    sys.exit(ended.code)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0
    assert HEAVY & set(done.stderr.split()) == set()


def test_the_reasons_of_a_plan_are_whole() -> None:
    done = run("plan", TINY, "--rig", "phoenix", "--engine", "embedded")
    assert done.returncode == 0
    assert "…" not in done.stdout
