"""Frozen dataclasses to plain JSON-able values and back: strict about types, tolerant of fields it does not know."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from pydantic import TypeAdapter
    from pydantic_core import ErrorDetails

Value = TypeVar("Value")
# What each kind of pydantic's errors means, in our words; any other is told in its own.
SAYS = {
    "string_type": "is no str",
    "int_type": "is no int",
    "float_type": "is no float",
    "bool_type": "is no bool",
    "tuple_type": "is not a list",
    "dataclass_type": "is not an object",
    "mapping_type": "is not an object",
    "dict_type": "is not an object",
    "missing": "is missing",
}


class MalformedError(ValueError):
    """A value of another type than its field has; the text names the field."""


def to_plain(value: Any) -> Any:
    """Dataclasses as dictionaries, tuples as lists."""
    if is_dataclass(value) and not isinstance(value, type):
        return to_plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(name): to_plain(item) for name, item in value.items()}
    return [to_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def from_plain(kind: type[Value], data: Any) -> Value:
    """The dataclass `kind` that `data` describes; fields it lacks keep their defaults. MalformedError else."""
    from pydantic import ValidationError  # 0.1 s that only what reads measurements pays

    try:
        read: Value = _adapter(kind).validate_json(json.dumps(data), strict=True)  # type: ignore[arg-type]
    except ValidationError as error:
        raise MalformedError(_words(error.errors(include_url=False)[0])) from None
    return read


@cache
def _adapter(kind: Any) -> "TypeAdapter[Any]":
    from pydantic import TypeAdapter

    return TypeAdapter(kind)


def _words(error: "ErrorDetails") -> str:
    """`points[0].n_prompt is no int`"""
    said = SAYS.get(error["type"], error["msg"])
    if error["type"] == "literal_error":
        said = "is none of " + error["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
    return f"{_path(error['loc'])} {said}"


def _path(places: Sequence[str | int]) -> str:
    parts = [f"[{place}]" if isinstance(place, int) else f".{place}" for place in places]
    return "".join(parts).removeprefix(".") or "it"
