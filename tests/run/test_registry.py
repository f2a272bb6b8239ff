"""The registry: claims, refusals, stale and damaged entries, across real processes."""

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.errors import DoesNotFitError, EngineError, SplitterError
from splitter.masking import masked_argv
from splitter.run.conflict import conflict, hosts_meet, unique_name
from splitter.run.entry import Entry, Reserved, from_json, to_json
from splitter.run.registry import Registry, created
from tests.run.test_supervisor import gone

GIB = 1 << 30
CARD = Reserved("CUDA0", "RTX 2080", None, 5 * GIB, asked=False)


def entry(name: str = "phoenix", port: int = 8080, **changes: object) -> Entry:
    made = Entry(
        name,
        "id-" + name,
        1,
        1.0,
        "llama-server",
        None,
        "127.0.0.1",
        port,
        f"http://127.0.0.1:{port}",
        "m.gguf",
        "m",
        None,
        ("llama-server", "-m", "m.gguf"),
        None,
        100.0,
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def test_an_entry_survives_json() -> None:
    made = entry(devices=(CARD,), engine_pid=7, ready_s=0.5, ready_at=101.0)
    assert from_json(to_json(made)) == made


@given(st.data())
def test_damaged_entries_are_none_or_entries(data: st.DataObject) -> None:
    text = to_json(entry(devices=(CARD,)))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, len(text)))
    damaged = text[:start] + data.draw(st.text(max_size=5)) + text[end:]
    assert from_json(damaged) is None or isinstance(from_json(damaged), Entry)


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "{}", '{"format": 1}', "[" * 100_000, to_json(entry()).replace("8080", "true")]
)
def test_what_is_no_entry(text: str) -> None:
    assert from_json(text) is None


def test_secrets_are_not_kept() -> None:
    assert masked_argv(("e", "--api-key", "s3cret", "--api-key=s3cret", "-c", "1")) == (
        "e",
        "--api-key",
        "***",
        "--api-key=***",
        "-c",
        "1",
    )


def test_a_claimed_port_is_refused_before_it_is_bound(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "instances")
    with registry.claim(entry(), {}, 0.0):
        with pytest.raises(EngineError, match="port 8080 is taken by phoenix") as caught:
            registry.claim(entry("other"), {}, 0.0)
        assert "splitter stop phoenix" in caught.value.hint
        with registry.claim(entry(port=8081), {}, 0.0) as second:
            assert second.entry.name == "phoenix-2"
            assert [e.name for e in registry.entries()] == ["phoenix", "phoenix-2"]
        with pytest.raises(SplitterError, match="phoenix runs already"):
            registry.claim(entry(port=8082), {}, 0.0, exact=True)
    assert registry.entries() == ()
    assert list((tmp_path / "instances").iterdir()) == []


@pytest.mark.parametrize(
    ("asked", "ready_at", "phase", "fits"),
    [
        (False, None, "starting", False),
        (False, 50.0, "ready", False),  # a rig file shows nobody's memory
        (True, None, "starting", False),  # the driver does not show it yet
        (True, 50.0, "ready", True),  # the driver shows it already
        (True, 150.0, "ready", False),  # ready only after the driver was asked
        (False, None, "stopping", True),
    ],
)
def test_over_committed_cards(asked: bool, ready_at: float | None, phase: str, fits: bool) -> None:
    card = replace(CARD, asked=asked)
    other = entry(devices=(card,), ready_at=ready_at, phase=phase)
    refused = conflict(entry("new", 8081, devices=(card,)), {"CUDA0": 7 * GIB}, 100.0, [other])
    assert (refused is None) == fits
    if refused:
        assert isinstance(refused, DoesNotFitError)
        assert "CUDA0 (RTX 2080) has 7.00 GiB free, of which phoenix takes 5.00 GiB" in refused.message
        assert "splitter stop phoenix" in refused.hint


def test_other_cards_and_enough_memory_are_no_conflict() -> None:
    new = entry("new", 8081, devices=(CARD,))
    assert conflict(new, {"CUDA0": 10 * GIB}, 0.0, [entry(devices=(CARD,))]) is None
    assert conflict(new, {"CUDA0": 5 * GIB}, 0.0, [entry(devices=(replace(CARD, id="CUDA1"),))]) is None
    uuid = replace(CARD, uuid="GPU-1")
    assert conflict(
        entry("n", 1, devices=(uuid,)), {"CUDA0": 7 * GIB}, 0.0, [entry(devices=(replace(uuid, id="CUDA1"),))]
    )


