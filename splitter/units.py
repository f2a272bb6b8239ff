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
    """A size for people: 2861 GiB, 58.59 GiB, 512 MiB, 3 KiB, 7 B; '?' when unknown."""
    if size_bytes is None:
        return "?"
    magnitude = abs(size_bytes)
    if magnitude >= GIB:
        return f"{size_bytes / GIB:.{2 if magnitude < 100 * GIB else 0}f} GiB"
    if magnitude >= MIB:
        return f"{size_bytes / MIB:.0f} MiB"
    if magnitude >= KIB:
        return f"{size_bytes / KIB:.0f} KiB"
    return f"{size_bytes} B"


def format_rate(tokens_per_s: float | None, *, measured: bool = False) -> str:
    """A speed for people, without its unit: 328,558, 61.2, 3.1, 0.35; a `measured` one keeps two decimals below 10."""
    if tokens_per_s is None:
        return "?"
    if tokens_per_s >= 1000:
        return f"{tokens_per_s:,.0f}"
    return f"{tokens_per_s:.2f}" if tokens_per_s < (10 if measured else 1) else f"{tokens_per_s:.1f}"


def format_bandwidth(bytes_per_s: float | None) -> str:
    """GB (10^9 bytes) per second, as makers print it: 448 GB/s; '?' when unknown."""
    return "?" if bytes_per_s is None else f"{bytes_per_s / 1e9:.0f} GB/s"


def format_count(count: int) -> str:
    """A number of parameters for people: 7.24 B, 1.4 M, 12 K, 300."""
    if count >= 1e9:
        return f"{count / 1e9:.2f} B"
    return f"{count / 1e6:.1f} M" if count >= 1e6 else f"{count / 1e3:.0f} K" if count >= 1e3 else str(count)
