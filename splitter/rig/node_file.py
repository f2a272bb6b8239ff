"""The file of other machines, `nodes.yaml` in the settings folder. It holds no secret: keys are ssh's own."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from splitter.errors import RigError, UsageError
from splitter.folders import config_folder
from splitter.rig.node_names import MAX_PORT, destination, is_node_name, node_name, remote_path
from splitter.rig.nodes import FIRST_PORT
from splitter.rig.rig_keys import DEVICE_KEYS, RigKey, read_values, refuse_unknown, write_values
from splitter.rig.yaml_text import parse_yaml
from splitter.safe_yaml import MAX_BYTES
from splitter.whole_file import write_whole

MAX_NODES = 64


@dataclass(frozen=True, slots=True)
class SavedNode:
    """Another machine: how ssh reaches it, `splitter` and `engine` (its ggml-rpc-server) as it calls them there, the
    worker's `port` on its loopback, what the network was measured to be, and a rig file that stands for its cards."""

    name: str
    ssh: str
    splitter: str | None = None
    engine: str | None = None
    port: int = FIRST_PORT
    rtt_s: float | None = None
    link_bytes_per_s: float | None = None
    rig: str | None = None


def _said(check: Any) -> Any:
    """A reader of rig keys from a check that raises UsageError."""

    def read(value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError("must be a text")  # noqa: TRY004 - all readers speak through ValueError
        try:
            return str(check(value))
        except UsageError as error:
            raise ValueError(f"is refused ({error.hint})") from None

    return read


def _port(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_PORT:
        raise ValueError(f"must be a port, 1 to {MAX_PORT}")
    return value


NODE_KEYS: Mapping[str, RigKey] = {
    "ssh": RigKey("ssh", _said(destination)),
    "splitter": RigKey("splitter", _said(remote_path)),
    "engine": RigKey("engine", _said(remote_path)),
    "port": RigKey("port", _port),
    "rtt_ms": DEVICE_KEYS["rtt_ms"],
    "link_gb_per_s": RigKey("link_bytes_per_s", DEVICE_KEYS["link_gb_per_s"].read, DEVICE_KEYS["link_gb_per_s"].write),
    "rig": RigKey("rig", DEVICE_KEYS["name"].read),
}


def nodes_path() -> Path:
    """Where the nodes are kept."""
    return config_folder() / "nodes.yaml"


def load_nodes() -> dict[str, SavedNode]:
    """The saved nodes by name; RigError for a file that is not one."""
    path = nodes_path()
    try:
        with path.open("rb") as file:
            text = file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as problem:
        raise RigError(f"{path} cannot be read: {problem}", "repair or delete it") from None
    return parse_nodes(text, str(path))


def parse_nodes(text: str, where: str) -> dict[str, SavedNode]:
    """The nodes that `text` lists under `nodes:`; RigError for anything else."""
    data = parse_yaml(text, where) or {}
    if not isinstance(data, Mapping) or not isinstance(data.get("nodes") or {}, Mapping):
        raise RigError(f"{where} has no nodes", "`splitter node add NAME DESTINATION` writes it")
    refuse_unknown(data, ("nodes",), where)
    found: dict[str, SavedNode] = {}
    for name, row in (data.get("nodes") or {}).items():
        if not is_node_name(name):
            raise RigError(f"{where}: '{name[:40]!r}' cannot name a node", "`splitter node add` names the rules")
        values = read_values(row, NODE_KEYS, f"{where}, {name}")
        if "ssh" not in values:
            raise RigError(f"{where}: {name} has no ssh destination", f"{name}: {{ssh: me@{name}}}")
        found[name] = SavedNode(name, **values)
    return found


def dump_nodes(nodes: Iterable[SavedNode]) -> str:
    """The nodes as the file holds them."""
    import yaml

    rows = {node.name: write_values(node, NODE_KEYS) for node in nodes}
    text: str = yaml.safe_dump({"nodes": rows}, sort_keys=False, allow_unicode=True, width=10**6)
    return text


def save_nodes(nodes: Mapping[str, SavedNode]) -> Path:
    """Writes the file whole; RigError where the system refuses."""
    path = nodes_path()
    if len(nodes) > MAX_NODES:
        raise UsageError(f"{len(nodes)} nodes", f"at most {MAX_NODES} can be kept: `splitter node remove NAME`")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, dump_nodes(nodes.values()), 0o600)
    except OSError as problem:
        raise RigError(f"{path} cannot be written: {problem.strerror}", "check the folder's permissions") from None
    return path


def add_node(node: SavedNode) -> Path:
    """Keeps `node`, in place of the one of its name."""
    checked = replace(node, name=node_name(node.name), ssh=destination(node.ssh))
    for program in (checked.splitter, checked.engine):
        if program is not None:
            remote_path(program)
    return save_nodes({**load_nodes(), node.name: checked})


def remove_node(name: str) -> Path:
    """Forgets a node; UsageError where there is none of that name."""
    kept = load_nodes()
    known_node(name, kept)
    return save_nodes({key: node for key, node in kept.items() if key != name})


def known_node(name: str, nodes: Mapping[str, SavedNode]) -> SavedNode:
    """The node of that name; UsageError names those that there are."""
    if name not in nodes:
        listed = ", ".join(nodes) or "none"
        hint = f"the saved nodes are: {listed}; `splitter node add NAME me@host` adds one"
        raise UsageError(f"there is no node '{name[:40]}'" if name.isprintable() else "there is no such node", hint)
    return nodes[name]
