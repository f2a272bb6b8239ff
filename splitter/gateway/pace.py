"""How fast a backend was measured to be: prompts, and tokens by the number of requests at work. Pure.

llama.cpp's time per step grows about linearly with the number of sequences in the batch, so seconds per token are a
line over the requests at work, fitted with forgetting: the last FORGET measurements count.
"""

from dataclasses import dataclass, replace

FORGET = 0.95  # weight that older measurements keep with each new one
GUESS_PROMPT_TPS, GUESS_TOKEN_S = 200.0, 0.05  # before anything was measured or told
GUESS_SLOPE = 0.3  # of the time per token: what one more request at work costs, before several were measured
MIN_TOKENS, MIN_S = 4, 0.002  # a shorter measurement says nothing


@dataclass(frozen=True, slots=True)
class Pace:
    """Decayed sums: `weight`, and those of k (requests at work), t (seconds per token) and their products."""

    prompt_tps: float | None = None
    weight: float = 0.0
    k: float = 0.0
    t: float = 0.0
    kk: float = 0.0
    kt: float = 0.0

    def token_s(self, at_work: int) -> float:
        """Seconds per token of one request while `at_work` requests, it included, share the backend."""
        if not self.weight:
            return GUESS_TOKEN_S * (1 + GUESS_SLOPE * (at_work - 1))
        mean_k, mean_t = self.k / self.weight, self.t / self.weight
        spread = self.kk / self.weight - mean_k**2
        slope = (self.kt / self.weight - mean_k * mean_t) / spread if spread > 0.05 else None
        alone = mean_t / (1 + GUESS_SLOPE * (mean_k - 1))
        step = GUESS_SLOPE * alone if slope is None else max(0.0, slope)
        return max(mean_t + step * (at_work - mean_k), 0.25 * alone, 1e-5)

    def prompt_s(self, tokens: float) -> float:
        """Seconds to read `tokens` of a prompt."""
        return tokens / (self.prompt_tps or GUESS_PROMPT_TPS)

    @property
    def generation_tps(self) -> float | None:
        """Tokens per second of a request alone; None while unknown."""
        return 1 / self.token_s(1) if self.weight else None


def told(prompt_tps: float | None, generation_tps: float | None) -> Pace:
    """The pace that somebody states: it counts as one measurement."""
    pace = Pace(prompt_tps)
    return generated(pace, 1, 1 / generation_tps) if generation_tps else pace


def generated(pace: Pace, at_work: float, token_s: float) -> Pace:
    """After a measurement: `token_s` seconds per token with `at_work` requests at work on average."""
    return replace(
        pace,
        weight=pace.weight * FORGET + 1,
        k=pace.k * FORGET + at_work,
        t=pace.t * FORGET + token_s,
        kk=pace.kk * FORGET + at_work**2,
        kt=pace.kt * FORGET + at_work * token_s,
    )


def prompted(pace: Pace, tokens: int, seconds: float) -> Pace:
    """After a prompt of `tokens` tokens that were not cached. Short ones are no measure of speed."""
    if tokens < MIN_TOKENS or seconds < MIN_S:
        return pace
    old, new = pace.prompt_tps, tokens / seconds
    return replace(pace, prompt_tps=new if old is None else old + (new - old) * min(0.3, tokens / 1000 + 0.05))
