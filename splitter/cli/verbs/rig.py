"""`splitter rig`: the devices as the engine will see them."""

from typing import Annotated

import typer

from splitter.app.wire import error_item
from splitter.cli.options import EngineOptions, MarginOptions, OutputOptions, RigOptions, with_options
from splitter.cli.output import Output

EXAMPLES = """Examples:

splitter rig   (this host)

splitter rig --gpus "1050ti,2080,1060-6gb" --save myrig.yaml

splitter rig --rig phoenix --json
"""


@with_options(RigOptions, EngineOptions, OutputOptions)
def rig(
    devices: RigOptions,
    engine: EngineOptions,
    report: OutputOptions,
    save: Annotated[str | None, typer.Option("--save", help="Write a rig file.", metavar="FILE")] = None,
) -> None:
    """Show the devices as the engine will see them, and where each value comes from."""
    from splitter.app.planning import no_device, resolve_engine, rig_of, save_text
    from splitter.app.wire import rig_data
    from splitter.cli.flags import wishes_of
    from splitter.cli.views.rig import rig_view
    from splitter.engine.engines import DEFAULT, ENGINES
    from splitter.rig.files import dump_rig

    output = Output("rig", as_json=report.json)
    with output.step("looking at the devices"):
        chosen = resolve_engine(engine.engine or DEFAULT.name, engine.engine_path, engine.engine_version)
        found = rig_of(wishes_of(None, devices, engine, MarginOptions()), chosen, needed=False)
    if save:
        save_text(save, dump_rig(found))
        output.say(f"wrote {save}")
    output.show(*rig_view(found))
    if found.devices or ENGINES[chosen.kind].cpu_only:
        output.data(rig_data(found))
        return
    missing = no_device(found)
    output.data(rig_data(found), "error", [error_item(missing)])
    output.say(f"no usable device: {missing.hint}")
    raise typer.Exit(missing.exit_code)
