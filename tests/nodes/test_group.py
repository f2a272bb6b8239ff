"""The whole way over several machines: real sshd, real workers, emulated cards, a proxy as network."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.nodes.group import FAR, HERE, launched, left_over, small_model
from tests.nodes.lab import Lab, lab

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def machines(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    folder = tmp_path_factory.mktemp("lab")
    with lab(folder / "lab", FAR, HERE, rtt_s=0.0005, bytes_per_s=117e6) as made:
        made.add_all()
        yield made


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
        assert argv[argv.index("--device") + 1] == "RPC0,RPC1,CUDA0"
        assert argv[argv.index("--rpc") + 1].count("127.0.0.1:") == 2
        assert "verified by llama-fit-params" in group.words or "splitter tiny" in group.words
        assert all(machine.workers() for machine in machines.machines.values())
    assert left_over(machines) == []


def test_a_killed_worker_starts_the_whole_group_again(machines: Lab, model: Path) -> None:
    with launched(machines, model) as group:
        group.wait_ready()
        machines.machines["cellar"].signal_workers(signal.SIGKILL)
        assert group.wait_ready(starts=2) < 30
        assert group.answers() is not None
    assert left_over(machines) == []
