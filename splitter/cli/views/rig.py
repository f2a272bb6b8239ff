"""The rig as a table: devices in PCI order, each value with its source."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from splitter.cli.views.nodes import network_lines
from splitter.cli.views.sheet import Row, Sheet, figures, words
from splitter.cli.views.words import size, yes_no
from splitter.printable import printable_lines
from splitter.rig.device import Device, Host, Rig
from splitter.units import format_bandwidth


def rig_view(rig: Rig) -> Iterator[RenderableType]:
    yield Text(f"Rig {rig.name}", style="bold")
    if rig.devices:
        yield device_sheet(rig.devices)
    yield Text(host_line(rig.host))
    yield from (Text(line) for line in network_lines(rig.devices))
    yield from (Text(f"{device.id} values: {_sources(device)}", style="dim") for device in rig.devices)
    for note in rig.notes:
        yield Text(f"note: {note}")


def device_sheet(devices: tuple[Device, ...]) -> Sheet:
    """The devices, one a row."""
    columns = (*words("id", "name"), *figures("total", "free", "bandwidth", "compute", "display"))
    return Sheet(columns, tuple(Row(_cells(device)) for device in devices))


def _cells(device: Device) -> tuple[str, ...]:
    return (
        printable_lines(device.id),
        printable_lines(device.name) + _where(device),
        size(device.total_bytes),
        size(device.free_bytes),
        format_bandwidth(device.bandwidth_bytes_per_s),
        device.compute_capability or "?",
        yes_no(device.display),
    )


def _where(device: Device) -> str:
    """Whose memory it is, and in which machine, where that is not the card's own, here."""
    shared = ", the host's RAM" if device.unified else ""
    return f"{shared}, on {printable_lines(device.node)}" if device.node else shared


def _sources(device: Device) -> str:
    by_source: dict[str, list[str]] = {}
    for name, source in device.sources.items():
        by_source.setdefault(source, []).append(name.removesuffix("_per_s").removesuffix("_bytes"))
    return "; ".join(f"{source}: {', '.join(names)}" for source, names in by_source.items())


def host_line(host: Host) -> str:
    speed = format_bandwidth(host.ram_bandwidth_bytes_per_s)
    source = host.sources.get("ram_bandwidth_bytes_per_s")
    cores = "?" if host.cores is None else str(host.cores)
    return (
        f"Host: {size(host.ram_total_bytes)} RAM, {size(host.ram_free_bytes)} free, {speed}"
        f"{f' ({source})' if source else ''}, {cores} cores, {host.os}"
    )
