"""Measured figures as records show them; unknown is '?', never 0."""

from splitter.bench.stats import Percentiles, Spread
from splitter.units import format_rate


def speed(found: Spread | None) -> str:
    """Median and range, in tokens per second."""
    if found is None:
        return "?"
    text = f"{found.median:.2f}" if found.median < 100 else format_rate(found.median)
    return text if found.count < 2 else f"{text} ({format_rate(found.minimum)}-{format_rate(found.maximum)})"


def milliseconds(found: Percentiles | None) -> str:
    """p50/p95/p99."""
    return "?" if found is None else "/".join(f"{value * 1000:.1f}" for value in (found.p50, found.p95, found.p99))


def percent(share: float | None) -> str:
    """A share of the mean."""
    return "?" if share is None else f"{100 * share:.1f} %"
