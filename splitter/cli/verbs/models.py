"""`splitter models`: the models in the usual caches, and which of them fit this rig."""

from typing import Annotated

import typer

from splitter.app.answers import models_data
from splitter.app.listing import list_models
from splitter.cli.flags import wishes_of
from splitter.cli.options import MachineOptions, OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.models import models_view

EXAMPLES = """Examples:

splitter models   (llama.cpp, Hugging Face, LM Studio, Ollama, koboldcpp, the current folder)

splitter models qwen --gpus "1050ti,2080,1060-6gb"

splitter models --rig phoenix --json
"""


@with_options(MachineOptions, OutputOptions)
def models(
    asked: MachineOptions,
    report: OutputOptions,
    wanted: Annotated[str, typer.Argument(metavar="[TEXT]", help="Only models whose name contains this.")] = "",
) -> None:
    """List the models found on this computer. Size, quantisation, whether they fit, how fast they would be."""
    output = Output("models", as_json=report.json)
    listing = list_models(wanted, wishes_of(None, asked), output)
    output.show(*models_view(listing.models, listing.rig))
    for note in listing.notes:
        output.say(f"note: {note}")
    output.data(models_data(listing.models, listing.rig, listing.notes))
