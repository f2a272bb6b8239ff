"""Names, paths and answers of a malicious node: refused with a sentence, nothing executed, nothing kept."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from splitter.errors import RigError, SplitterError, UsageError
from splitter.rig.node_answer import MOST_BYTES, read_node_rig
from splitter.rig.node_file import SavedNode, add_node, load_nodes, nodes_path, parse_nodes
from splitter.rig.node_names import destination, node_name, remote_path, split_destination
from splitter.run.ssh import ssh_argv, worker_words

NAMES = (
    "-oProxyCommand=touch x", "--", "", "Attic", "at tic", "attic;touch x", "$(touch x)", "`touch x`", "attic\n",
    "a\0b", "../attic", "attic/", "a" * 33, "äther", "attic'", 'attic"', "attic|id", "attic&", "~root", "attic-",
    "%h", "{a,b}",
)  # fmt: skip
DESTINATIONS = (
    "-oProxyCommand=touch x", "-lroot host", "me@-host", "-me@host", "me@host;id", "me@host id", "me@$(id)",
    "me@`id`", "host:0", "host:65536", "host:22;id", "host:+22", "me@@host", "ssh://me@host",
    "[::1]:22", "host\nProxyCommand x",
    "me@host/../x", "", "@host", "host:", "hôst", "a" * 300,
)  # fmt: skip
PATHS = (
    "-c", "x y", "x;id", "$(id)", "`id`", "x|y", "x&y", "x>y", "x\ny", "../../bin/sh", "x'y", 'x"y', "%PATH%", "^x",
    "*", "x\0", "{a,b}", "!x", "(x)", "#x", "",
)  # fmt: skip


def device(**more: object) -> dict[str, object]:
    return {"id": "CUDA0", "name": "RTX 3060", "total_bytes": 12 << 30, "free_bytes": 11 << 30, **more}


def answer(*rows: object) -> bytes:
    return json.dumps({"version": 1, "data": {"devices": list(rows)}}).encode()


ANSWERS = {
    "nothing": b"",
    "no JSON": b"<html>",
    "too long": b" " * (MOST_BYTES + 1),
    "deep": b"[" * 100_000,
    "deep inside": b'{"data": {"devices": ' + b"[" * 900 + b"]" * 900 + b"}}",
    "a list": b"[]",
    "no devices": b'{"data": {}}',
    "devices a word": b'{"data": {"devices": "CUDA0"}}',
    "NaN": b'{"data": {"devices": [{"id": "CUDA0", "name": "x", "total_bytes": NaN, "free_bytes": 0}]}}',
    "many": answer(*(device(id=f"CUDA{i}") for i in range(65))),
    "twice": answer(device(), device()),
    "an id for a shell": answer(device(id="CUDA0;touch x")),
    "an id that is a flag": answer(device(id="--rpc")),
    "an id with a comma": answer(device(id="CUDA0,CUDA1")),
    "escape codes": answer(device(name="\x1b[2J\x1b]0;x\x07")),
    "bidi": answer(device(name="3060\u202e0903")),
    "a long name": answer(device(name="x" * 97)),
    "no name": answer(device(name=None)),
    "more free than there is": answer(device(free_bytes=13 << 30)),
    "negative": answer(device(free_bytes=-1)),
    "a size of ten to the hundred": answer(device(total_bytes=10**100)),
    "true": answer(device(total_bytes=True)),
    "a fraction": answer(device(free_bytes=0.5)),
    "no speed": answer(device(bandwidth_bytes_per_s="fast")),
    "endless speed": answer(device(bandwidth_bytes_per_s=1e300)),
    "a row a list": answer([]),
}


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        node_name(name)
    with pytest.raises(UsageError):
        add_node(SavedNode(name, "me@host"))
    assert not nodes_path().exists()


@pytest.mark.parametrize("text", DESTINATIONS)
def test_a_destination_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        destination(text)
    with pytest.raises(UsageError):
        ssh_argv(SavedNode("attic", text), ("splitter",))


@pytest.mark.parametrize("text", PATHS)
def test_a_path_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        remote_path(text)
    if text:
        with pytest.raises(UsageError):
            worker_words(SavedNode("attic", "host", splitter=text), ("CUDA0",), 50052)


@pytest.mark.parametrize("what", ANSWERS)
def test_an_answer_is_refused(what: str) -> None:
    with pytest.raises(RigError, match="attic"):
        read_node_rig(ANSWERS[what], "attic")


def test_an_honest_answer_is_read() -> None:
    (found,) = read_node_rig(answer(device(bandwidth_bytes_per_s=360e9, extra={"x": 1}), device(node="x")), "attic")
    assert (found.node, found.node_id, found.bandwidth_bytes_per_s) == ("attic", "CUDA0", 360e9)


def test_destinations_that_people_use() -> None:
    assert split_destination("me@attic.local:2222") == ("me@attic.local", 2222)
    assert split_destination("192.168.1.7") == ("192.168.1.7", None)
    argv = ssh_argv(SavedNode("attic", "me@attic:2222"), ("splitter", "rig", "--json"))
    assert argv[-5:] == ("--", "me@attic", "splitter", "rig", "--json")
    assert argv[argv.index("-p") + 1] == "2222"
    assert "-N" not in argv
    tunnel = ssh_argv(SavedNode("attic", "attic"), ("x",), forward=(1, 2))
    assert "-tt" in tunnel


@pytest.mark.parametrize(
    "text",
    [
        "nodes: {attic: {ssh: '-oProxyCommand=x'}}",
        "nodes: {attic: {ssh: a, splitter: 'x;id'}}",
        "nodes: {'-x': {ssh: a}}",
        "nodes: {attic: {ssh: [a]}}",
        "nodes: {attic: {ssh: a, port: 0}}",
        "nodes: {attic: {ssh: a, password: x}}",
        "nodes: {attic: {}}",
        "nodes: [attic]",
        "nodes: {attic: {ssh: &a x}, cellar: {ssh: *a}}",
        "nodes: {attic: {ssh: !!python/object/apply:os.system ['id']}}",
    ],
)
def test_a_nodes_file_is_refused(text: str) -> None:
    with pytest.raises(SplitterError):
        parse_nodes(text, "nodes.yaml")


@pytest.mark.parametrize("name", NAMES[:8])
def test_the_command_line_executes_nothing(name: str, tmp_path: Path) -> None:
    """Real processes, in a folder where a `touch x` would be seen."""
    for words in (["plan", "m.gguf", "--nodes", name], ["node", "test", "--", name]):
        done = subprocess.run(
            [sys.executable, "-m", "splitter", *words], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode in {1, 2}, done.stderr
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
    assert load_nodes() == {}
