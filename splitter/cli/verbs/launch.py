"""`splitter launch`: plans, proves where it can, starts the engine, stays with it, stops it."""

from pathlib import Path
from typing import Annotated, Any, Literal

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

splitter launch model.gguf

splitter launch --profile phoenix

splitter launch model.gguf --engine embedded --port 8081   (no GPU, no engine needed)
"""

RestartName = Literal["never", "on-failure", "always"]


@with_options(RigOptions, EngineOptions, MarginOptions, GoalOptions, FlagOptions, ServerOptions, OutputOptions)
def launch(
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    goal: GoalOptions,
    flags: FlagOptions,
    server: ServerOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    start_timeout: Annotated[
        float | None, typer.Option("--start-timeout", help="Seconds the engine may take to load (600).", min=1)
    ] = None,
    restart: Annotated[
        RestartName | None, typer.Option("--restart", help="When an ended engine is started again (on-failure).")
    ] = None,
    max_restarts: Annotated[
        int | None, typer.Option("--max-restarts", help="Give up after this many restarts in a row (5).", min=0)
    ] = None,
    log_file: Annotated[
        str | None, typer.Option("--log-file", help="Also write the engine's log here.", metavar="FILE")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Do not show the engine's log.")] = False,
) -> None:
    """Plan, verify, start the engine and stay with it until Ctrl-C or its end."""
    from splitter.cli.launch_steps import Announcer, Replanner, limits_of
    from splitter.cli.session import Wishes, prove_if_possible, resolve, solve
    from splitter.cli.views.plan import plan_view
    from splitter.run.supervisor import launch as start

    output = Output("launch", as_json=report.json)
    task = resolve(model, Wishes(devices, engine, margin, goal, flags, server), output, local=True)
    planned = prove_if_possible(solve(task, output), output)
    output.show(*plan_view(planned.plan, output.out.width))
    said = {"ready_timeout_s": start_timeout, "restart": restart, "max_restarts": max_restarts}
    limits = limits_of(task.supervision, said)
    replanner = Replanner(planned, output)
    with start(
        planned.command,
        on_log=None if quiet or report.json else output.say,
        log_file=Path(log_file) if log_file else None,
        limits=limits,
        watchers=(Announcer(output, limits),),
        replan=replanner,
    ) as instance:
        with output.progress("loading the model"):
            instance.wait_ready()
        output.show("", f"ready at {instance.url} (Ctrl-C stops the engine)")
        output.data(_ready_data(instance, replanner.planned))
        code = instance.wait()
    output.say(f"the engine ended with exit code {code}")
    if code:
        raise typer.Exit(4)


def _ready_data(instance: Any, planned: Any) -> dict[str, Any]:
    from splitter.cli.json_data import command_data, plan_data
    from splitter.engine.rendering import command_line

    command = command_data(planned.command, command_line(planned.command, planned.plan.rig.host.os))
    return {
        "url": instance.url,
        "pid": instance.pid,
        "ready_s": instance.ready_s,
        "plan": plan_data(planned.plan, planned.task.engine, command),
    }
