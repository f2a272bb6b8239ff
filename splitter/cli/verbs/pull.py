"""`splitter pull`: fetches a model, of several quantisations the one that this rig runs best."""

import sys
from typing import Annotated

import typer

from splitter.app.pulling import pull as pull_model
from splitter.cli.flags import wishes_of
from splitter.cli.options import FlagOptions, MachineOptions, OutputOptions, with_options
from splitter.cli.output import Output
from splitter.engine.quoting import posix_argument, windows_argument

EXAMPLES = """Examples:

splitter pull hf:OWNER/REPO   (of several quantisations the one that this rig runs best, said why)

splitter pull hf:OWNER/REPO/FILE.gguf

splitter pull hf:OWNER/REPO --to lm-studio

splitter pull OWNER/REPO --gpus "3060,1070" -c 16384
"""


@with_options(MachineOptions, FlagOptions, OutputOptions)
def pull(
    asked: MachineOptions,
    flags: FlagOptions,
    report: OutputOptions,
    model: Annotated[str, typer.Argument(help="hf:OWNER/REPO[/FILE].")],
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            help="Also where this program looks for models, or in this folder (default: the Hugging Face cache alone,"
            " which llama.cpp reads).",
            metavar="lm-studio|llama.cpp|koboldcpp|FOLDER",
        ),
    ] = None,
) -> None:
    """Fetch a model. Of a repository's quantisations the one that this rig runs best."""
    output = Output("pull", as_json=report.json)
    pulled = pull_model(wishes_of(model, asked, flags), output, to)
    output.plain(pulled.path)
    argument = windows_argument if sys.platform == "win32" else posix_argument
    output.say(f"next: splitter launch {argument(pulled.reference)}")
    output.data(pulled.data())
