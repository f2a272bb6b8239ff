"""The key-value section of a GGUF header (format: ggml/docs/gguf.md; `ggml/src/gguf.cpp`, llama.cpp build 11434)."""

import struct
from typing import cast

from splitter.model.cursor import Cursor
from splitter.model.facts import MetadataScalar, MetadataValue, SkippedArray
from splitter.printable import printable

KEPT_ELEMENTS = 1024  # longer arrays of numbers are skipped
KEY_LIMIT = 4096  # real headers hold 20 to 100 keys
KEY_LIMIT_BYTES = 65535
NESTED_LIMIT = 1024
NESTED_DEPTH = 3
STRING, ARRAY = 8, 9
UINT32 = 4

NUMBERS: dict[int, tuple[str, str]] = {  # value type -> (name, struct's letter)
    0: ("uint8", "B"),
    1: ("int8", "b"),
    2: ("uint16", "H"),
    3: ("int16", "h"),
    4: ("uint32", "I"),
    5: ("int32", "i"),
    6: ("float32", "f"),
    7: ("bool", "?"),
    10: ("uint64", "Q"),
    11: ("int64", "q"),
    12: ("float64", "d"),
}


class MetadataReader:
    """Reads `count` pairs from a cursor that stands on the first."""

    def __init__(self, cursor: Cursor) -> None:
        self._cursor = cursor
        self._type = cursor.layout("I")
        self._array = cursor.layout("IQ")
        self._numbers = {number: cursor.layout(letter) for number, (_, letter) in NUMBERS.items()}
        self.types: dict[str, int] = {}

    def read(self, count: int) -> dict[str, MetadataValue]:
        """All pairs in file order. String values are decoded with replacement; keys must be clean UTF-8."""
        if count > KEY_LIMIT:
            self._cursor.fail(f"damaged or hostile header, it claims {count} metadata keys")
        pairs: dict[str, MetadataValue] = {}
        for _ in range(count):
            key = clean_name(self._cursor, "metadata key", KEY_LIMIT_BYTES)
            if key in pairs:
                self._cursor.fail(f"damaged header, the metadata key {printable(key)!r} comes twice")
            value_type = self.types[key] = self._cursor.integer(self._type)
            pairs[key] = self._value(key, value_type)
        return pairs

    def _value(self, key: str, value_type: int) -> MetadataValue:
        if value_type == STRING:
            return self._cursor.string().decode("utf-8", "replace")
        if value_type == ARRAY:
            return self._array_value(key, 1)
        layout = self._numbers.get(value_type) or self._unknown_type(key, value_type)
        return self._cursor.unpack(layout)[0]

    def _array_value(self, key: str, depth: int) -> MetadataValue:
        element_type, length = cast("tuple[int, int]", self._cursor.unpack(self._array))
        if element_type == STRING:
            self._cursor.skip_strings(length)
            return SkippedArray("string", length)
        if element_type == ARRAY:
            self._skip_nested(key, length, depth)
            return SkippedArray("array", length)
        layout = self._numbers.get(element_type) or self._unknown_type(key, element_type)
        name, letter = NUMBERS[element_type]
        if length <= KEPT_ELEMENTS:
            return cast("tuple[MetadataScalar, ...]", self._cursor.unpack(self._cursor.layout(f"{length}{letter}")))
        self._cursor.skip(length * layout.size)
        return SkippedArray(name, length)

    def _skip_nested(self, key: str, length: int, depth: int) -> None:
        if depth >= NESTED_DEPTH or length > NESTED_LIMIT:
            self._cursor.fail(f"damaged or hostile header, {printable(key)!r} nests arrays too deep or too many")
        for _ in range(length):
            self._array_value(key, depth + 1)

    def _unknown_type(self, key: str, value_type: int) -> struct.Struct:
        self._cursor.fail(f"damaged header, {printable(key)!r} has the unknown value type {value_type}")


def clean_name(cursor: Cursor, kind: str, limit: int) -> str:
    """The next string as a name: UTF-8, not empty, printable, at most `limit` bytes; else ModelError."""
    start = cursor.position
    raw = cursor.string(limit)
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        cursor.fail(f"damaged header, the {kind} at byte {start} is not UTF-8")
    if not name or not name.isprintable():
        cursor.fail(f"damaged header, the {kind} at byte {start} is empty or holds control characters")
    return name
