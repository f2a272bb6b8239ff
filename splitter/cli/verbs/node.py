"""`splitter node`: other machines whose cards take part: add, list, remove, test."""

from typing import Annotated

import typer

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output

app = typer.Typer(
    help="Keep other machines whose cards take part. ssh reaches them with its own keys and config; "
    "`splitter launch MODEL --nodes NAME` uses them.",
    epilog="Examples:\n\nsplitter node add attic me@attic\n\nsplitter node test attic\n\n"
    "splitter plan MODEL --nodes attic\n\nsplitter node remove attic",
    no_args_is_help=True,
)


@app.command("add")
@with_options(OutputOptions)
def add(
    report: OutputOptions,
    name: Annotated[str, typer.Argument(help="A short name, such as attic.")],
    destination: Annotated[str, typer.Argument(help="[user@]host[:port], or a Host of ~/.ssh/config.")],
    splitter: Annotated[str | None, typer.Option("--splitter", help="Its path there.", metavar="PATH")] = None,
    engine: Annotated[
        str | None, typer.Option("--engine", help="ggml-rpc-server there, without splitter.", metavar="PATH")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="The worker's port there.", min=1, max=65535)] = 50052,
    rig: Annotated[str | None, typer.Option("--rig", help="A rig file of its cards.", metavar="FILE")] = None,
) -> None:
    """Keep a machine under a name. Nothing is asked of it yet: `splitter node test NAME` does that."""
    from splitter.app.nodes import node_data
    from splitter.rig.node_file import SavedNode, add_node

    output = Output("node", as_json=report.json)
    node = SavedNode(name, destination, splitter, engine, port, rig=rig)
    path = add_node(node)
    output.show(f"{name} is kept in {path}; next: splitter node test {name}")
    output.data(node_data(node))


@app.command("list")
@with_options(OutputOptions)
def show(report: OutputOptions) -> None:
    """The saved machines."""
    from splitter.app.nodes import node_data
    from splitter.cli.views.nodes import nodes_view
    from splitter.rig.node_file import load_nodes

    output = Output("node", as_json=report.json)
    nodes = tuple(load_nodes().values())
    output.show(*nodes_view(nodes))
    output.data({"nodes": [node_data(node) for node in nodes]})


@app.command("remove")
@with_options(OutputOptions)
def remove(report: OutputOptions, name: Annotated[str, typer.Argument(help="The machine's name.")]) -> None:
    """Forget a machine."""
    from splitter.rig.node_file import remove_node

    output = Output("node", as_json=report.json)
    remove_node(name)
    output.show(f"{name} is forgotten")
    output.data({"removed": name})


@app.command("test")
@with_options(OutputOptions)
def look(
    report: OutputOptions,
    name: Annotated[str, typer.Argument(help="The machine's name.")],
    engine_path: Annotated[
        str | None, typer.Option("--engine-path", help="llama-server here: its file or folder.", metavar="P")
    ] = None,
) -> None:
    """Look whether a machine can take part: reachable, the same build, cards, network, worker."""
    from splitter.app.nodes import test_node
    from splitter.app.planning import resolve_engine
    from splitter.cli.views.nodes import report_view
    from splitter.engine.engines import DEFAULT

    output = Output("node", as_json=report.json)
    found = resolve_engine(DEFAULT.name, engine_path, None)
    tested = test_node(name, found, output)
    output.show(*report_view(tested))
    failed = next((check for check in tested.checks if check.problem), None)
    errors = [{"code": "node", "message": failed.problem or "", "hint": failed.hint}] if failed else []
    output.data(tested.data(), "error" if failed else "ok", errors)
    if failed:
        raise typer.Exit(4)


@app.command("echo", hidden=True)
def echo() -> None:
    """Give back what comes in: the other end of a measurement."""
    import os
    import sys

    from splitter.app.nodes import echo as give_back

    into = sys.stdout.fileno()
    give_back(lambda size: os.read(sys.stdin.fileno(), size), lambda data: os.write(into, data))
