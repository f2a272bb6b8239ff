"""A checked command for people: the verdict, the culprit, the command to run instead, the table, the traps."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from splitter.cli.views.plan import memory_sheet, model_line, notices_view, summary_line
from splitter.cli.views.words import rate, size
from splitter.plan.plan import Notice, Plan, PlannedDevice
from splitter.printable import SENTENCE, printable

SCREEN = 24  # lines
NAMES = 2  # lines for the names of the traps that have no room
# Said by the first line already.
IN_THE_VERDICT = frozenset({"out_of_memory", "margin", "host_memory"})


def checked_view(
    plan: Plan, refusals: tuple[Notice, ...], culprit: str | None, instead: str | None, better: Plan | None
) -> Iterator[RenderableType]:
    """Everything but the traps. `instead` is the command that makes it fit, `better` what that does."""
    yield from (_refusal(plan, notice) for notice in refusals[:2])
    yield Text(verdict(plan), style="green" if plan.fits() else "bold red")
    yield from remedy_view(plan, culprit, instead, better)
    yield Text(model_line(plan.facts), style="bold")
    yield Text(summary_line(plan))
    yield memory_sheet(plan)


def remedy_view(plan: Plan, culprit: str | None, instead: str | None, better: Plan | None) -> Iterator[RenderableType]:
    """The culprit and the command to run instead; what to do where no flag helps."""
    if culprit:
        yield Text.assemble(("culprit: ", "bold"), printable(culprit, SENTENCE))
    if instead and better:
        yield Text.assemble(("run instead ", "bold"), f"(it fits, {_speed(better)}):")
        yield Text(printable(instead, len(instead)), no_wrap=True, overflow="ignore")
    elif not plan.fits():
        yield Text("no change of flags makes it fit: take a smaller quantisation, or another card")


def _refusal(plan: Plan, notice: Notice) -> Text:
    hint = f" ({notice.hint})" if notice.hint else ""
    return Text(f"{plan.engine.name} would not start: {printable(notice.message + hint, SENTENCE)}", style="bold red")


def verdict(plan: Plan) -> str:
    """The card that decides, and by how much."""
    ram, host = plan.rig.host.ram_free_bytes, plan.footprint.host.used_bytes()
    short = sorted((d for d in plan.devices if d.headroom_bytes() < 0), key=PlannedDevice.headroom_bytes)
    told = [_short(device) for device in short[:1]]
    told += [f"{d.device.id} by {size(-d.headroom_bytes())}" for d in short[1:]]
    if ram is not None and host > ram:
        told.append(f"RAM is short by {size(host - ram)}: it needs {size(host)}, {size(ram)} is free")
    if told:
        return f"does not fit: {'; '.join(told)}"
    tightest = min(plan.devices, key=PlannedDevice.headroom_bytes, default=None)
    if tightest is None:
        return f"fits: the CPU alone needs {size(host)} of RAM"
    return (
        f"fits: {_named(tightest)} is the tightest card, with {size(tightest.headroom_bytes())} left after its margin"
    )


def _short(device: PlannedDevice) -> str:
    return (
        f"{_named(device)} is short by {size(-device.headroom_bytes())}: it needs {size(device.used_bytes())} and a "
        f"margin of {size(device.margin_bytes)}, {size(device.device.free_bytes)} is free"
    )


def _named(device: PlannedDevice) -> str:
    return printable(f"{device.device.id} ({device.device.name})")


def _speed(plan: Plan) -> str:
    return f"{rate(plan.speed.generation_tokens_per_s)} predicted"


def traps_to_tell(plan: Plan, refusals: tuple[Notice, ...], culprit: str | None) -> tuple[Notice, ...]:
    """The costliest first, without what the first lines say."""
    told = {notice.message for notice in refusals}
    return tuple(
        notice
        for notice in plan.warnings
        if notice.code not in IN_THE_VERDICT and notice.message not in told and notice.message not in (culprit or "")
    )


def on_a_screen(
    parts: tuple[RenderableType, ...], traps: tuple[Notice, ...], console: Console
) -> Iterator[RenderableType]:
    """`parts`, then as many traps as a screen has room for; the others by name."""
    yield from parts
    left = SCREEN - sum(_height(part, console) for part in parts) - NAMES
    for index, notice in enumerate(traps):
        shown = tuple(notices_view((notice,)))
        left -= sum(_height(part, console) for part in shown)
        if left < 0:
            others = ", ".join(dict.fromkeys(other.code for other in traps[index:]))
            yield Text(f"less costly, by name: {others} (--json shows them in full)")
            return
        yield from shown


def _height(part: RenderableType, console: Console) -> int:
    return len(console.render_lines(part, pad=False))
