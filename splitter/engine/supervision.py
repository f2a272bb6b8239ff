"""How a launched engine is kept alive: what a profile's `supervision` says and `run` obeys."""

from dataclasses import dataclass
from typing import Literal

Restart = Literal["never", "on-failure", "always"]


@dataclass(frozen=True, slots=True)
class Supervision:
    """When it is started again, how long to wait for what; all times in seconds.

    It is interrupted, terminated `terminate_after_s` later, killed `stop_timeout_s` after the first, and given up when
    it has not ended `kill_timeout_s` after that. A large model on a hard disk needs minutes to load, and an engine that
    holds tens of GiB seconds to free them; llama-server b11434 with a streamed answer in flight often hangs after its
    first SIGINT and leaves on the next rung.
    """

    restart: Restart = "on-failure"
    max_restarts: int = 5
    backoff_s: float = 2.0
    backoff_max_s: float = 60.0
    ready_timeout_s: float = 600.0
    stop_timeout_s: float = 10.0
    terminate_after_s: float = 5.0
    kill_timeout_s: float = 10.0
    health_interval_s: float = 10.0
    health_failures: int = 3
    restart_degraded_s: float = 60.0
    healthy_after_s: float = 60.0
    oom_replans: int = 3

    def pause_s(self, in_row: int) -> float:
        """The pause before restart number `in_row` (from 1): doubled each time, up to the cap."""
        return min(self.backoff_max_s, self.backoff_s * 2.0 ** min(in_row - 1, 60))


UNSUPERVISED = Supervision(restart="never", oom_replans=0)
"""Started once: whatever ends it, it stays ended."""
