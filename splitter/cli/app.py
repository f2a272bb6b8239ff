"""The typer application: one module per verb under cli/verbs, imported only when that verb runs."""

import sys
from shutil import get_terminal_size
from typing import Annotated, Literal

import typer

from splitter import __version__
from splitter.cli.verbs import (
    bench,
    bench_records,
    bench_report,
    calibrate,
    check,
    config,
    demo,
    doctor,
    engine,
    inspect,
    launch,
    logs,
    models,
    plan,
    profile,
    ps,
    pull,
    rig,
    script,
    stop,
    tune,
)

HELP = """The biggest local GGUF model, fast, on mismatched GPUs.

splitter reads the model's header and the rig, solves where every layer goes, proves it, writes or runs the engine's
command, and measures tokens per second.
"""
EPILOG = "Start with `splitter demo`, then `splitter plan MODEL.gguf`. For somebody else's cards: `--rig phoenix`."

BOXES_FIT = 92  # columns; in fewer, boxes would cut the names of flags
MARKUP: Literal["markdown"] | None = "markdown" if get_terminal_size().columns >= BOXES_FIT else None

app = typer.Typer(
    help=HELP, epilog=EPILOG, invoke_without_command=True, rich_markup_mode=MARKUP, pretty_exceptions_enable=False
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"splitter {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    version: Annotated[  # noqa: ARG001  handled by its callback
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options that stand before a verb; without a verb a guided run on a terminal, else the help."""
    if context.invoked_subcommand is None:
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            typer.echo(context.get_help())
            return
        from splitter.cli.main import run
        from splitter.cli.verbs.guide import guide

        guide(run)


PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command("rig", epilog=rig.EXAMPLES)(rig.rig)
app.command("models", epilog=models.EXAMPLES)(models.models)
app.command("inspect", epilog=inspect.EXAMPLES)(inspect.inspect)
app.command("pull", epilog=pull.EXAMPLES)(pull.pull)
app.command("plan", epilog=plan.EXAMPLES)(plan.plan)
app.command("check", epilog=check.EXAMPLES, context_settings=PASS_THROUGH)(check.check)
app.command("script", epilog=script.EXAMPLES)(script.script)
app.command("launch", epilog=launch.EXAMPLES)(launch.launch)
app.command("calibrate", epilog=calibrate.EXAMPLES)(calibrate.calibrate)
app.command("tune", epilog=tune.EXAMPLES)(tune.tune)
app.command("ps", epilog=ps.EXAMPLES)(ps.ps)
app.command("logs", epilog=logs.EXAMPLES)(logs.logs)
app.command("stop", epilog=stop.EXAMPLES)(stop.stop)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.command("config", epilog=config.EXAMPLES)(config.config)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
bench_records.add_to(bench.app)
bench_report.add_to(bench.app)
app.add_typer(bench.app, name="bench")
app.add_typer(profile.app, name="profile")
app.add_typer(engine.app, name="engine")
