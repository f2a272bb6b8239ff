"""Other machines: their cards for a rig, and whether each is fit to take part."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

from splitter.app.events import Events
from splitter.engine.command import EngineRef
from splitter.errors import EngineError, RigError, SplitterError
from splitter.rig.device import Device, Rig
from splitter.rig.node_file import SavedNode, add_node, known_node, load_nodes
from splitter.rig.nodes import with_nodes

ECHOES, ECHO_BYTES = 20, 16_000_000


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at on a node: `problem` is None where it is well."""

    name: str
    found: str
    problem: str | None = None
    hint: str = ""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What `splitter node test` found."""

    node: SavedNode
    checks: tuple[Check, ...]
    devices: tuple[Device, ...] = ()

    @property
    def fit(self) -> bool:
        """Whether it can take part."""
        return all(check.problem is None for check in self.checks)

    def data(self) -> dict[str, Any]:
        """As JSON has it."""
        from splitter.app.wire import rig_device_data

        return {
            **node_data(self.node),
            "fit": self.fit,
            "checks": [{"name": c.name, "found": c.found, "problem": c.problem, "hint": c.hint} for c in self.checks],
            "devices": [rig_device_data(device) for device in self.devices],
        }


def node_data(node: SavedNode) -> dict[str, Any]:
    """A node, as JSON has it."""
    return {
        "name": node.name,
        "ssh": node.ssh,
        "splitter": node.splitter,
        "engine": node.engine,
        "port": node.port,
        "rtt_s": node.rtt_s,
        "link_bytes_per_s": None if node.link_bytes_per_s is None else round(node.link_bytes_per_s),
        "rig": node.rig,
    }


def rig_with_nodes(rig: Rig, names: Sequence[str], events: Events) -> Rig:
    """`rig` with the cards of the saved nodes `names`. RigError that names the node whose cards cannot be known."""
    nodes = load_nodes()
    chosen = [known_node(name, nodes) for name in dict.fromkeys(names)]
    found: list[Device] = []
    for node in chosen:
        with events.step(f"asking {node.name} for its cards"):
            found += cards_of(node)
    return with_nodes(rig, found)


def cards_of(node: SavedNode) -> tuple[Device, ...]:
    """The node's cards with its network: from its rig file, from splitter there, or from its engine's listing."""
    devices = _cards(node)
    if not devices:
        raise RigError(f"{node.name} has no usable card", f"`splitter node test {node.name}` says more")
    return tuple(replace(d, rtt_s=node.rtt_s, node_link_bytes_per_s=node.link_bytes_per_s) for d in devices)


def _cards(node: SavedNode) -> tuple[Device, ...]:
    from splitter.rig.defaults import fill_from_catalog
    from splitter.rig.files import load_catalog, load_rig
    from splitter.rig.listed import parse_listing
    from splitter.rig.node_answer import devices_of, read_node_rig
    from splitter.run.ssh import splitter_words
    from splitter.run.tunnel import run_on

    if node.rig:
        return tuple(replace(d, node=node.name, node_id=d.id) for d in load_rig(node.rig).devices if not d.node)
    catalog = load_catalog()
    if node.engine and not node.splitter:
        listing = run_on(node, (_server_beside(node.engine), "--list-devices"))
        listed = parse_listing((listing.out + listing.errors.encode()).decode("utf-8", "replace"))
        if listing.code or listed is None:
            raise _unusable(node, listing.errors)
        return tuple(fill_from_catalog(device, catalog) for device in devices_of(listed, node.name))
    answer = run_on(node, (*splitter_words(node), "rig", "--json"))
    if answer.code not in (0, 5) or not answer.out.strip():
        raise _unusable(node, answer.errors)
    return tuple(fill_from_catalog(device, catalog) for device in read_node_rig(answer.out, node.name))


def _server_beside(worker: str) -> str:
    """llama-server beside ggml-rpc-server."""
    for program in ("ggml-rpc-server", "rpc-server"):
        folder, found, end = worker.rpartition(program)
        if found:
            return f"{folder}llama-server{end}"
    return "llama-server"


def _unusable(node: SavedNode, said: str) -> EngineError:
    from splitter.run.ssh import blame

    what, hint = blame(node, said)
    return EngineError(f"{node.name}: {what}" + (f" ({said[-200:]})" if said else ""), hint)


def engine_of(node: SavedNode) -> str | None:
    """The build of llama-server on the node, None where splitter there finds none."""
    import json

    from splitter.engine.engines import DEFAULT
    from splitter.run.ssh import splitter_words
    from splitter.run.tunnel import run_on

    said = run_on(node, (*splitter_words(node), "doctor", "--json"))
    try:
        findings = json.loads(said.out)["data"]["findings"]
        text = next(str(row["message"]) for row in findings if row["subject"] == DEFAULT.name)
    except (ValueError, KeyError, TypeError, StopIteration):
        return None
    words = text.split()
    return words[1] if text.startswith("version ") and len(words) > 1 else None


def test_node(name: str, engine: EngineRef, events: Events) -> NodeReport:
    """Looks at one thing after the other and stops where nothing more can be known. What was measured of the network is
    kept."""
    node = known_node(name, load_nodes())
    checks: list[Check] = []
    devices: tuple[Device, ...] = ()
    try:
        with events.step(f"measuring the way to {name}"):
            rtt_s, rate = measure_network(node)
        node = replace(node, rtt_s=rtt_s, link_bytes_per_s=rate)
        add_node(node)
        checks.append(Check("reachable", f"{1000 * rtt_s:.2f} ms round trip, {rate * 8 / 1e9:.2f} Gbit/s"))
        with events.step("asking for its cards"):
            devices = cards_of(node)
        names = ", ".join(f"{d.name} ({d.free_bytes >> 20} of {d.total_bytes >> 20} MiB free)" for d in devices)
        checks.append(Check("cards", names))
        if node.splitter or not node.engine:
            checks.append(_same_build(node, engine))
        with events.step("starting its worker"):
            checks.append(_worker(node, devices))
    except SplitterError as error:
        what = "cards" if checks else "reachable"
        checks.append(Check(what, "", error.message, error.hint))
    return NodeReport(node, tuple(checks), devices)


def _same_build(node: SavedNode, engine: EngineRef) -> Check:
    there = engine_of(node)
    if there is not None and there == engine.version:
        return Check("build", f"llama.cpp {there} on both machines")
    return Check("build", there or "none", *different_builds(node, there, engine))


def different_builds(node: SavedNode, there: str | None, engine: EngineRef) -> tuple[str, str]:
    """The sentence and the command for another build than ours on a node: operations are numbered by build."""
    host = node.ssh.partition(":")[0]
    ours = engine.version or "an unknown build"
    hint = f"ssh {host} {node.splitter or 'splitter'} engine install llama-server --version b{ours}"
    has = f"llama.cpp {there}" if there else "no llama-server"
    return f"{node.name} has {has}, this machine {ours}: both must be the same build", hint


def _worker(node: SavedNode, devices: Sequence[Device]) -> Check:
    from splitter.run.tunnel import Tunnel

    tunnel = Tunnel(node, [d.node_id or d.id for d in devices], lambda _line: None)
    try:
        tunnel.start(node.port)
    except SplitterError as error:
        return Check("worker", "", error.message, error.hint)
    finally:
        tunnel.end()
    return Check("worker", f"started on port {node.port} and ended")


def measure_network(node: SavedNode) -> tuple[float, float]:
    """Seconds of a round trip and bytes per second to a node, through ssh as a tunnel goes: an echo of single bytes,
    then of some MiB. EngineError when it does not answer."""
    import subprocess

    from splitter.run.ssh import ssh_argv

    words = ("cat",) if node.engine and not node.splitter else (node.splitter or "splitter", "node", "echo")
    with subprocess.Popen(
        ssh_argv(node, words), stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as echo:
        import threading

        stop = threading.Timer(60.0, echo.kill)
        stop.start()
        try:
            if echo.stdin is None or echo.stdout is None:
                raise EngineError(f"{node.name} cannot be asked", "try again")
            trips = [_trip(echo.stdin, echo.stdout) for _ in range(ECHOES)]
            began = time.monotonic()
            writer = threading.Thread(target=_write, args=(echo.stdin, bytes(ECHO_BYTES) + b"x"), daemon=True)
            writer.start()
            got = b"\0"
            while got and not got.endswith(b"x"):
                got = echo.stdout.read(1 << 16)
            took_s = time.monotonic() - began
        finally:
            stop.cancel()
            echo.kill()
        if not got or not all(trips):
            said = (echo.stderr.read(4000) if echo.stderr else b"").decode("utf-8", "replace")
            raise _unusable(node, " ".join(said.split()))
    round_trip = median(trips[2:])
    return round(round_trip, 7), round(ECHO_BYTES / max(took_s - round_trip, 1e-6))


def _trip(to: Any, back: Any) -> float:
    """Seconds of one byte's way there and back; 0 where it does not come back."""
    began = time.monotonic()
    try:
        to.write(b"x")
        return time.monotonic() - began if back.read(1) else 0.0
    except OSError:
        return 0.0


def _write(to: Any, data: bytes) -> None:
    try:
        view = memoryview(data)
        while view:
            view = view[to.write(view[: 1 << 16]) :]
    except (OSError, ValueError):
        return


def echo(read: Any, write: Any) -> None:
    """Gives back every byte but zeros at once: what a node runs while its network is measured, one way at a time."""
    while data := read(1 << 16):
        view = memoryview(data.replace(b"\0", b""))
        while view:
            view = view[write(view) :]
