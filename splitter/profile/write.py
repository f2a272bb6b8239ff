"""Values -> a profile's text: from a plan, from a command somebody wrote, or given one by one. Pure."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

from splitter.engine.command import Server
from splitter.engine.reading.value import ReadCommand
from splitter.memory.settings import Settings
from splitter.plan.plan import Plan
from splitter.printable import printable_lines
from splitter.profile.keys import KEYS
from splitter.profile.schema import check_value
from splitter.rig.backend import BACKENDS, Backend

# What makes a placement, written even where it is the default.
PLACEMENT = ("context_size", "gpu_layers", "device_order", "tensor_split", "parallel", "kv_unified")


def render_profile(values: Mapping[str, Any], comment: str = "") -> str:
    """A profile's text: `comment` as its first lines, then `values` (dotted keys) in the order of the key table.

    ProfileError for an unknown key or a wrong value.
    """
    checked = {path: check_value(path, value, "profile") for path, value in values.items() if value is not None}
    lines = [f"# {line}".rstrip() for line in printable_lines(comment).splitlines()]
    section = ""
    for key in KEYS:
        if key.path not in checked:
            continue
        if key.section() != section:
            section = key.section()
            lines.append(f"{section}:")
        lines.append(f"{'  ' * bool(section)}{key.name()}: {yaml_value(checked[key.path])}")
    return "\n".join(lines) + "\n"


def yaml_value(value: Any) -> str:
    """`value` on one line of YAML."""
    import yaml

    plain = list(value) if isinstance(value, tuple) else value
    readable = all(str(item).isprintable() for item in (plain if isinstance(plain, list) else [plain]))
    text = yaml.safe_dump(plain, default_flow_style=True, width=float("inf"), allow_unicode=readable)
    return str(text).removesuffix("\n").removesuffix("\n...")


def plan_values(plan: Plan, server: Server) -> dict[str, Any]:
    """The values that make `plan` again: its model, engine, placement and everything that is not a default."""
    values = {
        "model": plan.facts.path,
        "engine.kind": plan.engine.name,
        "engine.version": plan.engine.version,
        "rig.name": plan.rig.name or None,
    }
    return values | _settings_values(plan.settings) | _server_values(server)


def command_values(read: ReadCommand) -> dict[str, Any]:
    """The values that a command gives; what it leaves to the engine stays open (auto layers, the model's context)."""
    settings = {"device_order": _visible(read)} | dict(read.settings)
    settings = {name: value for name, value in settings.items() if not _open(name, value)}
    values: dict[str, Any] = {"model": read.model, "engine.kind": read.kind, "engine.version": read.version}
    server = replace(read.server, host=read.server.host or "127.0.0.1")
    return values | {f"settings.{name}": value for name, value in settings.items()} | _server_values(server)


def _visible(read: ReadCommand) -> tuple[str, ...]:
    """The device order that CUDA_VISIBLE_DEVICES and its like stand for, where they count cards by number."""
    for backend in BACKENDS:
        numbers = _numbers(read.env, backend)
        if numbers:
            return tuple(f"{backend.prefix}{number}" for number in numbers)
    return ()


def _numbers(env: Mapping[str, str], backend: Backend) -> list[str]:
    """The host's numbers of the cards that are left when each variable counts within what the one before it left."""
    left: list[str] | None = None
    for variable in backend.variables:
        listed = [number.strip() for number in env.get(variable, "").split(",")]
        if not all(number.isdigit() and len(number) < 4 for number in listed):
            continue
        left = listed if left is None else [left[int(number)] for number in listed if int(number) < len(left)]
    return left or []


def _open(name: str, value: Any) -> bool:
    unset = value in ((), None) or (isinstance(value, int) and not isinstance(value, bool) and value < 0)
    return unset or (name in {"context_size", "ubatch_size"} and value == 0)


def _settings_values(settings: Settings) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for field in fields(Settings):
        value = getattr(settings, field.name)
        if value in ((), None) or (value == field.default and field.name not in PLACEMENT):
            continue
        values[f"settings.{field.name}"] = value
    if settings.draft_model and settings.draft_device_order == ():
        values["settings.draft_device_order"] = ("none",)
    return values


def _server_values(server: Server) -> dict[str, Any]:
    default, names = Server(), ("web_ui", "cors_origins")
    changed = {name: getattr(server, name) for name in names if getattr(server, name) != getattr(default, name)}
    values = {"host": server.host, "port": server.port, "api_key_file": server.api_key_file} | changed
    return {f"server.{name}": value for name, value in values.items()}
