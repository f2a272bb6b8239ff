"""The rig as a table: devices in PCI order, each value with its source."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from splitter.cli.views.words import bandwidth, size, yes_no
from splitter.printable import printable_lines
from splitter.rig.device import Device, Host, Rig


def rig_view(rig: Rig) -> Iterator[RenderableType]:
    yield Text(f"Rig {rig.name}", style="bold")
    if rig.devices:
        yield device_table(rig.devices)
    yield Text(host_line(rig.host))
    yield from (Text(f"{device.id} values: {_sources(device)}", style="dim") for device in rig.devices)
    for note in rig.notes:
        yield Text(f"note: {note}")


def device_table(devices: tuple[Device, ...]) -> Table:
    table = Table("id", "name", box=None, header_style="bold", pad_edge=False)
    for column in ("total", "free", "bandwidth", "compute", "display"):
        table.add_column(column, justify="right", no_wrap=True)
    for device in devices:
        table.add_row(
            device.id,
            printable_lines(device.name),
            size(device.total_bytes),
            size(device.free_bytes),
            bandwidth(device.bandwidth_bytes_per_s),
            device.compute_capability or "?",
            yes_no(device.display),
        )
    return table


def _sources(device: Device) -> str:
    by_source: dict[str, list[str]] = {}
    for name, source in device.sources.items():
        by_source.setdefault(source, []).append(name.removesuffix("_per_s").removesuffix("_bytes"))
    return "; ".join(f"{source}: {', '.join(names)}" for source, names in by_source.items())


def host_line(host: Host) -> str:
    speed = bandwidth(host.ram_bandwidth_bytes_per_s)
    source = host.sources.get("ram_bandwidth_bytes_per_s")
    cores = "?" if host.cores is None else str(host.cores)
    return (
        f"Host: {size(host.ram_total_bytes)} RAM, {size(host.ram_free_bytes)} free, {speed}"
        f"{f' ({source})' if source else ''}, {cores} cores, {host.os}"
    )
