"""The typer application: one module per verb under cli/verbs, imported only when that verb runs."""

from typing import Annotated

import typer

from splitter import __version__
from splitter.cli.verbs import bench, check, demo, doctor, inspect, launch, models, plan, profile, rig, script

HELP = """The biggest local GGUF model, fast, on mismatched GPUs.

splitter reads the model's header and the rig, solves where every layer goes, proves it, writes or runs the engine's
command, and measures tokens per second.
"""
EPILOG = "Start with `splitter demo`, then `splitter plan MODEL.gguf`. On one of somebody else's: `--rig phoenix`."

app = typer.Typer(
    help=HELP, epilog=EPILOG, no_args_is_help=True, rich_markup_mode="markdown", pretty_exceptions_enable=False
)


def _print_version(value: bool) -> None:
    if value:
        typer.echo(f"splitter {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """The options that stand before a verb."""


PASS_THROUGH = {"allow_extra_args": True, "ignore_unknown_options": True}

app.command("rig", epilog=rig.EXAMPLES)(rig.rig)
app.command("models", epilog=models.EXAMPLES)(models.models)
app.command("inspect", epilog=inspect.EXAMPLES)(inspect.inspect)
app.command("plan", epilog=plan.EXAMPLES)(plan.plan)
app.command("check", epilog=check.EXAMPLES, context_settings=PASS_THROUGH)(check.check)
app.command("script", epilog=script.EXAMPLES)(script.script)
app.command("launch", epilog=launch.EXAMPLES)(launch.launch)
app.command("bench", epilog=bench.EXAMPLES)(bench.bench)
app.command("doctor", epilog=doctor.EXAMPLES)(doctor.doctor)
app.command("demo", epilog=demo.EXAMPLES)(demo.demo)
app.add_typer(profile.app, name="profile")
