"""`splitter bench report`: kept measurements as charts, in the terminal or as one HTML page."""

from typing import Annotated

import typer

from splitter.app.recording import chosen_records
from splitter.app.reporting import now, save_report
from splitter.app.saving import place_of
from splitter.bench.records.record import to_dict
from splitter.bench.report.of_records import report as draw
from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.charts import canvas, charts_view
from splitter.errors import UsageError

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
    if (bool(ids) + bool(group) + last) > 1:
        raise UsageError("numbers, --group and --last are three ways to say the same", "give one of them")
    output = Output("bench", as_json=report.json)
    if page:
        place_of(page)  # a wrong one is refused before anything is read
    chosen = chosen_records(ids or (), group)
    drawn, size_bytes = draw(chosen, now()), None
    if page:
        size_bytes = save_report(page, drawn)
        output.say(f"wrote {page}")
    else:
        output.show(*charts_view(drawn, canvas(output.out)))
    records = [to_dict(record) for record in chosen]
    output.data({"ids": [record.id for record in chosen], "file": page, "size_bytes": size_bytes, "records": records})
