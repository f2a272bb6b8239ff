"""Numbers and names as the charts say them; unknown is '?', never 0."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from splitter.bench.report.values import Value
from splitter.bench.stats import Spread
from splitter.units import format_bytes, format_rate


def rate(value: float | None) -> str:
    """Tokens per second with three digits or more."""
    return format_rate(value, measured=True)


def measured(value: Value | None) -> str:
    """The middle with its median absolute deviation."""
    if value is None:
        return "?"
    middle = rate(value.middle)
    digits = len(middle.partition(".")[2])
    return f"{middle} \N{PLUS-MINUS SIGN} {value.mad:.{digits}f}" if value.count > 1 else middle


def percent(share: float | None) -> str:
    """A signed share."""
    return "?" if share is None else f"{share * 100:+.1f} %"


def milliseconds(seconds: float | None) -> str:
    """Seconds as ms."""
    return "?" if seconds is None else f"{seconds * 1000:.0f}" if seconds >= 0.1 else f"{seconds * 1000:.2f}"


def tokens(count: int) -> str:
    """A depth: 512, 8k, 32k; 1500 as it is."""
    return f"{count // 1024}k" if count >= 1024 and count % 1024 == 0 else str(count)


def size(size_bytes: int | None) -> str:
    """A size for people."""
    return format_bytes(size_bytes)


def finite(number: Any) -> float | None:
    """A number that can be drawn; None for anything else."""
    if isinstance(number, bool) or not isinstance(number, (int, float)):
        return None
    return float(number) if math.isfinite(number) and number >= 0 else None


def value_of(spread: Spread | None) -> Value | None:
    """None where nothing was measured, or nothing that can be drawn."""
    if spread is None:
        return None
    numbers = [finite(n) for n in (spread.median, spread.minimum, spread.maximum, spread.mad)]
    known = [n for n in numbers if n is not None]
    return Value(known[0], known[1], known[2], known[3], spread.count) if len(known) == 4 else None


def whole(data: Mapping[str, Any], name: str) -> int | None:
    """A count of bytes in a record's dictionary; None when it holds none."""
    found = data.get(name)
    return found if type(found) is int else None


def word(data: Mapping[str, Any] | None, name: str) -> str:
    """A text in a record's dictionary; "" when it holds none."""
    found = (data or {}).get(name)
    return found if isinstance(found, str) else ""


def layer_words(layers: Any, output: bool) -> str:
    """`layers 0-17, output`; "no layers" for none."""
    known = [layer for layer in layers if type(layer) is int] if isinstance(layers, Sequence) else []
    runs: list[list[int]] = []
    for layer in sorted(known):
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    named = ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in runs)
    parts = ([f"layer{'s' if len(known) > 1 else ''} {named}"] if named else []) + (["output"] if output else [])
    return ", ".join(parts) or "no layers"
