"""`splitter stop`: ends instances from another terminal and returns when they are really gone."""

from typing import Annotated

import typer

from splitter.app.instances import stop_instances
from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.errors import UsageError

EXAMPLES = """Examples:

splitter stop phoenix

splitter stop --all
"""


@with_options(OutputOptions)
def stop(
    report: OutputOptions,
    names: Annotated[
        list[str] | None, typer.Argument(help="Names, as `splitter ps` shows them.", metavar="NAME...")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Stop every running instance.")] = False,
    timeout: Annotated[
        float, typer.Option("--timeout", help="Seconds they may take before they are killed.", min=0, max=3600)
    ] = 20.0,
) -> None:
    """Stop instances. Returns when their processes are gone and their ports are free."""
    output = Output("stop", as_json=report.json)
    if bool(names) == everything:
        problem = "--all and a name exclude each other" if names else "no instance is named"
        raise UsageError(problem, "splitter stop NAME, or splitter stop --all")
    chosen = stop_instances(None if everything else names, timeout, output)
    for entry in chosen:
        output.show(f"{entry.name} is stopped, port {entry.port} is free")
    if not chosen:
        output.show("no instance is running")
    output.data({"stopped": [entry.name for entry in chosen]})
