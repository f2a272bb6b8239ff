"""Command-line options as frozen values: one dataclass per group, expanded into a verb's parameters.

Typer reads a function's signature, so `with_options` gives a verb one parameter per field of the groups it takes and
hands the verb the groups back as values. A flag that exists in llama.cpp keeps llama.cpp's name.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from splitter.engine.engines import DEFAULT, NAMES

RIG_PANEL = "Rig and engine"
FLAG_PANEL = "llama.cpp flags (obeyed or refused, never repaired)"
GOAL_PANEL = "Goal"

if TYPE_CHECKING:
    EngineName = str
else:
    EngineName = Literal[NAMES]  # the choices of --engine
GoalName = Literal["speed", "context", "balanced"]
OnOffAuto = Literal["on", "off", "auto"]
SplitModeName = Literal["none", "layer", "tensor"]


def rig_option(*names: str, text: str, metavar: str | None = None) -> Any:
    return typer.Option(*names, help=text, metavar=metavar, rich_help_panel=RIG_PANEL)


def flag_option(*names: str, text: str, metavar: str | None = None, minimum: int | None = None) -> Any:
    return typer.Option(*names, help=text, metavar=metavar, min=minimum, rich_help_panel=FLAG_PANEL)


@dataclass(frozen=True, slots=True)
class OutputOptions:
    """How a verb reports."""

    json: Annotated[bool, typer.Option("--json", help="One JSON object on standard output, nothing else.")] = False


@dataclass(frozen=True, slots=True)
class RigOptions:
    """Which devices to plan for; without any of them the host's own."""

    rig: Annotated[
        str | None, rig_option("--rig", text="A rig file, or a shipped rig's name.", metavar="FILE|NAME")
    ] = None
    gpus: Annotated[
        str | None, rig_option("--gpus", text='Cards by name, e.g. "1050ti,2080,1060-6gb".', metavar="LIST")
    ] = None


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """Which engine to plan for."""

    engine: Annotated[EngineName | None, rig_option("--engine", text=f"The engine (default: {DEFAULT.name}).")] = None
    engine_path: Annotated[
        str | None, rig_option("--engine-path", text="The engine's file, or its folder.", metavar="P")
    ] = None
    engine_version: Annotated[
        str | None, rig_option("--engine-version", text="Plan for this version of an absent engine.", metavar="V")
    ] = None


@dataclass(frozen=True, slots=True)
class MarginOptions:
    """Free memory kept per device."""

    margin: Annotated[
        str | None,
        rig_option("--margin", text="Free memory kept per device, in rig order.", metavar="MIB[,MIB...]"),
    ] = None


@dataclass(frozen=True, slots=True)
class GoalOptions:
    """What the solver is to prefer, and where the plan comes from or goes to."""

    goal: Annotated[
        GoalName | None, typer.Option("--goal", help="What to prefer (default: speed).", rich_help_panel=GOAL_PANEL)
    ] = None
    profile: Annotated[
        str | None,
        typer.Option("--profile", "-p", help="A profile's name or file.", metavar="P", rich_help_panel=GOAL_PANEL),
    ] = None
    save: Annotated[
        str | None,
        typer.Option("--save", help="Also write the JSON to this file.", metavar="FILE", rich_help_panel=GOAL_PANEL),
    ] = None


