"""A checked command for people: the verdict, the culprit, the command to run instead, the table, the traps."""

from collections.abc import Iterator

from rich.console import Console, RenderableType
from rich.text import Text

from splitter.app.sentences import checked_verdict, model_line, speed_line, summary_line
from splitter.cli.views.plan import memory_sheet, notices_view
from splitter.plan.plan import Notice, Plan
from splitter.printable import SENTENCE, printable

SCREEN = 24  # lines
NAMES = 2  # lines for the names of the traps that have no room


def checked_view(
    plan: Plan, refusals: tuple[Notice, ...], culprit: str | None, instead: str | None, better: Plan | None
) -> Iterator[RenderableType]:
    """Everything but the traps. `instead` is the command that makes it fit, `better` what that does."""
    yield from (_refusal(plan, notice) for notice in refusals[:2])
    yield Text(checked_verdict(plan), style="green" if plan.fits() else "bold red")
    yield from remedy_view(plan, culprit, instead, better)
    yield Text(model_line(plan.facts), style="bold")
    yield Text(summary_line(plan))
    yield memory_sheet(plan)


def remedy_view(plan: Plan, culprit: str | None, instead: str | None, better: Plan | None) -> Iterator[RenderableType]:
    """The culprit and the command to run instead; what to do where no flag helps."""
    if culprit:
        yield Text.assemble(("culprit: ", "bold"), printable(culprit, SENTENCE))
    if instead and better:
        yield Text.assemble(("run instead ", "bold"), f"(it fits, {speed_line(better)}):")
        yield Text(printable(instead, len(instead)), no_wrap=True, overflow="ignore")
    elif not plan.fits():
        yield Text("no change of flags makes it fit: take a smaller quantisation, or another card")


def _refusal(plan: Plan, notice: Notice) -> Text:
    hint = f" ({notice.hint})" if notice.hint else ""
    return Text(f"{plan.engine.name} would not start: {printable(notice.message + hint, SENTENCE)}", style="bold red")


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
            yield Text(f"less costly ones: {others} (--json shows them in full)")
            return
        yield from shown


def _height(part: RenderableType, console: Console) -> int:
    return len(console.render_lines(part, pad=False))
