"""A forward-only reader over a source of bytes: a bounded window, a bounded header, one sentence when either ends."""

import struct
from typing import Literal, NoReturn, Protocol

from splitter.errors import ModelError
from splitter.units import MIB

ByteOrder = Literal["little", "big"]

HEADER_LIMIT_BYTES = 256 * MIB  # a 262k-token vocabulary takes 16 MiB
STRING_LIMIT_BYTES = 16 * MIB
FIRST_WINDOW_BYTES = MIB
LARGEST_WINDOW_BYTES = 4 * MIB
DAMAGED_HINT = "Download or convert the file again, and compare its checksum with the publisher's."


class ByteSource(Protocol):
    """Where a header comes from: a file, a URL, bytes in a test.

    `read` returns the bytes of [offset, offset + size), fewer only where the source has ended meanwhile; it raises
    ModelError when it cannot read.
    """

    @property
    def label(self) -> str:
        """The file's name for messages."""

    @property
    def size_bytes(self) -> int:
        """The whole file's size."""

    def read(self, offset: int, size: int) -> bytes:
        """Bytes from `offset` on."""


class Cursor:
    """Reads numbers and strings one after another; the window over the source doubles up to 4 MiB."""

    __slots__ = ("_at", "_long", "_source", "_start", "_window", "_window_bytes", "order")

    def __init__(self, source: ByteSource) -> None:
        self._source = source
        self._window = b""
        self._start = 0
        self._at = 0
        self._window_bytes = FIRST_WINDOW_BYTES
        self.set_order("little")

    def set_order(self, order: ByteOrder) -> None:
        """The byte order of every number from here on."""
        self.order: ByteOrder = order
        self._long = self.layout("Q")

    def layout(self, fields: str) -> struct.Struct:
        """A struct of `fields` (struct's letters), unpadded, in the file's byte order."""
        return struct.Struct(("<" if self.order == "little" else ">") + fields)

    @property
    def position(self) -> int:
        """Bytes from the start of the file."""
        return self._start + self._at

    @property
    def remaining(self) -> int:
        """Bytes that the header could still take."""
        return min(self._source.size_bytes, HEADER_LIMIT_BYTES) - self.position

    def fail(self, what: str, hint: str = DAMAGED_HINT) -> NoReturn:
        """Raises ModelError: the file's label and what is wrong."""
        raise ModelError(f"{self._source.label}: {what}.", hint)

    def unpack(self, layout: struct.Struct) -> tuple[int | float | bool, ...]:
        """The next values, as `layout` describes them."""
        self._need(layout.size)
        values = layout.unpack_from(self._window, self._at)
        self._at += layout.size
        return values

    def integer(self, layout: struct.Struct) -> int:
        """The next value of a layout with one integer field."""
        return int(self.unpack(layout)[0])

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        self._need(size)
        at = self._at
        self._at = at + size
        return self._window[at : at + size]

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, fewer where the file ends, without moving on."""
        size = max(0, min(size, self.remaining))
        self._need(size)
        return self._window[self._at : self._at + size]

    def string(self, limit: int = STRING_LIMIT_BYTES) -> bytes:
        """The next length-prefixed string, undecoded; longer than `limit` bytes is an error."""
        length = self.integer(self._long)
        if length > limit:
            self.fail(f"damaged or hostile header, it claims a string of {length} bytes at byte {self.position - 8}")
        return self.take(length)

    def skip(self, size: int) -> None:
        """Moves on by `size` bytes without reading them."""
        self._check_room(size)
        self._at += size

    def skip_strings(self, count: int) -> None:
        """Moves on by `count` length-prefixed strings: the hot loop of the header (1.3 million turns for a 262k-token
        vocabulary with its merges), so it checks bounds only by running off the window's end.
        """
        if count * 8 > self.remaining:
            self.fail_truncated(count * 8)
        while count:
            self._need(8)
            count = self._hop(count)

    def _hop(self, count: int) -> int:
        """Skips strings until the window ends; returns how many are left."""
        window, at, unpack_from = self._window, self._at, self._long.unpack_from
        left = count
        try:
            for left in range(count, 0, -1):  # noqa: B007
                (length,) = unpack_from(window, at)
                at += length + 8
            left = 0
        except (struct.error, OverflowError):
            pass
        self._check_room(at - self._at)
        self._at = at
        return left

    def fail_truncated(self, wanted: int) -> NoReturn:
        """Raises ModelError for a header that needs `wanted` bytes more than there are."""
        size = self._source.size_bytes
        if self.position + wanted > size:
            self.fail(f"the file ends inside its header ({size} bytes; damaged, or the download is incomplete)")
        self.fail(f"the header claims more than {HEADER_LIMIT_BYTES // MIB} MiB, which no real model does")

    def _check_room(self, size: int) -> None:
        if size > self.remaining:
            self.fail_truncated(size)

    def _need(self, size: int) -> None:
        """Sees to it that the window holds the next `size` bytes."""
        if self._at + size <= len(self._window):
            return
        self._check_room(size)
        position = self.position
        self._window = self._source.read(
            position, max(size, min(self._window_bytes, self._source.size_bytes - position))
        )
        self._start, self._at = position, 0
        self._window_bytes = min(self._window_bytes * 2, LARGEST_WINDOW_BYTES)
        if len(self._window) < size:
            self.fail_truncated(self._source.size_bytes + 1)  # shorter than it said