@dataclass(frozen=True, slots=True)
class FlagOptions:
    """The settings that a user may fix."""

    ctx_size: Annotated[
        str | None, flag_option("-c", "--ctx-size", text="Context in tokens, or `max`.", metavar="N|max")
    ] = None
    gpu_layers: Annotated[
        str | None,
        flag_option("-ngl", "--gpu-layers", "--n-gpu-layers", text="Layers on GPUs, output included.", metavar="N|all"),
    ] = None
    tensor_split: Annotated[
        str | None, flag_option("-ts", "--tensor-split", text="Share per device, in device order.", metavar="N,N,...")
    ] = None
    device: Annotated[
        str | None, flag_option("-dev", "--device", text="Devices and their order.", metavar="ID,ID,...")
    ] = None
    split_mode: Annotated[SplitModeName | None, flag_option("-sm", "--split-mode", text="How layers are split.")] = None
    main_gpu: Annotated[int | None, flag_option("-mg", "--main-gpu", text="Device for -sm none.", minimum=0)] = None
    batch_size: Annotated[int | None, flag_option("-b", "--batch-size", text="Logical batch.", minimum=1)] = None
    ubatch_size: Annotated[int | None, flag_option("-ub", "--ubatch-size", text="Physical batch.", minimum=1)] = None
    cache_type_k: Annotated[
        str | None, flag_option("-ctk", "--cache-type-k", text="Type of the K cache.", metavar="TYPE")
    ] = None
    cache_type_v: Annotated[
        str | None, flag_option("-ctv", "--cache-type-v", text="Type of the V cache.", metavar="TYPE")
    ] = None
    flash_attn: Annotated[OnOffAuto | None, flag_option("-fa", "--flash-attn", text="Flash attention.")] = None
    parallel: Annotated[int | None, flag_option("-np", "--parallel", text="Slots served at once.", minimum=1)] = None
    n_cpu_moe: Annotated[
        int | None, flag_option("-ncmoe", "--n-cpu-moe", text="Experts of the first N layers on CPU.", minimum=0)
    ] = None
    cpu_moe: Annotated[bool, flag_option("-cmoe", "--cpu-moe", text="All experts on CPU.")] = False
    override_tensor: Annotated[
        list[str] | None,
        flag_option("-ot", "--override-tensor", text="Tensors to a buffer type.", metavar="PATTERN=BUFFER,..."),
    ] = None
    swa_full: Annotated[bool, flag_option("--swa-full", text="Full-size sliding-window cache.")] = False
    no_kv_offload: Annotated[bool, flag_option("-nkvo", "--no-kv-offload", text="KV cache in RAM.")] = False
    no_mmap: Annotated[bool, flag_option("--no-mmap", text="Read the model into RAM.")] = False
    threads: Annotated[int | None, flag_option("-t", "--threads", text="CPU threads.", minimum=1)] = None
    mmproj: Annotated[str | None, flag_option("-mm", "--mmproj", text="Multimodal projector.", metavar="FILE")] = None
    mmproj_device: Annotated[
        str | None, flag_option("-mmdev", "--mmproj-device", text="Device of the projector, or none.", metavar="ID")
    ] = None
    model_draft: Annotated[str | None, flag_option("-md", "--model-draft", text="Draft model.", metavar="FILE")] = None
    device_draft: Annotated[
        str | None, flag_option("-devd", "--device-draft", text="Device of the draft model, or none.", metavar="ID")
    ] = None
    gpu_layers_draft: Annotated[
        int | None, flag_option("-ngld", "--gpu-layers-draft", text="Draft layers on its device.", minimum=0)
    ] = None


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where the engine listens."""

    host: Annotated[str | None, typer.Option("--host", help="Address to bind (default: loopback).")] = None
    port: Annotated[int | None, typer.Option("--port", help="Port (default: 8080).", min=1, max=65535)] = None
    api_key_file: Annotated[
        str | None, typer.Option("--api-key-file", help="File with the API key.", metavar="FILE")
    ] = None


def with_options(*groups: type) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Replaces the verb's parameters annotated with an option group by the group's fields."""

    def decorate(verb: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(verb, include_extras=True)
        own = [p for p in inspect.signature(verb).parameters.values() if hints.get(p.name) not in groups]
        names = {group: name for name, group in hints.items() if group in groups}

        @wraps(verb)
        def wrapper(**values: Any) -> None:
            given = {names[group]: group(**{f.name: values.pop(f.name) for f in fields(group)}) for group in names}
            verb(**values, **given)

        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in own]
        parameters += [_parameter(group, item) for group in names for item in fields(group)]
        wrapper.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters}
        del wrapper.__wrapped__
        return wrapper

    return decorate


def _parameter(group: type, item: Any) -> inspect.Parameter:
    default = inspect.Parameter.empty if item.default is MISSING else item.default
    annotation = get_type_hints(group, include_extras=True)[item.name]
    return inspect.Parameter(item.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
