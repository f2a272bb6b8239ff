"""`splitter models`: the models in the usual caches, and which of them fit this rig."""

from typing import Annotated

import typer

from splitter.cli.options import EngineOptions, MarginOptions, OutputOptions, RigOptions, with_options
from splitter.cli.output import Output

EXAMPLES = """Examples:

splitter models   (llama.cpp, Hugging Face, LM Studio, Ollama, koboldcpp, the current folder)

splitter models qwen --gpus "1050ti,2080,1060-6gb"

splitter models --rig phoenix --json
"""


@with_options(RigOptions, EngineOptions, MarginOptions, OutputOptions)
def models(
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    report: OutputOptions,
    wanted: Annotated[str, typer.Argument(metavar="[TEXT]", help="Only models whose name holds this.")] = "",
) -> None:
    """List the models found on this computer: size, quantisation, whether they fit, how fast they would be."""
    from splitter.app.listing import listed_models, rig_or_none
    from splitter.app.planning import margin_bytes, resolve_engine
    from splitter.cli.flags import wishes_of
    from splitter.cli.views.models import models_data, models_view
    from splitter.engine.engines import DEFAULT, rules_of
    from splitter.model.found import find_models
    from splitter.plan.request import Request

    output = Output("models", as_json=report.json)
    wishes = wishes_of(None, devices, engine, margin)
    with output.step("looking into the caches"):
        found = find_models()
    named = tuple(model for model in found.models if wanted.lower() in model.name.lower())
    chosen = resolve_engine(engine.engine or DEFAULT.name, engine.engine_path, engine.engine_version)
    rig = rig_or_none(wishes, chosen, output)
    request = Request(margin_bytes=margin_bytes(wishes), engine=rules_of(chosen.kind, chosen.version))
    listed = tuple(listed_models(named, rig, request, output))
    output.show(*models_view(listed, rig))
    for note in found.notes:
        output.say(f"note: {note}")
    output.data(models_data(listed, rig, found.notes))
