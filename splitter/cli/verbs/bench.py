"""`splitter bench`: tokens per second of a running server, of a plan launched for the purpose, or of alternatives."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from splitter.cli.options import (
    EngineOptions,
    FlagOptions,
    GoalOptions,
    MarginOptions,
    OutputOptions,
    RigOptions,
    ServerOptions,
    with_options,
)
from splitter.cli.output import Output
from splitter.cli.verbs import bench_records, bench_report
from splitter.errors import EngineError, UsageError

if TYPE_CHECKING:
    from splitter.app.measuring import BenchWishes
    from splitter.app.planning import Planned
    from splitter.bench.records.record import Record
    from splitter.engine.reading.value import ReadCommand

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
@with_options(RigOptions, EngineOptions, MarginOptions, GoalOptions, FlagOptions, ServerOptions, OutputOptions)
def measure(
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    goal: GoalOptions,
    flags: FlagOptions,
    server: ServerOptions,
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
        typer.Option("--compare", help="Also measure the engine's own placement and a split by free memory, in turns."),
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
    from splitter.app.measuring import BenchWishes, numbers, plan_beside
    from splitter.app.recording import check_keeping
    from splitter.bench.measure import Sweep
    from splitter.bench.stopping import Stopping
    from splitter.cli.flags import wishes_of

    output = Output("bench", as_json=report.json)
    stopping = Stopping(repetitions, budget or Stopping().budget_s)
    lists = numbers(depths, "--depths", 0), numbers(concurrency, "--concurrency", 1)
    wishes = BenchWishes(
        Sweep(prompt_tokens, generate, *lists, stopping), label, not no_save, rounds, budget is not None
    )
    launching = bool(model or goal.profile or compare or compare_command or llama_bench)
    if url and launching:
        raise UsageError("--url measures a running server as it is", "leave out MODEL and the options that launch one")
    check_keeping(wishes.save)
    if url:
        report_one(_url_record(url, server, wishes, output), wishes, output)
        return
    read = _read(compare_command, engine)
    planned = plan_beside(wishes_of(model, devices, engine, margin, goal, flags, server), read, output)
    if compare or read is not None:
        _compare(planned, read, wishes, output)
        return
    report_one(_plan_record(planned, wishes, output, llama_bench=llama_bench), wishes, output)


def _url_record(url: str, server: ServerOptions, wishes: "BenchWishes", output: Output) -> "Record":
    from splitter.app.measuring import bench_url
    from splitter.engine.command import Server
    from splitter.run.keys import key_of

    return bench_url(url, key_of(Server(api_key_file=server.api_key_file)), wishes, output)


def _plan_record(planned: "Planned", wishes: "BenchWishes", output: Output, *, llama_bench: bool) -> "Record":
    from splitter.app.measuring import bench_llama_bench, bench_plan

    return (bench_llama_bench if llama_bench else bench_plan)(planned, wishes, output)


def _read(line: str | None, engine: EngineOptions) -> "ReadCommand | None":
    from splitter.engine.reading.command import read_command

    return None if line is None else read_command(line, kind=engine.engine, version=engine.engine_version)


def report_one(record: "Record", wishes: "BenchWishes", output: Output) -> None:
    """Shows the record and keeps it: shown first, so that a full disk loses nothing."""
    from splitter.app.answers import bench_data
    from splitter.cli.views.bench_record import record_view

    output.show(*record_view(record))
    (kept,) = _kept((record,), output) if wishes.save else (record,)
    output.data(bench_data(kept))


def _kept(records: "tuple[Record, ...]", output: Output) -> "tuple[Record, ...]":
    """The records with their ids; when they cannot be kept, they are still put out as JSON."""
    from splitter.app.recording import keep
    from splitter.bench.records.record import to_dict
    from splitter.errors import RecordsError

    try:
        ids = keep(records)
    except RecordsError:
        output.data(to_dict(records[0]) if len(records) == 1 else {"alternatives": [to_dict(r) for r in records]})
        raise
    named = ", ".join(map(str, ids))
    output.show("", f"kept as {named}: `splitter bench show {ids[0]}`")
    return tuple(replace(record, id=number) for record, number in zip(records, ids, strict=True))


def _compare(planned: "Planned", read: "ReadCommand | None", wishes: "BenchWishes", output: Output) -> None:
    from splitter.app.answers import duel_data
    from splitter.app.measuring import bench_alternatives
    from splitter.bench.verdict import compare_records
    from splitter.cli.views.bench_record import duel_view

    records = bench_alternatives(planned, read, wishes, output)
    if all(record.error and not record.points for record in records):
        raise EngineError(f"no alternative could be measured; the plan: {records[0].error}", "see `splitter doctor`")
    ratios = [compare_records(records[0], record) for record in records]
    output.show(*duel_view(records, ratios))
    kept = _kept(records, output) if wishes.save else records
    output.data(duel_data(kept))
    if records[0].error:
        raise typer.Exit(EngineError.exit_code)
