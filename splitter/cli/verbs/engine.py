"""`splitter engine`: llama-server and koboldcpp from their releases: list, install, update, remove, use."""

from dataclasses import asdict
from typing import Annotated, Literal

import typer

from splitter.app.engines import EngineInstall, choose_engine, install_engine, update_engines, use_engine
from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output
from splitter.cli.views.sheet import Row, Sheet, words
from splitter.engine.installed import installed
from splitter.engine.installed import remove as take_away

Kind = Literal["llama-server", "koboldcpp"]
BuildOption = Literal["cuda", "cuda-12", "cuda-13", "vulkan", "rocm", "sycl", "metal", "cpu"]
KIND = Annotated[Kind, typer.Argument(help="Which engine.")]

app = typer.Typer(
    no_args_is_help=True,
    help="Install llama-server and koboldcpp from their releases. The file that fits this machine, verified.",
    epilog="Examples:\n\nsplitter engine install   (llama-server for this machine)\n\n"
    "splitter engine install koboldcpp\n\nsplitter engine install llama-server --version b11434 --backend vulkan\n\n"
    "splitter engine update",
)


@app.command("list")
@with_options(OutputOptions)
def list_engines(report: OutputOptions) -> None:
    """The installed engines; the one that is in use is marked."""
    output = Output("engine", as_json=report.json)
    found = installed()
    if found:
        rows = tuple(Row((e.kind, e.tag, e.backend, "in use" if e.in_use else "", e.path)) for e in found)
        output.show(Sheet(words("engine", "version", "backend", "", "program"), rows))
    else:
        output.show("no engine was installed by splitter: `splitter engine install llama-server`")
    output.data({"engines": [asdict(engine) for engine in found]})


@app.command("install")
@with_options(OutputOptions)
def install(
    report: OutputOptions,
    kind: KIND = "llama-server",
    version: Annotated[str | None, typer.Option("--version", help="A release's tag.", metavar="TAG")] = None,
    backend: Annotated[
        BuildOption | None, typer.Option("--backend", help="Use this backend, not the one that fits best.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be installed, and why.")] = False,
) -> None:
    """Install the release that fits this machine. System, cards and driver decide; it is in use from then on."""
    output = Output("engine", as_json=report.json)
    if dry_run:
        choice, tag = choose_engine(kind, version, backend, output)
        names = [asset.name for asset in choice.assets]
        output.show(f"{kind} {tag}: {' and '.join(names)}", choice.reason)
        output.data({"kind": kind, "tag": tag, "backend": choice.backend, "files": names, "reason": choice.reason})
        return
    _show(output, (install_engine(kind, version, backend, output),))


@app.command("update")
@with_options(OutputOptions)
def update(
    report: OutputOptions, kind: Annotated[Kind | None, typer.Argument(help="Only this engine.")] = None
) -> None:
    """Install the latest release of what is installed. Older ones stay until they are removed."""
    output = Output("engine", as_json=report.json)
    _show(output, update_engines(kind, output))


@app.command("use")
@with_options(OutputOptions)
def use(report: OutputOptions, kind: KIND, version: Annotated[str, typer.Argument(help="TAG or TAG+BACKEND.")]) -> None:
    """Take another installed version into use."""
    output = Output("engine", as_json=report.json)
    engine = use_engine(kind, version)
    output.show(f"{engine.kind} {engine.tag} ({engine.backend}) is in use: {engine.path}")
    output.data({"engines": [asdict(each) for each in installed(kind)]})


@app.command("remove")
@with_options(OutputOptions)
def remove(
    report: OutputOptions, kind: KIND, version: Annotated[str, typer.Argument(help="TAG or TAG+BACKEND.")]
) -> None:
    """Remove an installed version."""
    output = Output("engine", as_json=report.json)
    gone = take_away(kind, version)
    for engine in gone:
        output.show(f"removed {engine.kind} {engine.tag} ({engine.backend})")
    output.data({"removed": [asdict(engine) for engine in gone]})


def _show(output: Output, made: tuple[EngineInstall, ...]) -> None:
    for one in made:
        engine = one.engine
        done = "was installed already" if one.was_here else "is installed"
        output.show(f"{engine.kind} {engine.tag} ({engine.backend}) {done} and in use: {engine.path}")
    data = [{**asdict(one.engine), "reason": one.choice.reason, "was_here": one.was_here} for one in made]
    output.data({"engines": data})
