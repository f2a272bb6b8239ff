"""Frozen dataclasses to plain JSON-able values and back: strict about types, tolerant of fields it does not know."""

import types
from collections.abc import Mapping
from dataclasses import MISSING, asdict, fields, is_dataclass
from functools import cache
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

Value = TypeVar("Value")
LARGEST = 2**63  # what is written as a whole number is a count, bytes or a time


class MalformedError(ValueError):
    """A value of another type than its field has; the text names the field."""


def to_plain(value: Any) -> Any:
    """Dataclasses as dictionaries, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def from_plain(kind: type[Value], data: Any, where: str = "") -> Value:
    """The dataclass `kind` that `data` describes; fields it lacks keep their defaults. MalformedError else."""
    if not isinstance(data, Mapping):
        raise MalformedError(f"{where or kind.__name__} is not an object")
    hints = _hints(kind)  # type: ignore[arg-type]
    given = {}
    for field in fields(kind):  # type: ignore[arg-type]
        path = f"{where}.{field.name}" if where else field.name
        if field.name in data:
            given[field.name] = _convert(hints[field.name], data[field.name], path)
        elif field.default is MISSING and field.default_factory is MISSING:
            raise MalformedError(f"{path} is missing")
    return kind(**given)


@cache
def _hints(kind: Any) -> dict[str, Any]:
    return get_type_hints(kind)


def _convert(hint: Any, value: Any, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        return _optional(hint, value, where)
    if origin is tuple:
        if not isinstance(value, (list, tuple)):
            raise MalformedError(f"{where} is not a list")
        return tuple(_convert(get_args(hint)[0], item, f"{where}[{i}]") for i, item in enumerate(value))
    if origin is Literal:
        if value not in get_args(hint):
            raise MalformedError(f"{where} is none of {', '.join(map(str, get_args(hint)))}")
        return value
    if is_dataclass(hint) and isinstance(hint, type):
        return from_plain(hint, value, where)
    return _scalar(origin or hint, value, where)


def _optional(hint: Any, value: Any, where: str) -> Any:
    """`X | None`."""
    if value is None:
        return None
    return _convert(next(part for part in get_args(hint) if part is not type(None)), value, where)


def _scalar(kind: Any, value: Any, where: str) -> Any:
    """A number may be written without its point; a boolean is no number."""
    if kind is Any:
        return value
    if kind is float and type(value) is int and abs(value) < LARGEST:
        return float(value)
    wanted = Mapping if kind is Mapping else kind
    if type(value) is int and abs(value) >= LARGEST:
        raise MalformedError(f"{where} is too large")
    if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
        raise MalformedError(f"{where} is no {'object' if wanted is Mapping else wanted.__name__}")
    return value
