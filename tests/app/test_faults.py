"""Faults of issue 11 that were found by hand, each as a test."""

import os
import shlex
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from splitter.cli.main import run
from splitter.run.entry import draft
from splitter.run.registry import Registry
from splitter.run.stopping import stop
from splitter.run.supervisor import launch
from splitter.whole_file import write_whole
from tests.cli.conftest import TINY, Splitter
from tests.run.test_supervisor import fake, gone, nothing_left, signals_taken

__all__ = ["nothing_left"]


def test_the_line_that_a_ranking_ends_with_asks_the_same_question(splitter: Splitter, tmp_path: Path) -> None:
    folder = tmp_path / "my models"
    folder.mkdir()
    shutil.copy(TINY, folder / "tiny.gguf")
    flags = ("--rig", "phoenix", "-c", "2048", "-ngl", "3", "--margin", "900,800,700")
    said = splitter("plan", str(folder), *flags, "--save", "ranking.json")
    assert said.code == 0, said.err
    line = said.out.strip().splitlines()[-1]
    words = shlex.split(line)
    assert words == ["splitter", "plan", str(folder / "tiny.gguf"), *flags]
    settings = splitter(*words[1:], "--json").json()["data"]["settings"]
    assert (settings["context_size"], settings["gpu_layers"]) == (2048, 3)


@pytest.mark.parametrize("given", ["all", "999", "99"])
def test_all_layers_are_the_models_own_number(given: str, splitter: Splitter) -> None:
    data = splitter("plan", TINY, "--rig", "phoenix", "-ngl", given, "--json").json()["data"]
    layers = data["model"]["layers"] + 1
    assert data["settings"]["gpu_layers"] == layers
    assert {other["settings"]["gpu_layers"] for other in data["alternatives"]} <= set(range(layers + 1))
    argv = data["command"]["argv"]
    assert argv[argv.index("-ngl") + 1] == str(layers)


def test_two_instances_of_one_process_stop_one_by_one(tmp_path: Path) -> None:
    """In the order they were started, which used to bring back the handler of the dead one; then the other."""
    first, second = launch(fake()).wait_ready(), launch(fake()).wait_ready()
    first.stop()
    assert gone(first.pid)
    assert second.phase == "ready"
    second.stop()
    assert gone(second.pid)


def test_ctrl_c_reaches_every_instance_of_the_process() -> None:
    import signal

    with signals_taken(), launch(fake()) as first, launch(fake()) as second:
        first.wait_ready()
        second.wait_ready()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        for instance in (first, second):
            with pytest.raises(KeyboardInterrupt):
                instance.wait(5)
    assert gone(first.pid)
    assert gone(second.pid)


def test_stop_ends_one_instance_of_a_process_and_no_other(tmp_path: Path) -> None:
    from splitter.app.events import Silent
    from splitter.app.planning import plan_model
    from splitter.app.wishes import Wishes

    plan = plan_model(Wishes({"model": TINY, "rig.gpus": ("3060",)}), Silent()).plan
    registry, ready, codes = Registry(tmp_path / "instances"), threading.Barrier(3, timeout=30), {}

    commands = {"one": fake(), "two": fake()}
    while commands["one"].server.port == commands["two"].server.port:
        commands["two"] = fake()

    def serve(name: str) -> None:
        with launch(commands[name]) as instance:
            wanted = replace(draft(plan, instance.command, name), devices=())
            with registry.claim(wanted, {}, 0.0, exact=True, on_stop=instance.ask_stop) as claim:
                instance.wait_ready()
                claim.watch(instance.snapshot())
                ready.wait()
                codes[name] = instance.wait(60)

    threads = {name: threading.Thread(target=serve, args=(name,), daemon=True) for name in ("one", "two")}
    for thread in threads.values():
        thread.start()
    ready.wait()
    entries = {entry.name: entry for entry in registry.entries()}
    assert {entry.supervisor_pid for entry in entries.values()} == {os.getpid()}
    assert stop(registry, [entries["one"]], 20) == ()
    threads["one"].join(20)
    assert (set(codes), threads["two"].is_alive()) == ({"one"}, True)
    assert stop(registry, [entries["two"]], 20) == ()
    threads["two"].join(20)
    assert set(codes) == {"one", "two"}


def test_many_writers_of_one_file_in_one_process_leave_it_whole(tmp_path: Path) -> None:
    target = tmp_path / "kept.json"
    texts = [f"{number}" * 200_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: write_whole(target, text), texts * 4))
    assert target.read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["kept.json"]


def test_one_runs_json_is_not_another_ones(capsys: pytest.CaptureFixture[str]) -> None:
    """What one thread has reported does not silence the error object of the next."""
    assert run(["inspect", TINY, "--json"]) == 0
    capsys.readouterr()
    thread = threading.Thread(target=run, args=(["inspect", "nowhere.gguf", "--json"],))
    thread.start()
    thread.join()
    assert '"model_not_found"' in capsys.readouterr().out
