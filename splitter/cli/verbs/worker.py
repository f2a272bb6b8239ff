"""`splitter worker`: offers this machine's cards to an engine on another machine."""

from typing import Annotated

import typer

from splitter.cli.output import Output

EXAMPLES = """Examples:

splitter worker   (all cards, port 50052, this machine alone can reach it)

splitter worker --cards CUDA0,CUDA1 --port 50053

From the other machine: `splitter node add attic me@attic`; then `splitter launch MODEL --nodes attic` starts it.
"""


def worker(
    cards: Annotated[
        str | None, typer.Option("--cards", help="The cards to offer, as the engine names them.", metavar="ID,ID")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="The port on loopback.", min=1, max=65535)] = 50052,
    host: Annotated[str, typer.Option("--host", help="Loopback alone is allowed.")] = "127.0.0.1",
    engine_path: Annotated[
        str | None, typer.Option("--engine-path", help="llama-server's file or folder.", metavar="P")
    ] = None,
    while_asked: Annotated[
        float | None, typer.Option("--while-asked", help="End after so many seconds without a line of input.", min=1)
    ] = None,
) -> None:
    """Offer this machine's cards to an engine on another one. Until Ctrl-C; on loopback, to be reached through ssh."""
    from splitter.app.working import WorkerWishes, serve_worker

    chosen = tuple(part.strip() for part in (cards or "").split(",") if part.strip())
    serve_worker(WorkerWishes(chosen, port, host, engine_path, while_asked), Output("worker", as_json=False))
