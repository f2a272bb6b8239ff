"""The whole way over several machines: real sshd, real workers, emulated cards, a proxy as network."""

import json
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.nodes.group import BIG, HERE, THREE, launched, left_over, made, small_model
from tests.nodes.lab import Lab, lab

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with lab(folder / "lab", THREE, HERE, rtt_s=0.0005, bytes_per_s=117e6) as there:
        there.add_all()
        yield there


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_model(tmp_path_factory.mktemp("model"))


def test_a_node_is_tested(machines: Lab) -> None:
    said = machines.splitter("node", "test", "attic").stdout
    assert "RTX 3060" in said
    assert "can take part" in said
    assert "on both machines" in said
    listed = machines.splitter("node", "list").stdout
    assert "ms" in listed
    assert "Gbit/s" in listed
    shown = machines.splitter("rig", "--nodes", "attic,cellar").stdout
    assert "RTX 2080, on cellar" in shown


def test_plan_workers_tunnel_server_answer_stop(machines: Lab, model: Path) -> None:
    with launched(machines, model) as group:
        group.wait_ready()
        assert group.answers() is not None
        entry = group.entry()
        assert entry is not None
        assert entry["phase"] == "ready"
        argv = entry["argv"]
        *away, here = argv[argv.index("--device") + 1].split(",")
        assert (sorted(away), here) == (["RPC0", "RPC1"], "CUDA0")  # which goes first, its measured link decides
        assert argv[argv.index("--rpc") + 1].count("127.0.0.1:") == 2
        assert "verified by llama-fit-params" in group.words or "splitter tiny" in group.words
        assert all(machines.machines[name].workers() for name in ("attic", "cellar"))
    assert left_over(machines) == []


def test_three_machines_are_planned_measured_and_left_empty(machines: Lab, model: Path) -> None:
    devices = ("-dev", "RPC0,RPC1,RPC2,CUDA0", "-ts", "7,6,6,6")
    with launched(machines, model, *devices, nodes="attic,cellar,loft") as group:
        group.wait_ready()
        assert group.answers() is not None
        assert all(len(machine.workers()) == 1 for machine in machines.machines.values())
        done = machines.splitter("bench", "--url", group.url, "--prompt-tokens", "16", "--generate", "8", "-r", "2")
        assert "generation t/s" in done.stdout
        assert "loft: worker ready" in group.words
    assert left_over(machines) == []


def compared(machines: Lab, model: Path, *words: str) -> dict[str, dict[str, Any]]:
    """The alternatives of `bench --compare` by name."""
    measure = ("--prompt-tokens", "16", "--generate", "24", "-r", "3", "--rounds", "1", "--json", "--no-save")
    done = machines.splitter("bench", str(model), *words, *REQUEST, "--compare", *measure)
    return {each["record"]["label"]: each["record"] for each in json.loads(done.stdout)["data"]["alternatives"]}


def speed(record: dict[str, Any]) -> float:
    return float(record["points"][0]["generation_tokens_per_s"]["median"])


def command_of(record: dict[str, Any]) -> str:
    return " ".join(record["argv"])


# One thread: two wait for each other where cores are busy.
REQUEST = ("-c", "512", "-ub", "128", "-np", "1", "-t", "1", "--margin", "0")


@contextmanager
def slow_network(machines: Lab, name: str, rtt_s: float) -> Iterator[None]:
    """The way to a machine is so slow while the block runs, and `node test` has seen it."""
    proxy = machines.machines[name].proxy
    before = proxy.rtt_s
    proxy.rtt_s = rtt_s
    machines.splitter("node", "test", name)
    try:
        yield
    finally:
        proxy.rtt_s = before
        machines.splitter("node", "test", name)


def test_a_machine_that_would_slow_the_answer_is_refused_and_rightly(machines: Lab, model: Path) -> None:
    with slow_network(machines, "attic", 0.01):
        planned = machines.splitter("plan", str(model), "--nodes", "attic", *REQUEST)
        assert "is left out: the network would cost" in " ".join(planned.stdout.split())
        found = compared(machines, model, "--nodes", "attic")
    assert list(found) == ["plan", "fit", "proportional", "several machines"]
    assert "--rpc" not in command_of(found["plan"])
    assert "--rpc" in command_of(found["several machines"])
    assert speed(found["plan"]) > 1.1 * speed(found["several machines"])
    assert left_over(machines) == []


def test_a_machine_without_which_nothing_fits_is_taken_and_rightly(machines: Lab, tmp_path: Path) -> None:
    """All layers on cards are asked for, and the engine itself says that this machine's card does not hold them."""
    big = made(tmp_path / "big.gguf", BIG)
    machines.splitter("plan", str(big), "-ngl", "7", *REQUEST, code=3)
    argv = ["-m", str(big), "--fit", "off", "--device", "CUDA0", "-ngl", "7", "-c", "512", "--port", "0"]
    engine = subprocess.run(
        ["llama-server", *argv], env=machines.env, capture_output=True, text=True, timeout=60, check=False
    )
    assert engine.returncode == 1
    assert "out of memory" in engine.stderr
    planned = machines.splitter("plan", str(big), "--nodes", "loft", "-ngl", "7", *REQUEST)
    assert "without that nothing fits" in " ".join(planned.stdout.split())
    found = compared(machines, big, "--nodes", "loft", "-ngl", "7")
    assert list(found) == ["plan", "fit", "proportional"], "this machine alone cannot be compared"
    assert "--rpc" in command_of(found["plan"])
    assert speed(found["plan"]) > 0
    assert left_over(machines) == []


def test_one_machine_is_compared_with_several_and_each_strategy(machines: Lab, model: Path) -> None:
    """On a quick network the layers in RAM go to the other machine; what this one does alone is measured too."""
    found = compared(machines, model, "--nodes", "attic", "-dev", "RPC0,CUDA0", "-ts", "8,8")
    assert list(found) == ["plan", "fit", "proportional", "one machine"]
    assert "--rpc" not in command_of(found["one machine"])
    assert speed(found["one machine"]) > 0
    assert left_over(machines) == []


def test_tune_tries_machines_in_and_out(machines: Lab, model: Path) -> None:
    words = ("--prompt-tokens", "16", "--generate", "8", "--minutes", "1", "--json", "--save-profile", "tuned")
    done = machines.splitter("tune", str(model), "--nodes", "attic,cellar", *REQUEST, *words, timeout_s=240)
    labels = [trial["label"] for trial in json.loads(done.stdout)["data"]["trials"]]
    assert any(label.startswith(("with attic", "with cellar", "without attic", "without cellar")) for label in labels)
    assert left_over(machines) == []


def test_a_killed_worker_starts_the_whole_group_again(machines: Lab, model: Path) -> None:
    with launched(machines, model) as group:
        group.wait_ready()
        machines.machines["cellar"].signal_workers(signal.SIGKILL)
        assert group.wait_ready(starts=2) < 30
        assert group.answers() is not None
    assert left_over(machines) == []
