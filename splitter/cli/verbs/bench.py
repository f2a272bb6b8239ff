"""`splitter bench`: tokens per second of a running server, of a plan launched for the purpose, or of alternatives."""

from dataclasses import replace
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from splitter.app.answers import bench_data, duel_data
from splitter.app.measuring import (
    BenchWishes,
    bench_alternatives,
    bench_llama_bench,
    bench_plan,
    bench_url,
    numbers,
    plan_beside,
)
from splitter.app.recording import check_keeping, keep
from splitter.app.wire import error_item
from splitter.bench.measure import Sweep
from splitter.bench.records.record import Record, to_dict
from splitter.bench.stopping import Stopping
from splitter.bench.verdict import compare_records
from splitter.cli.flags import wishes_of
from splitter.cli.options import FlagOptions, OutputOptions, PlanOptions, with_options
from splitter.cli.output import Output
from splitter.cli.verbs import bench_records, bench_report
from splitter.cli.views.bench_record import duel_view, record_view
from splitter.engine.command import Server
from splitter.engine.reading.command import read_command
from splitter.errors import EngineError, RecordsError, UsageError
from splitter.run.keys import key_of

EXAMPLES = """Examples:

splitter bench model.gguf   (plans, launches, measures, stops)

splitter bench --url http://127.0.0.1:8080 --depths 0,4096 --concurrency 1,4 --budget 120

splitter bench model.gguf --compare --compare-command 'llama-server -m model.gguf -ngl 99 -ts 1,2'

Measurements are kept: splitter bench list, show ID, compare A B, export, delete ID.
"""
MEASURE = "measure"


class BenchGroup(TyperGroup):
    """A first word that is not a command of the group is the model to measure."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """`splitter bench MODEL` is `splitter bench measure MODEL`."""
        if not args or args[0] not in self.commands:
            args = [MEASURE, *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=BenchGroup, help="Measure tokens per second, and look at what was measured.")
bench_records.add_to(app)
bench_report.add_to(app)


@app.callback()
def bench() -> None:
    """Measure tokens per second, and look at what was measured."""


@app.command(MEASURE, epilog=EXAMPLES)
@with_options(PlanOptions, FlagOptions, OutputOptions)
def measure(
    asked: PlanOptions,
    flags: FlagOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    url: Annotated[str | None, typer.Option("--url", help="A running server.", metavar="U")] = None,
    prompt_tokens: Annotated[int, typer.Option("--prompt-tokens", help="Tokens of the prompt.", min=1)] = 512,
    generate: Annotated[int, typer.Option("--generate", help="Tokens to generate.", min=2)] = 128,
    depths: Annotated[str, typer.Option("--depths", help="Tokens already in the context.", metavar="N,N,...")] = "0",
    concurrency: Annotated[
        str, typer.Option("--concurrency", help="Requests sent at the same time.", metavar="N,N,...")
    ] = "1",
    repetitions: Annotated[
        int | None,
        typer.Option("--repetitions", "-r", help="Number of repetitions (default: until the spread is small).", min=1),
    ] = None,
    budget: Annotated[
        float | None, typer.Option("--budget", help="Seconds to measure (default: 60).", metavar="S", min=0.1)
    ] = None,
    compare: Annotated[
        bool,
        typer.Option(
            "--compare",
            help="Also measure the engine's own placement, a split by free memory and, with --nodes, fewer machines.",
        ),
    ] = False,
    compare_command: Annotated[
        str | None, typer.Option("--compare-command", help="Also measure this command, unchanged.", metavar="LINE")
    ] = None,
    rounds: Annotated[int, typer.Option("--rounds", help="Launches of each when comparing.", min=1)] = 3,
    llama_bench: Annotated[bool, typer.Option("--llama-bench", help="Let llama-bench measure the plan.")] = False,
    no_save: Annotated[bool, typer.Option("--no-save", help="Do not keep the measurement.")] = False,
    label: Annotated[str, typer.Option("--label", help="A name for the measurement.", metavar="TEXT")] = "",
) -> None:
    """Measure prompt and generation speed, and the latencies. The measurement is kept."""
    output = Output("bench", as_json=report.json, save=asked.save)
    stopping = Stopping(repetitions, budget or Stopping().budget_s)
    lists = numbers(depths, "--depths", 0), numbers(concurrency, "--concurrency", 1)
    sweep = Sweep(prompt_tokens, generate, *lists, stopping)
    wishes = BenchWishes(sweep, label, not no_save, rounds, budget is not None)
    if url and (model or asked.profile or compare or compare_command or llama_bench):
        raise UsageError("--url measures a running server as it is", "leave out MODEL and the options that launch one")
    check_keeping(wishes.save)
    if url:
        _report_one(bench_url(url, key_of(Server(api_key_file=asked.api_key_file)), wishes, output), wishes, output)
        return
    rival = None
    if compare_command is not None:
        rival = read_command(compare_command, kind=asked.engine, version=asked.engine_version)
    planned = plan_beside(wishes_of(model, asked, flags), rival, output)
    if compare or rival is not None:
        _report_all(bench_alternatives(planned, rival, wishes, output), wishes, output)
        return
    measured = bench_llama_bench if llama_bench else bench_plan
    _report_one(measured(planned, wishes, output), wishes, output)


def _report_one(record: Record, wishes: BenchWishes, output: Output) -> None:
    """Shows the record and keeps it: shown first, so that a full disk loses nothing."""
    output.show(*record_view(record))
    (kept,) = _kept((record,), output) if wishes.save else (record,)
    output.data(bench_data(kept))


def _report_all(records: tuple[Record, ...], wishes: BenchWishes, output: Output) -> None:
    """The same for alternatives; exit 4 where the plan itself, the first of them, could not be measured."""
    if all(record.error and not record.points for record in records):
        raise EngineError(f"no alternative could be measured; the plan: {records[0].error}", "see `splitter doctor`")
    ratios = [compare_records(records[0], record) for record in records]
    output.show(*duel_view(records, ratios))
    data = duel_data(_kept(records, output) if wishes.save else records)
    if not records[0].error:
        output.data(data)
        return
    failed = EngineError(f"the plan could not be measured: {records[0].error}", "`splitter launch` shows the whole log")
    output.data(data, "error", [error_item(failed)])
    raise typer.Exit(failed.exit_code)


def _kept(records: tuple[Record, ...], output: Output) -> tuple[Record, ...]:
    """The records with their ids; when they cannot be kept, they are still put out as JSON."""
    try:
        ids = keep(records)
    except RecordsError as error:
        data = to_dict(records[0]) if len(records) == 1 else {"alternatives": [to_dict(r) for r in records]}
        output.data(data, "error", [error_item(error)])
        raise
    named = ", ".join(map(str, ids))
    output.show("", f"kept as {named}: `splitter bench show {ids[0]}`")
    return tuple(replace(record, id=number) for record, number in zip(records, ids, strict=True))
