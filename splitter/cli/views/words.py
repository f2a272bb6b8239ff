"""Small words for tables: unknown is '?', never 0."""

from splitter.units import format_bytes, format_rate, to_mib


def size(size_bytes: int | None) -> str:
    return format_bytes(size_bytes)


def mib(size_bytes: int) -> str:
    """MiB without a unit, for columns whose header says MiB; nothing is shown as '-'."""
    return f"{to_mib(size_bytes):.0f}" if size_bytes else "-"


def rate(tokens_per_s: float | None, *, measured: bool = False) -> str:
    """A speed with its unit."""
    return "?" if tokens_per_s is None else f"{format_rate(tokens_per_s, measured=measured)} t/s"


def yes_no(value: bool | None) -> str:
    return "?" if value is None else "yes" if value else "no"


def duration(seconds: float) -> str:
    """The two largest units: 42s, 3m 05s, 2h 07m, 3d 04h; a clock that was set back counts as no time."""
    left = max(0, int(seconds))
    for unit, below, length in (("d", "h", 86400), ("h", "m", 3600), ("m", "s", 60)):
        if left >= length:
            part = length // (24 if unit == "d" else 60)
            return f"{left // length}{unit} {left % length // part:02}{below}"
    return f"{left}s"


def layer_ranges(layers: tuple[int, ...]) -> str:
    """`0-17, 20` for (0, ..., 17, 20); '-' for none."""
    runs: list[list[int]] = []
    for layer in layers:
        if runs and layer == runs[-1][1] + 1:
            runs[-1][1] = layer
        else:
            runs.append([layer, layer])
    return ", ".join(f"{a}-{b}" if a != b else f"{a}" for a, b in runs) or "-"
