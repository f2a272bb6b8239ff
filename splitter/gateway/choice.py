"""Which request goes to which backend, and which one waits: by the expected time of THIS request on each. Pure.

Expected seconds = wait for a slot + prompt that is not cached / prompt speed + tokens x seconds per token at that load.
A request waits for a busy backend where that is still sooner than a slower free one.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil
from typing import Literal

from splitter.gateway.pace import Pace

Priority = Literal["high", "normal", "low"]
LEVELS: Mapping[str, int] = {"high": 0, "normal": 1, "low": 2}
LOOKED_AT = 64  # waiting requests that a decision looks at
HOP_S = 0.002  # what a request costs beside the model


@dataclass(frozen=True, slots=True)
class Ask:
    """A request as the choice sees it. `cached` is how many tokens of its prompt a backend is believed to hold, by the
    backend's name; `models` are the backends' own names of the model that is meant; times are the clock's."""

    id: int
    models: frozenset[str]
    prompt_tokens: float
    output_tokens: float
    priority: Priority
    owner: str
    arrived_s: float
    cached: Mapping[str, float]
    vision: bool = False
    embeds: bool = False
    avoid: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class View:
    """A backend as the choice sees it. `slots` may be used now; `free_at_s`: when each request at work will be done."""

    name: str
    models: frozenset[str]
    slots: int
    at_work: int
    free_at_s: tuple[float, ...]
    pace: Pace
    vision: bool | None = None
    embeds: bool | None = None

    def can(self, ask: Ask) -> bool:
        """Whether it may serve `ask` at all; what is not known of it is tried."""
        return (
            not ask.models.isdisjoint(self.models)
            and self.slots > 0
            and self.name not in ask.avoid
            and not (ask.vision and self.vision is False)
            and not (ask.embeds and self.embeds is False)
        )

    def wait_s(self, now_s: float) -> float:
        """Until a slot is free for one more."""
        over = self.at_work - self.slots
        if over < 0:
            return 0.0
        known = sorted(self.free_at_s)
        at = known[min(over, len(known) - 1)] if known else now_s + HOP_S
        return max(at - now_s, HOP_S)

    def service_s(self, ask: Ask) -> float:
        """From the moment that it has a slot."""
        fresh = max(ask.prompt_tokens - ask.cached.get(self.name, 0.0), 1.0)
        beside = min(self.at_work + 1, max(self.slots, 1))
        return HOP_S + self.pace.prompt_s(fresh) + ask.output_tokens * self.pace.token_s(beside)

    def expected_s(self, ask: Ask, now_s: float) -> float:
        """From now to the last byte."""
        return self.wait_s(now_s) + self.service_s(ask)

    def given(self, ask: Ask, now_s: float) -> "View":
        """With `ask` at work, or promised to it."""
        done_s = now_s + self.expected_s(ask, now_s)
        return replace(self, at_work=self.at_work + 1, free_at_s=(*self.free_at_s, done_s))


@dataclass(frozen=True, slots=True)
class GivenSlot:
    """A decision: the request `ask` starts on `backend` now, where it is expected to take `expected_s`."""

    ask: Ask
    backend: str
    expected_s: float


def best(ask: Ask, views: Iterable[View], now_s: float) -> View | None:
    """The backend on which `ask` is expected to be done first; None when none may serve it now."""
    able = [view for view in views if view.can(ask)]
    return min(able, key=lambda view: (view.expected_s(ask, now_s), view.at_work, view.name), default=None)


def level(ask: Ask, now_s: float, age_s: float) -> int:
    """Its priority as a number, 0 first: one better for every `age_s` that it has waited."""
    return max(0, ceil(LEVELS[ask.priority] - (now_s - ask.arrived_s) / age_s))


@dataclass(frozen=True, slots=True)
class OwnerShare:
    """What an owner has had: requests at work now, and when the last one started (the clock's time)."""

    at_work: int = 0
    started_s: float = -1.0


NOTHING_YET = OwnerShare()


def in_turn(waiting: Sequence[Ask], shares: Mapping[str, OwnerShare], now_s: float, age_s: float) -> list[Ask]:
    """The order in which requests are looked at: by level, then in rounds over the owners, those with least at work and
    in a round the one that was served longest ago first, then by arrival. An owner with a thousand requests delays
    another's first one by one round."""
    rounds: dict[str, int] = {}
    ranked = []
    for ask in sorted(waiting, key=lambda ask: (level(ask, now_s, age_s), ask.arrived_s)):
        share = shares.get(ask.owner, NOTHING_YET)
        turn = rounds[ask.owner] = rounds.get(ask.owner, share.at_work) + 1
        ranked.append((level(ask, now_s, age_s), turn, share.started_s, ask.arrived_s, ask.id, ask))
    return [row[-1] for row in sorted(ranked, key=lambda row: row[:5])]


def assign(
    waiting: Sequence[Ask], views: Sequence[View], shares: Mapping[str, OwnerShare], now_s: float, age_s: float
) -> list[GivenSlot]:
    """Who starts now, and where; `shares` by owner."""
    if not any(view.at_work < view.slots for view in views):
        return []
    ordered = list(waiting) if len(waiting) == 1 else in_turn(waiting, shares, now_s, age_s)[:LOOKED_AT]
    now = {view.name: view for view in views}
    given = []
    for ask in ordered:
        view = best(ask, now.values(), now_s)
        if view is None:
            continue
        if view.at_work < view.slots:
            given.append(GivenSlot(ask, view.name, view.expected_s(ask, now_s)))
        now[view.name] = view.given(ask, now_s)
    return given
