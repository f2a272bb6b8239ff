"""A plan for people: the table per card, speed, reasons, warnings, alternatives, and the command."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.text import Text

from splitter.app.sentences import model_line, other_parts, summary_line, verdict
from splitter.cli.views.sheet import Column, Row, Sheet, figures
from splitter.cli.views.words import layer_ranges, mib, rate
from splitter.memory.footprint import MemoryUse
from splitter.plan.plan import Notice, Plan, PlannedDevice
from splitter.printable import SENTENCE, printable


def plan_view(plan: Plan) -> Iterator[RenderableType]:
    yield Text(model_line(plan.facts), style="bold")
    yield Text(summary_line(plan))
    yield memory_sheet(plan)
    yield Text(verdict(plan), style="green" if plan.fits() else "bold red")
    yield from (Text(f"- {printable(reason, SENTENCE)}") for reason in plan.reasons)
    yield from notices_view(plan.warnings)
    if plan.alternatives:
        yield alternatives_sheet(plan)


def memory_sheet(plan: Plan) -> Sheet:
    """What each device and the host hold, in MiB."""
    numbers = figures("model", "context", "compute", "other", "margin", "used", "free", "left")
    columns = (Column("device"), Column("layers", right=True, wraps=True), *numbers)
    note = f"MiB. other: {other_parts(plan)}; free: before the engine starts; left = free - used - margin"
    return Sheet(columns, (*map(_device_row, plan.devices), _host_row(plan)), note)


def _host_row(plan: Plan) -> Row:
    host, free = plan.footprint.host, plan.rig.host.ram_free_bytes
    layers = tuple(i for i, owner in enumerate(plan.placement.layers[:-1]) if owner is None)
    held = layer_ranges(layers) + (" +out" if plan.placement.layers[-1] is None else "")
    left = ("?", "?") if free is None else (mib(free), mib(free - host.used_bytes()))
    return Row(("host (RAM)", held, *map(mib, _host_bytes(host)), *left))


def _host_bytes(host: MemoryUse) -> tuple[int, ...]:
    other = host.overhead_bytes()
    return host.model_bytes, host.context_bytes, host.compute_bytes, other, 0, host.used_bytes()


def short_name(name: str) -> str:
    """A card's name without the maker's words."""
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ").removeprefix("AMD ").removeprefix("Intel ")


def _device_row(planned: PlannedDevice) -> Row:
    memory, left = planned.memory, planned.headroom_bytes()
    cells = (
        printable(f"{planned.device.id} {short_name(planned.device.name)}"),
        layer_ranges(planned.layers) + (" +out" if planned.holds_output else ""),
        *(mib(value) for value in (memory.model_bytes, memory.context_bytes, memory.compute_bytes)),
        *(mib(value) for value in (memory.overhead_bytes(), planned.margin_bytes, planned.used_bytes())),
        *(mib(value) for value in (planned.device.free_bytes, left)),
    )
    return Row(cells, "" if left >= 0 else "bold red")


def notices_view(notices: tuple[Notice, ...]) -> Iterator[RenderableType]:
    for notice in notices:
        yield Text.assemble(
            ("warning: ", "bold yellow"),
            printable(notice.message, SENTENCE),
            *([f" ({notice.hint})"] if notice.hint else []),
        )


def alternatives_sheet(plan: Plan) -> Sheet:
    """What else would be possible."""
    numbers = figures("layers on GPUs", "context", "KV", "generation")
    columns = (Column("alternative", wraps=True), *numbers, Column("fits"))
    return Sheet(columns, tuple(Row(_alternative_cells(other)) for other in plan.alternatives))


def _alternative_cells(other: Plan) -> tuple[str, ...]:
    speed = rate(other.speed.generation_tokens_per_s)
    return (
        printable(f"{other.title}: {' '.join(other.flags)}" if other.flags else other.title),
        str(sum(owner is not None for owner in other.placement.layers)),
        str(other.settings.context_size),
        other.settings.cache_type_k,
        speed,
        "yes" if other.fits() else "no",
    )
