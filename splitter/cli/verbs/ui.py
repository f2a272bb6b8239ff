"""`splitter ui`: plan, launch, watch and measure in a browser, and the same as an HTTP API."""

from typing import Annotated

import typer

from splitter.cli.output import Output

EXAMPLES = """Examples:

splitter ui   (opens the page in the browser; Ctrl-C ends it, what it launched runs on)

splitter ui ~/models big.gguf myrig.yaml   (folders and files that the page may read as well)

splitter ui --api-only --port 8091 --no-open   (the HTTP API alone)

splitter ui --host 0.0.0.0   (for others in your network, with the API key)
"""


def ui(
    paths: Annotated[
        list[str] | None,
        typer.Argument(metavar="[PATH]...", help="Models, rig files and folders that the page may read as well."),
    ] = None,
    host: Annotated[
        str, typer.Option("--host", help="Address to bind; beyond this machine a key is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", help="Port; 0 takes any free one.", min=0, max=65535)] = 8090,
    api_only: Annotated[bool, typer.Option("--api-only", help="The HTTP API alone, without pages.")] = False,
    api_key_file: Annotated[
        str | None, typer.Option("--api-key-file", help="File with the key.", metavar="FILE")
    ] = None,
    no_open: Annotated[bool, typer.Option("--no-open", help="Do not open the browser.")] = False,
) -> None:
    """See the plan in a browser, launch it, watch it, measure it. The same over HTTP: /api/v1."""
    from splitter.cli.extras import extra

    output = Output("ui", as_json=False)
    room = extra("web")

    def ready(url: str) -> None:
        output.plain(url)
        output.say("only who knows this address gets in; Ctrl-C ends it, what it launched runs on")
        if not no_open and not api_only:
            from splitter.run.browser import open_page

            open_page(url)

    room.serve(room.Ui(host, port, tuple(paths or ()), api_only, api_key_file), ready, output.say)
