"""YAML from foreign hands, bounded before anything is built of it: bytes, levels, values, no aliases, no tags, no huge
numbers. Behind it yaml's safe loader. Pure; yaml is imported when first needed."""

import re
from collections.abc import Callable, Iterator
from typing import Any

Failure = Callable[[str, str], Exception]  # of a sentence and the next step

MAX_BYTES = 65536
MAX_VALUES = 4096  # keys, values and collections
MAX_NUMBER = 64  # characters of a plain word that YAML would read as a number


def check_yaml(text: str, where: str, error: Failure, max_depth: int, about: str) -> None:
    """Raises `error`, naming `where` and the line, for a text that is not plain, small data; `about` is what one is.

    yaml.YAMLError where it is no YAML at all.
    """
    import yaml

    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise error(f"{where} is larger than {MAX_BYTES} bytes", f"is this the right file? {about}")
    depth = values = 0
    events: Iterator[Any] = yaml.parse(text, Loader=yaml.SafeLoader)
    for event in events:
        place = f"{where}:{event.start_mark.line + 1}"
        _refuse_tricks(event, place, error)
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > max_depth:
            raise error(f"{place}: nested deeper than {max_depth} levels", about)
        if values > MAX_VALUES:
            raise error(f"{place}: more than {MAX_VALUES} values", about)


def _refuse_tricks(event: Any, place: str, error: Failure) -> None:
    import yaml

    if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
        raise error(f"{place}: anchors and aliases are not allowed", "write the value out")
    if getattr(event, "tag", None):
        raise error(f"{place}: the tag {str(event.tag)[:60]} is not allowed", "write the plain value")
    if isinstance(event, yaml.ScalarEvent) and _is_endless_number(event):
        raise error(f"{place}: a number of {len(event.value)} characters", "put it in quotes if it is a text")


def _is_endless_number(scalar: Any) -> bool:
    """A plain word that YAML reads as an integer, which Python could not print any more."""
    word = scalar.value
    return (
        not scalar.style and len(word) > MAX_NUMBER and re.fullmatch(r"[-+.\d][-+.:_xob0-9a-fA-F]*", word) is not None
    )
