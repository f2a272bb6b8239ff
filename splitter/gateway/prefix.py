"""Which conversation's beginning a backend still holds: chains of hashes over the blocks of a prompt. Pure."""

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

BLOCK = 512  # characters of a bare prompt that count as one block
MOST_BLOCKS = 256
IMAGE_CHARS = 2300  # what an image counts as in characters: some hundred tokens, whatever its bytes


@dataclass(frozen=True, slots=True)
class Link:
    """A beginning of the prompt: its hash and its length in characters."""

    mark: bytes
    chars: int


def chain(blocks: Iterable[tuple[str, int]]) -> tuple[tuple[Link, ...], int]:
    """One link for each (text, length) of the prompt, hashed with all before it, and the length of all."""
    digest, chars = blake2b(digest_size=12), 0
    links: list[Link] = []
    for text, length in blocks:
        chars += length
        if len(links) < MOST_BLOCKS:
            digest.update(text.encode("utf-8", "surrogatepass") + b"\0")
            links.append(Link(digest.digest(), chars))
    return tuple(links), chars


def chat_blocks(messages: Sequence[Any], tools: Any = None) -> Iterable[tuple[str, int]]:
    """The blocks of a conversation: the tools, then each message."""
    if tools:
        text = json.dumps(tools)
        yield text, len(text)
    for message in messages:
        content = message.get("content") if isinstance(message, Mapping) else None
        if isinstance(content, str) and len(content) > 2 * BLOCK:
            yield str(message.get("role")), 8
            yield from text_blocks(content)
        else:
            text = json.dumps(message)
            yield text, length_of(message, text)


def length_of(message: Any, text: str) -> int:
    """The characters of a message as the model reads them: an image is not as long as its bytes."""
    content = message.get("content") if isinstance(message, Mapping) else None
    if not isinstance(content, list):
        return len(text)
    parts = [part for part in content if isinstance(part, Mapping)]
    return sum(len(str(p.get("text", ""))) if p.get("type") == "text" else IMAGE_CHARS for p in parts) + 16


def text_blocks(text: str) -> Iterable[tuple[str, int]]:
    """The blocks of a bare prompt."""
    for at in range(0, len(text), BLOCK):
        part = text[at : at + BLOCK]
        yield part, len(part)


class HeldPrefixes:
    """The beginnings that one backend has read lately: the last `most` of them."""

    def __init__(self, most: int = 4096) -> None:
        self._marks: OrderedDict[bytes, None] = OrderedDict()
        self._most = most

    def chars(self, links: Sequence[Link]) -> int:
        """The characters of the longest beginning of `links` that it has read."""
        return next((link.chars for link in reversed(links) if link.mark in self._marks), 0)

    def add(self, links: Iterable[Link]) -> None:
        """After a request that it served."""
        for link in links:
            self._marks[link.mark] = None
            self._marks.move_to_end(link.mark)
        while len(self._marks) > self._most:
            self._marks.popitem(last=False)

    def clear(self) -> None:
        """After a restart."""
        self._marks.clear()
