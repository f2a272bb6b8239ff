"""Bytes and words. The only module that knows 1024."""

KIB = 1024
MIB = 1024**2
GIB = 1024**3


def from_mib(mib: float) -> int:
    """Bytes in `mib` MiB, rounded down."""
    return int(mib * MIB)


def to_mib(size_bytes: float) -> float:
    """MiB in `size_bytes`, unrounded."""
    return size_bytes / MIB


def pad(value: int, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `value` (ggml's GGML_PAD)."""
    return -(-value // multiple) * multiple


def format_bytes(size_bytes: int | None) -> str:
    """A size for people: GiB with two decimals from 1 GiB on, else MiB, KiB or B; '?' when unknown."""
    if size_bytes is None:
        return "?"
    magnitude = abs(size_bytes)
    if magnitude >= GIB:
        return f"{size_bytes / GIB:.2f} GiB"
    if magnitude >= MIB:
        return f"{size_bytes / MIB:.0f} MiB"
    if magnitude >= KIB:
        return f"{size_bytes / KIB:.0f} KiB"
    return f"{size_bytes} B"
