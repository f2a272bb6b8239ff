"""`splitter bench list|show|compare|export|delete`: what was measured."""

from typing import Annotated, Literal

import typer

from splitter.app.answers import ratio_data
from splitter.app.saving import place_of, save_text
from splitter.bench.records.export import FORMATS, about, summary
from splitter.bench.records.record import KINDS, to_dict
from splitter.bench.records.records import Records
from splitter.bench.verdict import compare_records
from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.bench_record import comparison_view, list_view, record_view
from splitter.errors import RecordsError, UsageError
from splitter.printable import printable_lines

Id = Annotated[int, typer.Argument(metavar="ID", help="A measurement's number, as `bench list` shows it.")]
Format = Literal["json", "csv", "md"]


def add_to(app: typer.Typer) -> None:
    """Puts the commands beside the measuring one."""
    app.command("list", epilog="Example: splitter bench list --limit 20")(list_records)
    app.command("show", epilog="Example: splitter bench show 7 --json")(show)
    app.command("compare", epilog="Example: splitter bench compare 7 8")(compare)
    app.command("export", epilog="Example: splitter bench export 7 8 --format md -o issue.md")(export)
    app.command("delete", epilog="Example: splitter bench delete 7")(delete)


@with_options(OutputOptions)
def list_records(
    report: OutputOptions,
    kind: Annotated[str | None, typer.Option("--kind", help="bench, compare, tune or calibrate.")] = None,
    limit: Annotated[int, typer.Option("--limit", help="Show at most this many, newest first.", min=1)] = 50,
) -> None:
    """List what was measured, the newest first."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"there are no measurements of the kind {kind!r}", f"the kinds are {', '.join(KINDS)}")
    output = Output("bench", as_json=report.json)
    with Records() as kept:
        found = kept.list(kind=kind, limit=limit)
    output.show(*list_view(found))
    output.data({"records": [summary(record) for record in found]})


@with_options(OutputOptions)
def show(report: OutputOptions, number: Id) -> None:
    """Show one measurement in full."""
    output = Output("bench", as_json=report.json)
    with Records() as kept:
        record = kept.get(number)
    output.show(*record_view(record), "")
    output.show(*(printable_lines(f"{name:<10} {value}") for name, value in about(record)))
    output.data(to_dict(record))


@with_options(OutputOptions)
def compare(
    report: OutputOptions,
    first: Annotated[int, typer.Argument(metavar="A", help="A measurement's number.")],
    second: Annotated[int, typer.Argument(metavar="B", help="The other measurement's number.")],
) -> None:
    """Say whether A and B differ by more than the noise. Per point: Welch's t on the logarithms, 95 %."""
    output = Output("bench", as_json=report.json)
    with Records() as kept:
        a, b = kept.get(first), kept.get(second)
    ratios = compare_records(a, b)
    output.show(*comparison_view(a, b, ratios))
    output.data({"first": first, "second": second, "points": [ratio_data(item) for item in ratios]})


@with_options(OutputOptions)
def export(
    report: OutputOptions,
    numbers: Annotated[
        list[int] | None, typer.Argument(metavar="[IDS]", help="Numbers of measurements (default: all).")
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="Format; md suits an issue thread.")] = "md",
    target: Annotated[str | None, typer.Option("-o", "--output", help="Write to this file.", metavar="FILE")] = None,
) -> None:
    """Write measurements as JSON, CSV or Markdown."""
    output = Output("bench", as_json=report.json)
    if target:
        place_of(target)  # a wrong one is refused before anything is read
    with Records() as kept:
        found = tuple(kept.get(number) for number in numbers) if numbers else kept.list()
    if not found:
        raise RecordsError("nothing has been measured yet", "run `splitter bench MODEL`")
    text = FORMATS[form](found)
    if target:
        save_text(target, text)
        output.say(f"wrote {target}")
    else:
        output.plain(text.rstrip("\n"))
    output.data({"ids": [record.id for record in found], "format": form, "path": target, "text": text})


@with_options(OutputOptions)
def delete(
    report: OutputOptions,
    numbers: Annotated[
        list[int], typer.Argument(metavar="IDS", help="Numbers of measurements, as `bench list` shows them.")
    ],
) -> None:
    """Delete measurements."""
    output = Output("bench", as_json=report.json)
    with Records() as kept:
        gone = [number for number in numbers if kept.delete(number)]
    missing = [number for number in numbers if number not in gone]
    if missing:
        raise RecordsError(f"there is no measurement {missing[0]}", "`splitter bench list` shows them")
    output.show(f"deleted {', '.join(map(str, gone))}")
    output.data({"deleted": gone})
