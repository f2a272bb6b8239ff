"""A plan as a Report: its memory, and the speed that it predicts at growing depths."""

from datetime import UTC, datetime
from itertools import pairwise
from typing import TYPE_CHECKING

from splitter.app.saving import save_text
from splitter.app.sentences import model_line, verdict
from splitter.bench.report.html_report import html_report
from splitter.bench.report.memory import host_row, planned_row
from splitter.bench.report.values import Command, Figure, Memory, Report, ReportTable, Series, SpeedByDepth, Value
from splitter.bench.report.words import rate, size
from splitter.memory.model import MemoryModel
from splitter.plan.plan import Plan
from splitter.plan.speed import BOUND, Constants
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.speed_words import speed_text
from splitter.plan.turn import predict
from splitter.units import format_bandwidth

if TYPE_CHECKING:
    from splitter.app.planning import Planned


def now() -> str:
    """The day and time that a report shows."""
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def save_report(path: str, report: Report) -> int:
    """Writes the page; its size in bytes."""
    page = html_report(report)
    save_text(path, page)
    return len(page.encode())


def plan_report(planned: "Planned") -> Report:
    """What the plan says, to be drawn."""
    plan = planned.plan
    engine = planned.task.engine
    parts = (f"{engine.kind} {engine.version or ''}".strip(), plan.facts.quantization or "", plan.rig.name)
    warnings = (f"{notice.message} ({notice.hint})" if notice.hint else notice.message for notice in plan.warnings)
    return Report(
        title=plan.facts.name or "Plan",
        subtitle=" \N{MIDDLE DOT} ".join(("plan", *(part for part in parts if part))),
        made_at=now(),
        verdict=verdict(plan),
        fits=plan.fits(),
        figures=plan_figures(plan),
        memories=(plan_memory(plan),),
        speeds=_speeds(plan),
        reasons=plan.reasons,
        warnings=tuple(warnings),
        sheets=tuple(_sheets(plan)),
        commands=(Command(engine.kind, planned.line),),
    )


def plan_figures(plan: Plan) -> tuple[Figure, ...]:
    """The headline numbers of a plan."""
    on_gpu = sum(owner is not None for owner in plan.placement.layers)
    tightest = min(plan.devices, key=lambda planned: planned.headroom_bytes(), default=None)
    figures = [
        _speed_figure("Generation", plan.speed.generation_tokens_per_s, plan.speed.generation_range, plan.speed.basis),
        _speed_figure("Prompt", plan.speed.prompt_tokens_per_s, plan.speed.prompt_range, plan.speed.basis),
        Figure("Layers on GPUs", f"{on_gpu} of {len(plan.placement.layers)}", "output included"),
        Figure("Context", str(plan.settings.context_size), f"KV {plan.settings.cache_type_k}"),
    ]
    if tightest is not None:
        figures.append(Figure("Tightest card", f"{size(tightest.headroom_bytes())} left", tightest.device.id))
    return tuple(figures)


def _speed_figure(name: str, found: float | None, within: tuple[float, float] | None, basis: str) -> Figure:
    between = f", {speed_text(within[0])} to {speed_text(within[1])}" if within else ""
    return Figure(name, f"{'about ' * (within is not None)}{rate(found)} t/s", f"{basis}{between}")


def plan_memory(plan: Plan) -> Memory:
    """What each card and the host hold."""
    layers = tuple(index for index, owner in enumerate(plan.placement.layers[:-1]) if owner is None)
    free = plan.rig.host.ram_free_bytes
    host = host_row(plan.footprint.host, free, layers, plan.placement.layers[-1] is None)
    return Memory("", tuple(planned_row(planned) for planned in plan.devices), host)


def _speeds(plan: Plan) -> tuple[SpeedByDepth, ...]:
    """Bytes over bandwidth, and what published runs reach of it; nothing where a bandwidth is unknown."""
    known = (("Bytes over bandwidth", BOUND), ("Typical of published runs", TYPICAL))
    series = tuple(Series(name, _by_depth(plan, constants), predicted=True) for name, constants in known)
    return (SpeedByDepth("Generation, predicted", series),) if all(len(s.points) > 1 for s in series) else ()


def _by_depth(plan: Plan, constants: Constants) -> tuple[tuple[int, Value], ...]:
    memory = MemoryModel(plan.facts, plan.settings, plan.engine.memory)
    order = plan.settings.device_order
    devices = tuple(plan.rig.device(name) for name in order)
    found = []
    for depth in depths(plan.settings.context_size):
        speed = predict(memory, plan.placement, devices, plan.rig.host, constants=constants, depth=depth)
        if speed.generation_tokens_per_s is not None:
            value = speed.generation_tokens_per_s
            found.append((depth, Value(value, value, value)))
    return tuple(found)


def depths(context_size: int) -> tuple[int, ...]:
    """Empty, an eighth, a quarter, half and all of the context."""
    steps = [0, *(context_size // part for part in (8, 4, 2, 1))]
    return tuple(a for a, b in pairwise([*steps, -1]) if a != b)


def _sheets(plan: Plan) -> list[ReportTable]:
    words = ("device", "name")
    rows = [
        (d.id, d.name, size(d.total_bytes), size(d.free_bytes), format_bandwidth(d.bandwidth_bytes_per_s))
        for d in plan.rig.devices
    ]
    host = plan.rig.host
    rows.append(("host", host.os, size(host.ram_total_bytes), size(host.ram_free_bytes),
                 format_bandwidth(host.ram_bandwidth_bytes_per_s)))  # fmt: skip
    sheets = [ReportTable("Rig", ("device", "name", "memory", "free", "bandwidth"), tuple(rows), frozenset(words))]
    facts = (("model", model_line(plan.facts)), ("model file", plan.facts.path), ("rig", plan.rig.name))
    sheets.append(ReportTable("What was planned", ("fact", "value"), facts, frozenset({"fact", "value"})))
    if plan.alternatives:
        sheets.append(_alternatives(plan))
    return sheets


def _alternatives(plan: Plan) -> ReportTable:
    columns = ("alternative", "layers on GPUs", "context", "KV", "predicted t/s", "fits")
    rows = tuple(
        (
            other.title,
            str(sum(owner is not None for owner in other.placement.layers)),
            str(other.settings.context_size),
            other.settings.cache_type_k,
            rate(other.speed.generation_tokens_per_s),
            "yes" if other.fits() else "no",
        )
        for other in plan.alternatives
    )
    return ReportTable("Alternatives", columns, rows, frozenset({"alternative"}))
