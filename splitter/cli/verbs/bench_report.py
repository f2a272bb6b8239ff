"""`splitter bench report`: kept measurements as charts, in the terminal or as one HTML page."""

from typing import TYPE_CHECKING, Annotated

import typer

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.errors import RecordsError, UsageError

if TYPE_CHECKING:
    from splitter.bench.records.record import Record
    from splitter.bench.records.records import Records

EXAMPLES = """Examples:

splitter bench report   (the last measurement, with all of its group, in the terminal)

splitter bench report 12 14 -o report.html

splitter bench report --group 2026-01-02T03:04:05 -o tune.html
"""


def add_to(app: typer.Typer) -> None:
    """Puts the command into the group of `splitter bench`."""
    app.command("report", epilog=EXAMPLES)(report)


@with_options(OutputOptions)
def report(
    report: OutputOptions,
    ids: Annotated[list[int] | None, typer.Argument(help="Numbers of measurements.", metavar="[ID...]")] = None,
    group: Annotated[str | None, typer.Option("--group", help="All of one comparison or tune.", metavar="G")] = None,
    last: Annotated[bool, typer.Option("--last", help="The last measurement, with all of its group.")] = False,
    page: Annotated[
        str | None, typer.Option("-o", "--output", help="Write one HTML page instead.", metavar="FILE")
    ] = None,
) -> None:
    """Draw measurements. Memory per card, speed by depth, tune history, plan against measured."""
    from splitter.app.reporting import now, save_report
    from splitter.bench.records.record import to_dict
    from splitter.bench.records.records import Records
    from splitter.bench.report.of_records import report as draw
    from splitter.cli.views.charts import canvas, charts_view

    if (bool(ids) + bool(group) + last) > 1:
        raise UsageError("numbers, --group and --last are three ways to say the same", "give one of them")
    output = Output("bench", as_json=report.json)
    with Records() as kept:
        chosen = _chosen(kept, ids or [], group)
    drawn = draw(chosen, now())
    size_bytes = None
    if page:
        size_bytes = save_report(page, drawn)
        output.say(f"wrote {page}")
    else:
        output.show(*charts_view(drawn, canvas(output.out)))
    records = [to_dict(record) for record in chosen]
    output.data({"ids": [record.id for record in chosen], "file": page, "size_bytes": size_bytes, "records": records})


def _chosen(kept: "Records", ids: list[int], group: str | None) -> "tuple[Record, ...]":
    """Those that were named, else the newest with its group."""
    if ids:
        return tuple(kept.get(number) for number in dict.fromkeys(ids))
    if group:
        found = kept.list(group=group)
        if not found:
            raise RecordsError(f"there is no group {group}", "`splitter bench list` shows them")
        return found
    newest = kept.list(limit=1)
    if not newest:
        raise RecordsError("nothing has been measured yet", "run `splitter bench MODEL` first")
    return kept.list(group=newest[0].group) if newest[0].group else newest
