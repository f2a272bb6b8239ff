"""A speed and a turn in words. Pure."""

from splitter.plan.plan import Turn
from splitter.units import format_rate


def speed_text(tokens_per_s: float | None, within: tuple[float, float] | None = None) -> str:
    """Tokens per second for people: "3.1 t/s", with a range "about 3.1 t/s (2.4-3.9)"."""
    if within is None:
        return f"{format_rate(tokens_per_s)} t/s"
    typical, low, high = (
        f"{rate:,.0f}" if rate >= 20 else format_rate(rate) for rate in (tokens_per_s or 0.0, *within)
    )
    return f"about {typical} t/s ({low}-{high})"


def turn_text(turn: Turn | None) -> str:
    """A turn and its time, such as "1024 tokens in and 256 out at depth 2048 take 9 s"; empty where that is unknown."""
    if turn is None or turn.seconds is None:
        return ""
    depth = f" at depth {turn.depth_tokens}" if turn.depth_tokens else ""
    took = f"{turn.seconds:.1f}" if turn.seconds < 10 else f"{turn.seconds:.0f}"
    return f"{turn.prompt_tokens} tokens in and {turn.generated_tokens} out{depth} take {took} s"
