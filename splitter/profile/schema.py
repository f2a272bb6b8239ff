"""A profile's text -> one layer of checked values; and the same rules as JSON Schema for editors. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from splitter.errors import ProfileError
from splitter.plan.workload import WORKLOADS
from splitter.profile.keys import BY_PATH, KEYS, SECTIONS, Key, nearest
from splitter.profile.tree import Node, parse_tree


@dataclass(frozen=True, slots=True)
class ValueLayer:
    """The values one source sets: `values` by dotted key, `lines` the line each stands on, `source` its name."""

    source: str
    values: Mapping[str, Any]
    lines: Mapping[str, int] = field(default_factory=dict)


def read_layer(text: str, source: str) -> ValueLayer:
    """The layer written in `text`. ProfileError names file (`source`), line, key and what was expected."""
    values: dict[str, Any] = {}
    lines: dict[str, int] = {}
    for path, node in _entries(parse_tree(text, source), source):
        values[path] = _checked(BY_PATH[path], node, source)
        lines[path] = node.line
    _refuse_two_rigs(values, lines, source)
    return ValueLayer(source, values, lines)


def check_value(path: str, value: Any, source: str) -> Any:
    """One value that did not come from a file (command line, `profile set`), checked by the same table."""
    if path not in BY_PATH:
        raise ProfileError(f"{source}: unknown key {path!r}", _suggestion(path.rpartition(".")[2], ""))
    node = Node(tuple(Node(item, 0) for item in value) if isinstance(value, tuple | list) else value, 0)
    return _checked(BY_PATH[path], node, source)


def _entries(root: Mapping[str, Node], source: str) -> Iterator[tuple[str, Node]]:
    for name, node in root.items():
        if node.value is None and (name in SECTIONS or name in BY_PATH):
            continue
        if name in SECTIONS:
            yield from _section_entries(name, node, source)
        elif name in BY_PATH:
            yield name, node
        else:
            raise _unknown(name, "", node.line, source)


def _section_entries(section: str, node: Node, source: str) -> Iterator[tuple[str, Node]]:
    if not isinstance(node.value, Mapping):
        yield _shorthand(section, node, source), node
        return
    for name, child in node.value.items():
        path = f"{section}.{name}"
        if path not in BY_PATH:
            raise _unknown(name, section, child.line, source)
        if child.value is not None:
            yield path, child


def _shorthand(section: str, node: Node, source: str) -> str:
    """`engine: koboldcpp` and `rig: phoenix` stand for the section's main key."""
    if section == "engine":
        return "engine.kind"
    if section == "rig" and isinstance(node.value, tuple):
        return "rig.gpus"
    if section == "rig":
        text = str(node.value)
        return "rig.file" if text.endswith((".yaml", ".yml")) or "/" in text or "\\" in text else "rig.name"
    known = ", ".join(key.name() for key in KEYS if key.section() == section)
    raise ProfileError(f"{source}:{node.line}: {section} must contain keys of its own", f"known keys: {known}")


def _checked(key: Key, node: Node, source: str) -> Any:
    value = node.plain()
    try:
        return key.accept(value)
    except ValueError as problem:
        place = f"{source}:{node.line}" if node.line else source
        shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
        raise ProfileError(f"{place}: {key.path} must be {problem}, not {shown}", key.about) from None


def _unknown(name: str, section: str, line: int, source: str) -> ProfileError:
    where = f" in {section}" if section else ""
    return ProfileError(f"{source}:{line}: unknown key {name[:60]!r}{where}", _suggestion(name, section))


def _suggestion(name: str, section: str) -> str:
    best = nearest(name, section)
    if best:
        return f"did you mean {best}?"
    keys = [key.name() for key in KEYS if key.section() == section] + ([] if section else list(SECTIONS))
    return "known keys: " + ", ".join(keys)


def _refuse_two_rigs(values: Mapping[str, Any], lines: Mapping[str, int], source: str) -> None:
    named = [key for key in ("rig.name", "rig.file", "rig.gpus") if key in values]
    if len(named) > 1:
        raise ProfileError(f"{source}:{lines[named[1]]}: the rig is given twice ({' and '.join(named)})", "keep one")


WORKLOAD_PATTERN = rf"^({'|'.join(WORKLOADS)}|\d+:\d+(@\d+)?)$"


def profile_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a profile, for editors that complete and check YAML."""
    properties: dict[str, Any] = {key.name(): _json_type(key) for key in KEYS if not key.section()}
    for section in SECTIONS:
        own = {key.name(): _json_type(key) for key in KEYS if key.section() == section}
        properties[section] = {"type": "object", "additionalProperties": False, "properties": own}
    properties["engine"] = {"anyOf": [_json_type(BY_PATH["engine.kind"]), properties["engine"]]}
    properties["rig"] = {"anyOf": [{"type": "string"}, _json_type(BY_PATH["rig.gpus"]), properties["rig"]]}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "splitter profile",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _json_type(key: Key) -> dict[str, Any]:
    bounds = {name: limit for name, limit in (("minimum", key.minimum), ("maximum", key.maximum)) if limit is not None}
    number = {"type": "number", **bounds}
    integer = {"type": "integer", **bounds}
    text = {"type": ["string", "integer"]}
    kinds: dict[str, dict[str, Any]] = {
        "text": {"type": "string", "minLength": 1},
        "integer": integer,
        "number": number,
        "boolean": {"type": "boolean"},
        "choice": {"enum": [*key.choices, *([True, False] if "on" in key.choices else [])]},
        "version": {"type": ["string", "integer"]},
        "numbers": {"anyOf": [number, {"type": "array", "items": number, "minItems": 1, "maxItems": 16}]},
        "texts": {"anyOf": [text, {"type": "array", "items": text, "minItems": 1}]},
        "context": {"anyOf": [integer, {"const": "max"}]},
        "workload": {"type": "string", "pattern": WORKLOAD_PATTERN},
    }
    return {"description": key.about, **kinds[key.kind]}
