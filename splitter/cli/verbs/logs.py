"""`splitter logs`: what an instance's engine wrote: while it runs, or after it has ended."""

from typing import Annotated

import typer

from splitter.app.instances import log_lines
from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.errors import UsageError
from splitter.run.log_reader import follow as new_lines
from splitter.run.registry import Registry, while_running

EXAMPLES = """Examples:

splitter logs   (the only instance that runs, or the last one that did)

splitter logs phoenix -f

splitter logs phoenix -n 500
"""
LOOK_S = 0.2


@with_options(OutputOptions)
def logs(
    report: OutputOptions,
    name: Annotated[str | None, typer.Argument(help="The instance, as `splitter ps` shows it.")] = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Follow the log until the instance ends.")] = False,
    count: Annotated[int, typer.Option("-n", "--lines", help="Show this many of the last lines.", min=0)] = 100,
) -> None:
    """Show the log of an instance that runs or has ended."""
    if follow and report.json:
        raise UsageError("-f cannot be combined with --json", "give one of them")
    output = Output("logs", as_json=report.json)
    called, path, entry, lines, mark = log_lines(name, count)
    for line in lines:
        output.plain(line)
    if follow and entry is not None:
        for line in new_lines(path, mark, while_running(Registry(), entry.id, LOOK_S)):
            output.plain(line)
        output.say(f"{called} has ended")
    output.data({"name": called, "log_file": str(path), "running": entry is not None, "lines": lines})
