"""Whether a backend may be given work: down at a failure, back after a cool-down, slowly at first. Pure."""

from dataclasses import dataclass, replace
from typing import Literal

State = Literal["unknown", "up", "returning", "loading", "down"]
Pulse = Literal["ready", "loading", "no_model", "absent", "silent"]  # what a probe saw

COOL_S, COOL_MOST_S = 1.0, 30.0
SILENT_PROBES = 2  # in a row: one silent probe may be a busy machine
CALM_S = 60.0  # without a failure after which earlier ones are forgotten


@dataclass(frozen=True, slots=True)
class Standing:
    """`share` is how many requests it may have at once while it returns; `cool_until_s` is the clock's time."""

    state: State = "unknown"
    failures: int = 0
    silent: int = 0
    share: int = 1
    cool_until_s: float = 0.0
    failed_at_s: float = 0.0
    reason: str = ""

    @property
    def serves(self) -> bool:
        """Whether it gets requests."""
        return self.state in {"up", "returning"}

    def slots(self, total: int) -> int:
        """How many of its `total` slots may be used now."""
        return total if self.state == "up" else min(total, self.share) if self.state == "returning" else 0


def after_failure(now: Standing, clock_s: float, reason: str, retry_after_s: float | None = None) -> Standing:
    """A request failed, or a probe: down, for longer each time. Failures of one moment count once."""
    if now.state == "down" and clock_s < now.cool_until_s:
        return replace(now, reason=reason)
    failures = now.failures + 1 if clock_s - now.failed_at_s < CALM_S else 1
    pause_s = retry_after_s if retry_after_s is not None else min(COOL_S * 2 ** (failures - 1), COOL_MOST_S)
    return Standing("down", failures, now.silent, 1, clock_s + pause_s, clock_s, reason)


def after_probe(now: Standing, pulse: Pulse, clock_s: float) -> Standing:
    """A probe's verdict. What was never down is up at once; what failed returns slowly after its cool-down."""
    if pulse == "silent":
        silent = now.silent + 1
        if silent < SILENT_PROBES and now.serves:
            return replace(now, silent=silent)
        return replace(after_failure(now, clock_s, "it does not answer"), silent=silent)
    if pulse == "absent":
        return replace(after_failure(now, clock_s, "nothing listens there"), silent=0)
    if pulse in {"loading", "no_model"}:
        reason = "it loads its model" if pulse == "loading" else "it holds no model"
        return replace(now, state="loading", silent=0, share=1, reason=reason)
    if now.serves or clock_s < now.cool_until_s:
        return replace(now, silent=0)
    back = now.failures > 0
    return replace(now, state="returning" if back else "up", silent=0, share=1, reason="")


def after_success(now: Standing, total: int, clock_s: float) -> Standing:
    """A request was answered: what returns may have twice as many."""
    if now.state != "returning":
        calm = now.failures and now.state == "up" and clock_s - now.failed_at_s > CALM_S
        return replace(now, failures=0) if calm else now
    share = now.share * 2
    return replace(now, state="up" if share >= total else "returning", share=share)
