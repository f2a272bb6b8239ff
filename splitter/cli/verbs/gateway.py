"""`splitter gateway`: one door in front of many engines; `splitter gateway key add|list|revoke`."""

from typing import Annotated, Any, Literal

import typer

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", help="Settings (default: gateway.yaml in the settings folder).", metavar="FILE"),
]
DatabaseOption = Annotated[
    str | None, typer.Option("--database", help="Keys and history: a SQLAlchemy URL (default: SQLite).", metavar="URL")
]
PriorityName = Literal["high", "normal", "low"]

app = typer.Typer(
    help="Serve many engines through one OpenAI- and Ollama-style door.",
    epilog="Examples:\n\nsplitter gateway   (in front of this machine's running instances)\n\n"
    "splitter gateway --backend http://192.168.1.20:8080 --backend http://192.168.1.21:5001 --port 8000\n\n"
    "splitter gateway key add laptop --rate 60/min --models qwen2.5-32b --priority low",
    invoke_without_command=True,
)
key = typer.Typer(help="Make, list and revoke the keys of clients.", no_args_is_help=True)
app.add_typer(key, name="key")


@app.callback()
def gateway(
    context: typer.Context,
    backend: Annotated[
        list[str] | None, typer.Option("--backend", help="An engine's URL; may be repeated.", metavar="URL")
    ] = None,
    config: ConfigOption = None,
    host: Annotated[str | None, typer.Option("--host", help="Address to bind (default: loopback).")] = None,
    port: Annotated[int | None, typer.Option("--port", help="Port (default: 8000).", min=1, max=65535)] = None,
    database: DatabaseOption = None,
    shared: Annotated[
        str | None, typer.Option("--shared", help="Redis or Valkey for limits of several gateways.", metavar="URL")
    ] = None,
    haproxy: Annotated[bool, typer.Option("--haproxy", help="Write HAProxy's configuration and start it.")] = False,
) -> None:
    """Serve many engines through one OpenAI- and Ollama-style door. Until Ctrl-C."""
    if context.invoked_subcommand is not None:
        return
    room = _room()
    output = Output("gateway", as_json=False)
    settings = room.settings_of(config, tuple(backend or ()), host=host, port=port, database=database, shared=shared)

    def ready(url: str) -> None:
        output.show(f"gateway at {url} (Ctrl-C stops it)")
        output.show(f"OpenAI: {url}/v1   Ollama: {url}   backends: {url}/health/nodes")

    room.run(settings, output.say, ready, haproxy=haproxy)


@key.command("add", epilog="Example: splitter gateway key add laptop --rate 60/min --models qwen2.5-32b --priority low")
@with_options(OutputOptions)
def add(
    report: OutputOptions,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Whose key it is.")],
    rate: Annotated[str | None, typer.Option("--rate", help="Such as 60/min.", metavar="N/PERIOD")] = None,
    at_once: Annotated[int | None, typer.Option("--at-once", help="Requests at once.", min=1)] = None,
    models: Annotated[
        list[str] | None, typer.Option("--models", help="Models that it may use; with commas or repeated.")
    ] = None,
    priority: Annotated[PriorityName | None, typer.Option("--priority", help="The best that it may ask for.")] = None,
    admin: Annotated[bool, typer.Option("--admin", help="It sees everybody's history and drains nodes.")] = False,
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Make a key. It is shown once; its hash is kept."""
    room = _room()
    output = Output("gateway key", as_json=report.json)
    named = tuple(word.strip() for text in models or () for word in text.split(",") if word.strip()) or None
    token = room.add_key(
        room.settings_of(config, database=database),
        name,
        rate=rate,
        at_once=at_once,
        models=named,
        priority=priority,
        admin=admin,
    )
    output.plain(token)
    output.say(f"the key of {name}, shown this once; clients send it as `Authorization: Bearer KEY`")
    output.data({"name": name, "key": token})


@key.command("list", epilog="Example: splitter gateway key list")
@with_options(OutputOptions)
def list_keys(report: OutputOptions, config: ConfigOption = None, database: DatabaseOption = None) -> None:
    """List the keys, without themselves."""
    from splitter.cli.views.gateway import keys_sheet

    room = _room()
    output = Output("gateway key", as_json=report.json)
    records = room.keys(room.settings_of(config, database=database))
    output.show(keys_sheet(records) if records else "there is no key: `splitter gateway key add NAME`")
    output.data({"keys": [room.key_data(record) for record in records]})


@key.command("revoke", epilog="Example: splitter gateway key revoke laptop")
@with_options(OutputOptions)
def revoke(
    report: OutputOptions,
    name: Annotated[str, typer.Argument(metavar="NAME")],
    config: ConfigOption = None,
    database: DatabaseOption = None,
) -> None:
    """Revoke a key. Running gateways refuse it within 2 seconds."""
    room = _room()
    output = Output("gateway key", as_json=report.json)
    room.revoke_key(room.settings_of(config, database=database), name)
    output.show(f"revoked {name}")
    output.data({"revoked": name})


def _room() -> Any:
    from splitter.cli.extras import extra

    return extra("gateway")
