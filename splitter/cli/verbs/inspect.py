"""`splitter inspect`: what a model's header says."""

from typing import Annotated

import typer

from splitter.app.answers import inspect_data
from splitter.app.planning import read_model
from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.inspect import inspect_view
from splitter.model.locate import locate

EXAMPLES = """Examples:

splitter inspect model.gguf

splitter inspect hf:OWNER/REPO/FILE.gguf --json   (the header is read by range requests, nothing is downloaded)
"""


@with_options(OutputOptions)
def inspect(
    report: OutputOptions,
    model: Annotated[str, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")],
) -> None:
    """Show what a model's header says. Architecture, sizes per layer, KV per token, quantisation."""
    output = Output("inspect", as_json=report.json)
    facts = read_model(locate(model), output)
    output.show(*inspect_view(facts))
    output.data(inspect_data(facts))
