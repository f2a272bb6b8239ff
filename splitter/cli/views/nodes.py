"""Other machines as text: the saved ones, and what a test of one found."""

from collections.abc import Iterator, Sequence

from rich.console import RenderableType
from rich.text import Text

from splitter.app.nodes import NodeReport
from splitter.cli.views.sheet import Row, Sheet, figures, words
from splitter.printable import printable_lines
from splitter.rig.device import Device
from splitter.rig.node_file import SavedNode


def nodes_view(nodes: Sequence[SavedNode]) -> Iterator[RenderableType]:
    if not nodes:
        yield Text("no node is saved: `splitter node add NAME me@host`")
        return
    columns = (*words("name", "ssh", "worker"), *figures("round trip", "link"))
    yield Sheet(columns, tuple(Row(_cells(node)) for node in nodes))


def _cells(node: SavedNode) -> tuple[str, ...]:
    what = node.engine if node.engine and not node.splitter else node.splitter or "splitter"
    return (node.name, node.ssh, f"{what}, port {node.port}", round_trip(node.rtt_s), link(node.link_bytes_per_s))


def report_view(report: NodeReport) -> Iterator[RenderableType]:
    for check in report.checks:
        if check.problem is None:
            yield Text(f"{check.name}: {printable_lines(check.found)}")
        else:
            yield Text(f"{check.name}: {printable_lines(check.problem)}", style="bold")
            yield Text(f"  try: {printable_lines(check.hint)}")
    if report.fit:
        yield Text(f"{report.node.name} can take part: splitter plan MODEL --nodes {report.node.name}")


def network_lines(devices: Sequence[Device]) -> Iterator[str]:
    """The way to each other machine of a rig."""
    for node in dict.fromkeys(device.node for device in devices if device.node):
        one = next(device for device in devices if device.node == node)
        assumed = " (assumed: `splitter node test` measures it)" if one.sources.get("rtt_s") == "default" else ""
        yield f"{node}: {round_trip(one.rtt_s)} round trip, {link(one.node_link_bytes_per_s)}{assumed}"


def round_trip(seconds: float | None) -> str:
    return "?" if seconds is None else f"{1000 * seconds:.2f} ms"


def link(bytes_per_s: float | None) -> str:
    return "?" if bytes_per_s is None else f"{bytes_per_s * 8 / 1e9:.2f} Gbit/s"
