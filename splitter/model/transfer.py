"""Appends a remote file to a partial one, byte by byte as it arrives, over as many connections as a bad line needs."""

import http.client
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from splitter.errors import ModelError
from splitter.model.remote import BLOCK_BYTES, open_from
from splitter.units import format_bytes

STALLED_S = 60.0
PAUSES_S = (1.0, 2.0, 4.0, 8.0, 16.0)  # between tries that brought nothing; then it is given up
AGAIN = "Run the same command again: it continues where this one ended."


def download(
    url: str, token: str | None, target: Path, *, size_bytes: int, label: str, on_bytes: Callable[[int], None]
) -> None:
    """Appends to `target` until it has `size_bytes`; `on_bytes` gets each block's length (negative: begun anew).

    ModelError for what the server refuses and for a line that stays dead; `target` then keeps what has arrived, as it
    does when KeyboardInterrupt or the disk's OSError ends the download.
    """
    tries, answered = 0, False
    with target.open("ab") as file:
        while file.tell() < size_bytes:
            before = file.tell()
            try:
                response, begins = open_from(url, token, before, label, STALLED_S)
            except ModelError:
                if not answered or tries >= len(PAUSES_S):
                    raise
            else:
                answered = True
                if begins != before:
                    file.truncate(0)
                    on_bytes(-before)
                _append(response, file, size_bytes, on_bytes)
            tries = 0 if file.tell() > before else tries + 1
            _pause(tries, label, file.tell(), size_bytes)
    if target.stat().st_size > size_bytes:
        target.unlink()
        raise ModelError(f"{label} is longer than its size of {size_bytes} bytes and was removed.", AGAIN)


def _pause(tries: int, label: str, here: int, size_bytes: int) -> None:
    if tries > len(PAUSES_S):
        raise ModelError(f"{label}: the connection broke at {format_bytes(here)} of {format_bytes(size_bytes)}.", AGAIN)
    if tries:
        time.sleep(PAUSES_S[tries - 1])


def _append(
    response: http.client.HTTPResponse, file: IO[bytes], size_bytes: int, on_bytes: Callable[[int], None]
) -> None:
    with response:
        for block in _blocks(response):
            file.write(block)
            on_bytes(len(block))
            if file.tell() > size_bytes:
                return


def _blocks(response: http.client.HTTPResponse) -> Iterator[bytes]:
    """The body as it arrives; ends where the body or the connection does."""
    while True:
        try:
            block = response.read1(BLOCK_BYTES)
        except (OSError, http.client.HTTPException):
            return
        if not block:
            return
        yield block
