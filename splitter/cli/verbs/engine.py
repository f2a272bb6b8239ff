"""`splitter engine`: llama-server and koboldcpp from their releases: list, install, update, remove, use."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from splitter.cli.options import OutputOptions, with_options
from splitter.cli.output import Output

if TYPE_CHECKING:
    from splitter.app.engines import EngineInstall
    from splitter.engine.installed import Installed

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
    from splitter.cli.views.sheet import Row, Sheet, words
    from splitter.engine.installed import installed

    output = Output("engine list", as_json=report.json)
    found = installed()
    if found:
        rows = tuple(Row((e.kind, e.tag, e.backend, "in use" if e.in_use else "", e.path)) for e in found)
        output.show(Sheet(words("engine", "version", "backend", "", "program"), rows))
    else:
        output.show("no engine was installed by splitter: `splitter engine install llama-server`")
    output.data({"engines": [_data(engine) for engine in found]})


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
    from splitter.app.engines import choose_engine, install_engine

    output = Output("engine install", as_json=report.json)
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
    from splitter.app.engines import update_engines

    output = Output("engine update", as_json=report.json)
    _show(output, update_engines(kind, output))


@app.command("use")
@with_options(OutputOptions)
def use(report: OutputOptions, kind: KIND, version: Annotated[str, typer.Argument(help="TAG or TAG+BACKEND.")]) -> None:
    """Take another installed version into use."""
    from splitter.engine.installed import installed
    from splitter.engine.installed import use as take
    from splitter.errors import EngineNotFoundError

    output = Output("engine use", as_json=report.json)
    found = [e for e in installed(kind) if version in {e.tag, f"{e.tag}+{e.backend}"}]
    if not found:
        raise EngineNotFoundError(
            f"no {kind} {version} is installed", f"`splitter engine install {kind} --version {version}`"
        )
    take(kind, f"{found[0].tag}+{found[0].backend}")
    output.show(f"{kind} {found[0].tag} ({found[0].backend}) is in use: {found[0].path}")
    output.data({"engines": [_data(engine) for engine in installed(kind)]})


@app.command("remove")
@with_options(OutputOptions)
def remove(
    report: OutputOptions, kind: KIND, version: Annotated[str, typer.Argument(help="TAG or TAG+BACKEND.")]
) -> None:
    """Remove an installed version."""
    from splitter.engine.installed import remove as take_away

    output = Output("engine remove", as_json=report.json)
    gone = take_away(kind, version)
    for engine in gone:
        output.show(f"removed {engine.kind} {engine.tag} ({engine.backend})")
    output.data({"removed": [_data(engine) for engine in gone]})


def _show(output: Output, made: "tuple[EngineInstall, ...]") -> None:
    for one in made:
        engine = one.engine
        done = "was installed already" if one.was_here else "is installed"
        output.show(f"{engine.kind} {engine.tag} ({engine.backend}) {done} and in use: {engine.path}")
    data = [{**_data(one.engine), "reason": one.choice.reason, "was_here": one.was_here} for one in made]
    output.data({"engines": data})


def _data(engine: "Installed") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(engine)
