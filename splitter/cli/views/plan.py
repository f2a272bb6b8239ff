"""A plan for people: the table per card, speed, reasons, warnings, alternatives, and the command."""

from collections.abc import Iterator

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from splitter.cli.views.words import layer_ranges, mib, rate, size
from splitter.memory.footprint import MemoryUse
from splitter.model.facts import ModelFacts
from splitter.plan.extra_models import DRAFT, PROJECTOR
from splitter.plan.plan import Notice, Plan, PlannedDevice
from splitter.printable import SENTENCE, printable

WIDE = 78


def model_line(facts: ModelFacts) -> str:
    return printable(
        f"{facts.name}: {facts.architecture}, {facts.quantization or 'unknown quantisation'}, "
        f"{size(facts.file_bytes)}, {facts.layers} layers"
    )


def plan_view(plan: Plan, width: int = WIDE) -> Iterator[RenderableType]:
    """`width` is the terminal's: where the table would lose columns, each device gets lines of its own."""
    yield Text(model_line(plan.facts), style="bold")
    yield Text(summary_line(plan))
    if width >= WIDE:
        yield memory_table(plan)
    else:
        yield from memory_lines(plan)
    yield Text(verdict(plan), style="green" if plan.fits() else "bold red")
    yield from (Text(f"- {printable(reason, SENTENCE)}") for reason in plan.reasons)
    yield from notices_view(plan.warnings)
    if plan.alternatives:
        yield alternatives_table(plan)


def memory_lines(plan: Plan) -> Iterator[RenderableType]:
    """The table's figures, one device after the other."""
    names = ("layers", "model", "context", "compute", "other", "margin", "used", "free", "left")
    for planned in plan.devices:
        name, *cells = device_cells(planned)
        yield Text(name, style="bold" if planned.headroom_bytes() >= 0 else "bold red")
        yield Text("  " + ", ".join(f"{label} {cell}" for label, cell in zip(names, cells, strict=True)))
    host = plan.footprint.host
    parts = (("model", host.model_bytes), ("context", host.context_bytes), ("compute", host.compute_bytes))
    yield Text("host (RAM)", style="bold")
    yield Text("  " + ", ".join(f"{label} {mib(size_bytes)}" for label, size_bytes in parts))
    yield Text("MiB; left = free - used - margin")


def summary_line(plan: Plan) -> str:
    s = plan.settings
    on_gpu = sum(owner is not None for owner in plan.placement.layers)
    kv = s.cache_type_k if s.cache_type_k == s.cache_type_v else f"{s.cache_type_k}/{s.cache_type_v}"
    basis = plan.speed.basis
    return (
        f"{on_gpu} of {len(plan.placement.layers)} layers on GPUs (output included), context {s.context_size}, "
        f"KV {kv}, ubatch {s.ubatch_size}; predicted {rate(plan.speed.generation_tokens_per_s)} generation, "
        f"{rate(plan.speed.prompt_tokens_per_s)} prompt ({basis})"
    )


def memory_table(plan: Plan) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("device", no_wrap=True)
    for column in ("layers", "model", "context", "compute", "other", "margin", "used", "free", "left"):
        table.add_column(column, justify="right", no_wrap=column != "layers", min_width=len(column))
    for planned in plan.devices:
        table.add_row(*device_cells(planned), style="" if planned.headroom_bytes() >= 0 else "bold red")
    host = plan.footprint.host
    host_layers = tuple(i for i, owner in enumerate(plan.placement.layers[:-1]) if owner is None)
    free = plan.rig.host.ram_free_bytes
    left = None if free is None else free - host.used_bytes()
    table.add_row(
        "host (RAM)",
        layer_ranges(host_layers) + (" +out" if plan.placement.layers[-1] is None else ""),
        *(mib(value) for value in _host_bytes(host)),
        "?" if free is None else mib(free),
        "?" if left is None else mib(left),
    )
    table.caption = f"MiB. other: {other_parts(plan)}; free: before the engine starts; left = free - used - margin"
    table.caption_justify = "left"
    return table


def _host_bytes(host: MemoryUse) -> tuple[int, ...]:
    other = host.overhead_bytes()
    return host.model_bytes, host.context_bytes, host.compute_bytes, other, 0, host.used_bytes()


def other_parts(plan: Plan) -> str:
    """What the column holds: the parts of the plan's overheads by name."""
    uses = (*(planned.memory for planned in plan.devices), plan.footprint.host)
    extra = {name for use in uses for name, _ in use.overhead} & {DRAFT, PROJECTOR}
    return ", ".join(("CUDA context, reserves", *sorted(extra)))


def short_name(name: str) -> str:
    """A card's name without the maker's words."""
    return name.removeprefix("NVIDIA ").removeprefix("GeForce ").removeprefix("AMD ").removeprefix("Intel ")


def device_cells(planned: PlannedDevice) -> tuple[str, ...]:
    memory = planned.memory
    return (
        printable(f"{planned.device.id} {short_name(planned.device.name)}"),
        layer_ranges(planned.layers) + (" +out" if planned.holds_output else ""),
        *(mib(value) for value in (memory.model_bytes, memory.context_bytes, memory.compute_bytes)),
        *(mib(value) for value in (memory.overhead_bytes(), planned.margin_bytes, planned.used_bytes())),
        mib(planned.device.free_bytes),
        mib(planned.headroom_bytes()),
    )


def verdict(plan: Plan) -> str:
    proof = ""
    if plan.verified is not None:
        difference = size(plan.verified.max_difference_bytes)
        proof = f"; verified by {plan.verified.by} {plan.verified.engine_version}, largest difference {difference}"
    if plan.fits():
        return f"fits{proof}"
    short = [f"{d.device.id} by {size(-d.headroom_bytes())}" for d in plan.devices if d.headroom_bytes() < 0]
    free = plan.rig.host.ram_free_bytes
    if free is not None and plan.footprint.host.used_bytes() > free:
        short.append(f"host RAM by {size(plan.footprint.host.used_bytes() - free)}")
    return f"does not fit: {', '.join(short)} (margin included){proof}"


def notices_view(notices: tuple[Notice, ...]) -> Iterator[RenderableType]:
    for notice in notices:
        yield Text.assemble(
            ("warning: ", "bold yellow"),
            printable(notice.message, SENTENCE),
            *([f" ({notice.hint})"] if notice.hint else []),
        )


def alternatives_table(plan: Plan) -> Table:
    table = Table("alternative", box=None, header_style="bold", pad_edge=False)
    for column in ("layers on GPUs", "context", "KV", "generation", "fits"):
        table.add_column(column, justify="right", no_wrap=True)
    for other in plan.alternatives:
        table.add_row(
            printable(other.title),
            str(sum(owner is not None for owner in other.placement.layers)),
            str(other.settings.context_size),
            other.settings.cache_type_k,
            rate(other.speed.generation_tokens_per_s),
            "yes" if other.fits() else "no",
        )
    return table