def test_hosts_and_names() -> None:
    assert hosts_meet("0.0.0.0", "192.168.1.2")
    assert hosts_meet("localhost", "127.0.0.1")
    assert not hosts_meet("127.0.0.1", "192.168.1.2")
    assert unique_name("a", ["a", "a-2"]) == "a-3"


CLAIM = """
import sys, time
from pathlib import Path
from splitter.errors import EngineError
from splitter.run.registry import Registry
from tests.run.test_registry import entry
sys.stdin.readline()
try:
    claim = Registry(Path(sys.argv[1])).claim(entry(port=int(sys.argv[2])), {}, 0.0)
except EngineError as error:
    print("refused", error.message, flush=True)
else:
    print("claimed", claim.entry.name, flush=True)
    sys.stdin.readline()
    claim.release()
"""


def claimer(folder: Path, port: int) -> "subprocess.Popen[str]":
    argv = [sys.executable, "-c", CLAIM, str(folder), str(port)]
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2]
    )


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def heard(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().split()[0]


@pytest.mark.parametrize("_", range(int(os.environ.get("SPLITTER_REPEAT", "2"))))
def test_of_two_that_race_for_a_port_one_wins(tmp_path: Path, _: int) -> None:
    racers = [claimer(tmp_path / "instances", 8080) for _ in range(2)]
    for racer in racers:
        tell(racer)
    said = [heard(racer) for racer in racers]
    for racer in racers:
        racer.communicate("end\n")
    assert sorted(said) == ["claimed", "refused"]
    assert list((tmp_path / "instances").iterdir()) == []


def test_a_killed_supervisor_leaves_no_stale_entry(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "instances")
    holder = claimer(registry.folder, 8080)
    tell(holder)
    assert heard(holder) == "claimed"
    orphan = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    (alive,) = registry.entries()
    ours = replace(alive, engine_pid=orphan.pid, engine_created=created(orphan.pid))
    registry.file("phoenix").write_text(to_json(ours), encoding="utf-8")
    (registry.folder / ".phoenix.json.999999999.partial").write_text("{", encoding="utf-8")
    assert registry.entries() == (ours,)
    holder.kill()
    holder.communicate()
    assert registry.entries() == ()
    assert gone(orphan.pid)
    orphan.wait()
    assert list(registry.folder.iterdir()) == []


def test_a_process_that_only_has_the_same_number_is_left_alone(tmp_path: Path) -> None:
    registry = Registry(tmp_path / "instances")
    registry.folder.mkdir()
    stranger = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    try:
        stale = entry(engine_pid=stranger.pid, engine_created=1000.0)
        registry.file("phoenix").write_text(to_json(stale), encoding="utf-8")
        assert registry.entries() == ()
        assert psutil.Process(stranger.pid).status() != psutil.STATUS_ZOMBIE
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'{"format": 1, "name": 7}', b"[[[["])
def test_a_damaged_file_is_swept_and_a_damaged_live_one_is_passed_over(tmp_path: Path, content: bytes) -> None:
    registry = Registry(tmp_path / "instances")
    registry.folder.mkdir()
    registry.file("dead").write_bytes(content)
    with registry.claim(entry(), {}, 0.0):
        registry.file("phoenix").write_bytes(content)
        assert registry.entries() == ()
        assert [file.name for file in sorted(registry.folder.glob("*.json"))] == ["phoenix.json"]
    assert list(registry.folder.iterdir()) == []


def ask_and_wait(registry: Registry) -> None:
    registry.stop_file("phoenix").touch()
    time.sleep(20)


def test_a_stop_file_interrupts_the_supervisor(tmp_path: Path) -> None:
    """Windows' way, written for all."""
    registry = Registry(tmp_path / "instances")
    with registry.claim(entry(), {}, 0.0), pytest.raises(KeyboardInterrupt):
        ask_and_wait(registry)
    assert list(registry.folder.iterdir()) == []
