"""`splitter launch`: plans, proves where it can, starts the engine, stays with it, stops it."""

import time
from contextlib import suppress
from dataclasses import replace
from typing import Annotated, Any, Literal

import typer

from splitter.app.background import background, launch_in_background
from splitter.app.joining import Entrance, entrance, joined, membership
from splitter.app.launching import LaunchPlace, started
from splitter.app.planning import Planned, plan_launch
from splitter.cli.flags import wishes_of
from splitter.cli.launch_watch import watching
from splitter.cli.options import FlagOptions, OutputOptions, PlanOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.live import goodbye
from splitter.cli.views.plan import plan_view
from splitter.cli.views.ps import detached_view
from splitter.engine.supervision import Supervision
from splitter.errors import EngineError
from splitter.run.browser import open_page as open_in_browser
from splitter.run.entry import entry_data
from splitter.run.metrics_address import metrics_address

EXAMPLES = """Examples:

splitter launch model.gguf

splitter launch --profile phoenix --detach   (then: splitter ps, splitter logs phoenix -f, splitter stop phoenix)

splitter launch model.gguf --engine embedded --port 8081   (no GPU, no engine needed)
"""

RestartName = Literal["never", "on-failure", "always"]


@with_options(PlanOptions, FlagOptions, OutputOptions)
def launch(
    context: typer.Context,
    asked: PlanOptions,
    flags: FlagOptions,
    report: OutputOptions,
    model: Annotated[str | None, typer.Argument(help="GGUF file, hf:OWNER/REPO[/FILE], or URL.")] = None,
    start_timeout: Annotated[
        float | None, typer.Option("--start-timeout", help="Seconds the engine may take to load (default: 600).", min=1)
    ] = None,
    restart: Annotated[
        RestartName | None,
        typer.Option("--restart", help="When to restart an engine that ended (default: on-failure)."),
    ] = None,
    max_restarts: Annotated[
        int | None,
        typer.Option("--max-restarts", help="Give up after this many restarts in a row (default: 5).", min=0),
    ] = None,
    log_file: Annotated[
        str | None, typer.Option("--log-file", help="Write the engine's log here.", metavar="FILE")
    ] = None,
    name: Annotated[str | None, typer.Option("--name", help="Its name for ps, logs and stop.")] = None,
    detach: Annotated[bool, typer.Option("--detach", help="Return when it is ready; it keeps running.")] = False,
    metrics: Annotated[
        str | None,
        typer.Option("--metrics", help="Serve Prometheus metrics on this port.", metavar="[HOST:]PORT"),
    ] = None,
    open_page: Annotated[
        bool, typer.Option("--open", help="Open the chat page in the browser when it is ready.")
    ] = False,
    join: Annotated[
        str | None, typer.Option("--join", help="Enter this gateway while the engine runs.", metavar="URL")
    ] = None,
    join_key_file: Annotated[
        str | None, typer.Option("--join-key-file", help="File with the gateway's join key.", metavar="FILE")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show neither the engine's log nor the live view.")] = False,
) -> None:
    """Plan, start the engine, and watch it. Until Ctrl-C or the engine's end."""
    supervises, wishes = background(), wishes_of(model, asked, flags)
    in_front = supervises is None
    output = Output("launch", as_json=report.json and in_front, save=asked.save if in_front else None)
    enters = entrance(join, join_key_file) if join is not None else None
    if detach and in_front:
        url = _in_background(context.obj, output)
        if open_page:
            _open(url, output)
        return
    if metrics is not None:
        metrics_address(metrics)  # a wrong one is refused before anything is read
    opens = open_page and in_front
    place = LaunchPlace(wishes, name, log_file, time.time(), supervises)
    planned = plan_launch(wishes, output)
    output.show(*plan_view(planned.plan))
    said: dict[str, Any] = {"ready_timeout_s": start_timeout, "restart": restart, "max_restarts": max_restarts}
    kept = replace(planned.task.supervision, **{key: value for key, value in said.items() if value is not None})
    code = _supervise(planned, place, kept, metrics, output, opens=opens, quiet=quiet or not in_front, enters=enters)
    output.say(f"the engine ended with exit code {code}")
    if code:
        raise typer.Exit(EngineError.exit_code)


def _supervise(
    planned: Planned,
    place: LaunchPlace,
    supervision: Supervision,
    metrics: str | None,
    output: Output,
    *,
    opens: bool,
    quiet: bool,
    enters: Entrance | None,
) -> int | None:
    """Starts the engine in its place, shows it, and stays until its end: its exit code."""
    seen, ready_at = None, None
    try:
        with (
            watching(output, planned, quiet=quiet, metrics=metrics) as seen,
            started(
                planned, place, supervision, output, show=seen.on_log, watchers=seen.watchers, told=(seen.expect,)
            ) as running,
        ):
            with output.step("loading the model"):
                running.instance.wait_ready()
            ready_at = time.time()
            output.show("", f"ready at {running.instance.url} (Ctrl-C stops the engine)")
            output.show(f"chat there in a browser; programs use {running.instance.url}/v1")
            output.data(running.data())
            if opens:
                _open(running.instance.url, output)
            with seen.live(), joined(enters, lambda: membership(running), output):
                return running.instance.wait()
    except KeyboardInterrupt:
        if seen is not None and ready_at is not None:
            with suppress(OSError):  # the terminal may be what ended
                output.say(goodbye(planned.command.server.port, time.time() - ready_at, seen.totals()))
        raise


def _open(url: str, output: Output) -> None:
    if not open_in_browser(url):
        output.say(f"no browser could be opened: open {url} yourself")


def _in_background(arguments: list[str], output: Output) -> str:
    entry, words = launch_in_background(arguments, output.out.width, output)
    output.plain(words.rstrip())
    output.show(*detached_view(entry))
    output.data(entry_data(entry))
    return entry.url
