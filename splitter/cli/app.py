"""The typer application: one module per verb under cli/verbs, imported when that verb is called and not before."""

import sys
from importlib import import_module
from shutil import get_terminal_size
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperCommand, TyperGroup

from splitter import __version__

HELP = """The biggest local GGUF model, fast, on mismatched GPUs.

splitter reads the model's header and the rig, solves where every layer goes, proves it, writes or runs the engine's
command, and measures tokens per second.
"""
EPILOG = "Start with `splitter demo`, then `splitter plan MODEL.gguf`. For somebody else's cards: `--rig phoenix`."

BOXES_FIT = 92  # columns; in fewer, boxes would cut the names of flags
MARKUP: Literal["markdown"] | None = "markdown" if get_terminal_size().columns >= BOXES_FIT else None

# What `splitter --help` says of each verb: the first sentence of its own help.
VERBS = {
    "rig": "Show the devices as the engine will see them.",
    "models": "List the models found on this computer.",
    "inspect": "Show what a model's header says.",
    "pull": "Fetch a model.",
    "plan": "Work out which layer goes where.",
    "check": "Check flags, a command line, a script or a log.",
    "script": "Write the .bat and the .sh that start the planned engine.",
    "launch": "Plan, start the engine, and watch it.",
    "calibrate": "Measure each card.",
    "tune": "Measure small changes of the plan and keep the fastest.",
    "ui": "See the plan in a browser, launch it, watch it, measure it.",
    "ps": "List the running instances.",
    "logs": "Show the log of an instance that runs or has ended.",
    "stop": "Stop instances.",
    "doctor": "Look for what is wrong on this machine.",
    "config": "Show every setting that is in force, and where it comes from.",
    "demo": "Show everything once, on any machine.",
    "bench": "Measure tokens per second, and look at what was measured.",
    "profile": "Keep settings as profiles.",
    "node": "Keep other machines whose cards take part.",
    "worker": "Offer this machine's cards to an engine on another one.",
    "gateway": "Serve many engines through one OpenAI- and Ollama-style door.",
    "engine": "Install llama-server and koboldcpp from their releases.",
}


class Uncalled(TyperCommand):
    """A verb that has not been called: a name and a sentence. Its module is imported when it is."""

    def make_context(self, info_name: Any, args: Any, parent: Any = None, **extra: Any) -> Any:
        """The verb's own command reads the words, and is what runs."""
        return command_of(str(self.name)).make_context(info_name, args, parent, **extra)


class VerbGroup(TyperGroup):
    """The verbs of VERBS."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = {
            name: Uncalled(name, callback=lambda: None, help=text, rich_markup_mode=MARKUP)
            for name, text in VERBS.items()
        }


def command_of(name: str) -> Any:
    """The command of a verb, its module imported. A module with an `app` holds several commands."""
    module = import_module(f"splitter.cli.verbs.{name}")
    parent = typer.Typer(rich_markup_mode=MARKUP, pretty_exceptions_enable=False, add_completion=False)
    if hasattr(module, "app"):
        parent.add_typer(module.app, name=name)
    else:
        words = getattr(module, "WORDS", None)
        parent.command(name, epilog=module.EXAMPLES, context_settings=words)(getattr(module, name))
        parent.callback()(lambda: None)
    group: Any = typer.main.get_command(parent)
    return group.commands[name]


app = typer.Typer(
    cls=VerbGroup,
    help=HELP,
    epilog=EPILOG,
    invoke_without_command=True,
    rich_markup_mode=MARKUP,
    pretty_exceptions_enable=False,
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
