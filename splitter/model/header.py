"""The GGUF header: versions 2 and 3, both byte orders, read forward once through a bounded window."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from splitter.errors import ModelError
from splitter.model.cursor import ByteOrder, ByteSource, Cursor
from splitter.model.facts import MetadataValue, TensorInfo
from splitter.model.file_kinds import MAGIC_BYTES, foreign_kind
from splitter.model.metadata import UINT32, MetadataReader
from splitter.model.tensor_table import TensorTableReader
from splitter.units import format_bytes, pad

DEFAULT_ALIGNMENT = 32
NEWEST_VERSION = 3


@dataclass(frozen=True, slots=True)
class Header:
    """One file's header. `data_offset` is where the data section starts, in bytes from the start of the file."""

    version: int
    byte_order: ByteOrder
    metadata: Mapping[str, MetadataValue] = field(repr=False)
    tensors: tuple[TensorInfo, ...] = field(repr=False)
    alignment: int
    data_offset: int
    file_bytes: int


def read_header(source: ByteSource, part: int = 0) -> Header:
    """Reads and checks the header of `source`; its tensors are marked as those of `part` (the index in a split set).

    Raises ModelError with one sentence for whatever is not a whole, sound GGUF file. Time and memory are bounded by
    256 MiB of header, 4096 keys and 262144 tensors, whatever the file claims.
    """
    cursor = Cursor(source)
    version = _read_version(cursor, source)
    counts = cursor.layout("QQ")
    tensor_count, key_count = (int(value) for value in cursor.unpack(counts))
    reader = MetadataReader(cursor)
    metadata = reader.read(key_count)
    alignment = _alignment(cursor, metadata, reader.types)
    table = TensorTableReader(cursor, alignment, part).read(tensor_count)
    data_offset = pad(cursor.position, alignment) if table.tensors else cursor.position
    _check_data(source, data_offset + table.data_bytes)
    return Header(version, cursor.order, metadata, table.tensors, alignment, data_offset, source.size_bytes)


def _read_version(cursor: Cursor, source: ByteSource) -> int:
    """Checks the magic, finds the byte order and returns the version."""
    head = cursor.peek(MAGIC_BYTES)
    if not head.startswith(b"GGUF"):
        kind = foreign_kind(head, source.size_bytes)
        raise ModelError(f"{source.label} is {kind.name}, not a GGUF model.", kind.hint)
    if len(head) < 8:
        cursor.fail_truncated(8)
    version = int.from_bytes(head[4:8], "little")
    if version & 0xFFFF == 0:
        cursor.set_order("big")
        version = int.from_bytes(head[4:8], "big")
    cursor.skip(8)
    if version > NEWEST_VERSION:
        cursor.fail(
            f"GGUF version {version} is newer than splitter knows (3)", "Update splitter, or check the download."
        )
    if version < 2:
        cursor.fail(f"GGUF version {version} is no longer read by llama.cpp", "Get a newer conversion of the model.")
    return version


def _alignment(cursor: Cursor, metadata: Mapping[str, MetadataValue], types: Mapping[str, int]) -> int:
    value = metadata.get("general.alignment", DEFAULT_ALIGNMENT)
    if types.get("general.alignment", UINT32) != UINT32 or not isinstance(value, int) or value.bit_count() != 1:
        cursor.fail("damaged header, general.alignment is not a power of two")
    return value


def _check_data(source: ByteSource, end: int) -> None:
    missing = end - source.size_bytes
    if missing > 0:
        raise ModelError(
            f"{source.label} is cut short: {missing} bytes ({format_bytes(missing)} of {format_bytes(end)}) are missing"
            " at the end.",
            "Download it again, or let the unfinished download go on. If it came in raw pieces (.part1of2, -split-a),"
            " join them first.",
        )
