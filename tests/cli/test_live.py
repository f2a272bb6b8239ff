"""The live view: every figure in every terminal, and `splitter launch` in a real one."""

import io
import os
import re
import signal
import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from splitter.cli.output import Output
from splitter.cli.views.live import LiveView, memory_bar
from splitter.cli.views.words import duration
from splitter.run.endpoint import any_free_port, ask
from splitter.run.reading import Expected, Reading
from tests.cli.conftest import TINY, Splitter
from tests.run.launched import shown
from tests.run.readings import BUSY, EXPECTED, with_names

FIGURES = (
    "ready", "http://127.0.0.1:8080", "1h 01m", "restarts 3", "61.2 t/s now", "39.5 t/s", "plan 40.0 t/s",
    "99% of it", "mean 37.5 t/s", "prompt 777.0 t/s", "plan 800.0 t/s", "slots 2/4 busy", "requests 120",
    "4567 tokens", "890 tokens", "CUDA0", "GTX 1050 Ti", "3456 (plan 3400) / 4096 MiB", "load 97%", "71 C", "68/75 W",
    "slowed: power cap, thermal", "CUDA1", "RTX 2080", "7001 (plan 7000) / 8192 MiB", "load 42%", "55 C", "120/215 W",
    "CUDA2", "? (plan 5100) / 6144 MiB", "fallen off the bus", "1.46 GiB RAM, 184% CPU", "52 MiB RAM, 1% CPU",
)  # fmt: skip


def text(
    reading: Reading, width: int, encoding: str = "utf-8", log: tuple[str, ...] = (), expected: Expected = EXPECTED
) -> str:
    raw = io.BytesIO()
    file = io.TextIOWrapper(raw, encoding=encoding)
    console = Console(file=file, width=width, height=40, highlight=False, markup=False, emoji=False)
    console.print(LiveView(reading, expected, log, now=4660.0))
    file.flush()
    return raw.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ["utf-8", "ascii", "cp437"])
@pytest.mark.parametrize("width", [24, 40, 80, 200])
def test_every_figure_in_every_terminal(width: int, encoding: str) -> None:
    said = text(BUSY, width, encoding)
    assert max(map(len, said.splitlines())) <= width
    together = re.sub(r"\s+", "", said)
    assert [figure for figure in FIGURES if re.sub(r"\s+", "", figure) not in together] == []


def test_unknown_is_a_question_mark_and_never_zero() -> None:
    said = text(Reading(BUSY.snapshot), 100)
    assert "generation ? now; last request ? (plan 40.0 t/s), mean ?; prompt ?" in said
    assert "? (plan 3400) / 4096 MiB  load ?  ? C  ? W" in said
    assert "slots ?" in said
    assert "engine ?; splitter ?" in said


def test_hostile_names_and_log_lines_do_not_steer_the_terminal() -> None:
    said = text(with_names(BUSY, "\x1b[2Jcard\x07"), 80, log=("\x1b]0;title\x07 line", "[bold]not markup[/bold]"))
    assert not set(said) & {"\x1b", "\x07"}
    assert "[bold]not markup[/bold]" in said


def test_the_log_gets_the_room_that_is_left() -> None:
    log = tuple(f"line {i} {'x' * 300}" for i in range(50))
    said = text(BUSY, 80, log=log).splitlines()
    assert said[-1].startswith("line 49 ")
    assert sum(line.startswith("line ") for line in said) == 12


@pytest.mark.parametrize("reading", [BUSY, Reading(BUSY.snapshot)])
def test_half_of_the_screen_is_not_the_log(reading: Reading) -> None:
    said = text(reading, 200, log=tuple(f"line {i}" for i in range(50)), expected=replace(EXPECTED, devices=()))
    shown_log = sum(line.startswith("line ") for line in said.splitlines())
    assert 3 <= shown_log <= len(said.splitlines()) / 2


@pytest.mark.parametrize(
    ("used", "planned", "bar"),
    [(0, None, "-" * 20), (100, None, "#" * 20), (50, 75, "##########-----|----"), (120, 200, "#" * 19 + "|"),
     (None, 50, "-" * 10 + "|" + "-" * 9)],
)  # fmt: skip
def test_the_bar(used: int | None, planned: int | None, bar: str) -> None:
    assert memory_bar(used, planned, 100, ascii_only=True) == bar
    assert memory_bar(used, planned, None, ascii_only=True) == ""


def test_durations() -> None:
    assert [duration(s) for s in (-5, 0, 59.9, 185, 7620)] == ["0s", "0s", "59s", "3m 05s", "2h 07m"]


def test_a_failed_engine_says_why() -> None:
    assert BUSY.snapshot
    said = text(replace(BUSY, snapshot=replace(BUSY.snapshot, phase="failed", failure="start_timeout")), 200)
    assert "last failure: start timeout" in said


def test_no_terminal_shows_none() -> None:
    from splitter.cli.launch_watch import LaunchWatch

    assert not LaunchWatch(Output("launch", as_json=False), quiet=False).shows_live
    assert LaunchWatch(Output("launch", as_json=False), quiet=True).on_log is None
    assert LaunchWatch(Output("launch", as_json=True), quiet=False).on_log is None


def test_a_taken_metrics_port_starts_nothing(splitter: Splitter) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = str(holder.getsockname()[1])
        engine_port = any_free_port()
        said = splitter("launch", TINY, "--engine", "embedded", "--port", str(engine_port),
                        "--metrics", port, "--json")  # fmt: skip
        assert said.code == 4
    assert f"metrics port {port} on 127.0.0.1 is already used by" in said.json()["errors"][0]["message"]


def test_one_port_for_both_is_refused(splitter: Splitter) -> None:
    port = str(any_free_port())
    said = splitter("launch", TINY, "--engine", "embedded", "--port", port, "--metrics", port, "--json")
    assert said.code == 2
    assert "both want port" in said.json()["errors"][0]["message"]


@pytest.mark.engine
@pytest.mark.skipif(os.name == "nt", reason="a pseudo-terminal")
def test_a_real_terminal(tmp_path: Path) -> None:
    screen = tmp_path / "screen"
    with shown("embedded", screen=screen) as target:
        assert ask(target.url, "/completion", body={"prompt": "A", "n_predict": 8, "ignore_eos": True}, timeout_s=60)
        wanted = ("ready  http://127.0.0.1", "requests 1  generated 8 tokens", "slots 0/8 busy", "listening on")
        for _ in range(300):
            said = re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", screen.read_text(encoding="utf-8", errors="replace"))
            if all(words in said for words in wanted):
                break
            time.sleep(0.1)
        target.supervisor.send_signal(signal.SIGINT)
        assert target.supervisor.wait(30) == 130
    assert [words for words in wanted if words not in said] == []
    assert "Traceback" not in said
