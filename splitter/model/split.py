"""Names of split sets: PREFIX-00001-of-0000N.gguf, on disk and in URLs (llama.cpp's llama_split_path)."""

import re
from dataclasses import dataclass

_NAME = re.compile(r"(?P<prefix>.*)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf(?P<query>\?[^/]*)?", re.DOTALL)


@dataclass(frozen=True, slots=True)
class SplitName:
    """The name of part `number` (from 1) of `count`; `query` is a URL's, with its question mark."""

    prefix: str
    number: int
    count: int
    query: str = ""

    def part(self, number: int) -> str:
        """The name of another part, counted from 1."""
        return f"{self.prefix}-{number:05d}-of-{self.count:05d}.gguf{self.query}"


def parse_split_name(name: str) -> SplitName | None:
    """What a path or URL says about its place in a split set; None where it says nothing."""
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    return SplitName(match["prefix"], int(match["number"]), int(match["count"]), match["query"] or "")


def stem(name: str) -> str:
    """A file name without folder, split part and .gguf."""
    split = parse_split_name(name)
    last = re.split(r"[/\\]", split.prefix if split else name)[-1]
    return last.removesuffix(".gguf")
