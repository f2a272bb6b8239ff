"""`splitter script`: writes the .bat and the .sh of a plan."""

from typing import Annotated

import typer

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

EXAMPLES = """Examples:

splitter script model.gguf -o launchers

splitter script --profile phoenix -o .   (the seed's rig, as a .bat to double-click)
"""


@with_options(RigOptions, EngineOptions, MarginOptions, GoalOptions, FlagOptions, ServerOptions, OutputOptions)
def script(
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    goal: GoalOptions,
    flags: FlagOptions,
    server: ServerOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    folder: Annotated[str, typer.Option("-o", "--output", help="Folder to write to.", metavar="DIR")] = ".",
    name: Annotated[str | None, typer.Option("--name", help="Name of the scripts, without suffix.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite a file that splitter did not write.")] = False,
) -> None:
    """Write the .bat and the .sh that launch the planned engine."""
    from splitter.cli.session import Wishes, findable, resolve, solve
    from splitter.cli.views.plan import model_line, summary_line, verdict
    from splitter.script.render import render
    from splitter.script.write import write_files

    output = Output("script", as_json=report.json)
    planned = findable(solve(resolve(model, Wishes(devices, engine, margin, goal, flags, server), output), output))
    written = write_files(render(planned.plan, planned.command, name=name or goal.profile), folder, force=force)
    output.show(model_line(planned.plan.facts), summary_line(planned.plan), verdict(planned.plan))
    for path in written:
        output.plain(str(path))
    output.data({"files": [str(path) for path in written], "argv": list(planned.command.argv)})
