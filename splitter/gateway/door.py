"""Door: the backends, who waits for them and who is at work, in one event loop. The decisions are `choice.assign`'s."""

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from math import ceil

from splitter.gateway.backend import GatewayBackend, Lease
from splitter.gateway.call import EMBEDDINGS, Call
from splitter.gateway.choice import NOTHING_YET, Ask, GivenSlot, OwnerShare, View, assign, best
from splitter.gateway.figures import Figures
from splitter.gateway.keys import Caller
from splitter.gateway.names import distinct, meant
from splitter.gateway.settings import GatewaySettings
from splitter.gateway.standing import after_failure, after_success

CHARS_PER_TOKEN, OUTPUT_TOKENS = 4.0, 200.0  # before a model's own were measured
FILLED = 0.5  # of the longest answer that a request allows
MOST_SHARES = 10_000  # owners that are remembered with nothing at work
RATE = 0.1  # how fast a model's averages follow


class RefusedError(Exception):
    """A request that gets no answer from a model: HTTP's `status`, a word, a sentence, and when to try again."""

    def __init__(self, status: int, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message = status, code, message
        self.retry_after_s = None if retry_after_s is None else max(1, ceil(retry_after_s))


@dataclass(slots=True)
class Habit:
    """What requests of a model turned out to be like."""

    chars_per_token: float = CHARS_PER_TOKEN
    output_tokens: float = OUTPUT_TOKENS
    filled: float = FILLED


@dataclass(slots=True)
class Waiting:
    """A request that has no slot yet."""

    ask: Ask
    lease: "asyncio.Future[Lease]"


class FrontDoor:
    """Backends by name. All of it is used from one thread."""

    def __init__(self, settings: GatewaySettings) -> None:
        self.settings = settings
        self.backends: dict[str, GatewayBackend] = {}
        self.waiting: dict[int, Waiting] = {}
        self.shares: dict[str, OwnerShare] = {}
        self.habits: dict[str, Habit] = {}
        self._numbers = itertools.count()

    def now_s(self) -> float:
        """The clock of all moments here; uvloop's own counts whole milliseconds."""
        return time.monotonic()

    # who is there

    def models(self) -> dict[str, list[GatewayBackend]]:
        """The backends by each of their models' names; those that are down too."""
        found: dict[str, list[GatewayBackend]] = {}
        for backend in self.backends.values():
            for name in backend.models:
                found.setdefault(name, []).append(backend)
        return found

    def meant(self, asked: str | None, caller: Caller) -> frozenset[str]:
        """The names of the model that a request means. RefusedError where there is none, or the key may not use it."""
        known = sorted(name for backend in self.backends.values() for name in backend.models)
        asked = asked or self.settings.default_model
        names = tuple(known) if asked is None else meant(asked, known, self.settings.aliases)
        allowed = tuple(name for name in names if caller.may_use(name) or (asked and caller.may_use(asked)))
        if names and not allowed:
            raise RefusedError(403, "model_not_allowed", f"this key may not use {asked or 'any model here'}")
        if not names:
            raise RefusedError(*self._no_model(asked))
        if asked is not None and len(several := distinct(allowed)) > 1:
            raise RefusedError(404, "model_ambiguous", f"{asked!r} may be any of: {', '.join(sorted(several)[:8])}")
        return frozenset(allowed)

    def _no_model(self, asked: str | None) -> tuple[int, str, str, float | None]:
        if any(not backend.models for backend in self.backends.values()) or not self.backends:
            return 503, "no_backend", "no engine is ready yet: see /health/nodes", 5
        known = ", ".join(sorted(self.models())[:8])
        return 404, "model_not_found", f"there is no model {asked!r} here; there are: {known}", None

    # what a request is worth

    def ask_of(self, call: Call, caller: Caller, models: frozenset[str]) -> Ask:
        """The request as the choice sees it."""
        habit = self.habit(models)
        wanted = habit.output_tokens if call.output_tokens is None else habit.filled * call.output_tokens
        cached = {
            name: backend.held.chars(call.links) / habit.chars_per_token * backend.trust
            for name, backend in self.backends.items()
            if call.links
        }
        embeds = call.path == EMBEDDINGS
        return Ask(
            next(self._numbers),
            models,
            call.chars / habit.chars_per_token,
            0.0 if embeds else wanted,
            caller.ranked(call.priority),
            caller.name,
            self.now_s(),
            cached,
            call.vision,
            embeds,
        )

    def habit(self, models: frozenset[str]) -> Habit:
        """That of the model with these names."""
        return self.habits.setdefault(min(models), Habit())

    def views(self) -> list[View]:
        """The backends as the choice sees them."""
        return [backend.view() for backend in self.backends.values()]

    def wait_s(self, ask: Ask) -> float | None:
        """How long it is expected to wait; None where no backend may serve it now."""
        now_s = self.now_s()
        view = best(ask, self.views(), now_s)
        return None if view is None else view.wait_s(now_s)

    # waiting and working

    async def place(self, ask: Ask, wait_s: float) -> Lease:
        """A slot for `ask`, after at most `wait_s`. RefusedError where there is none."""
        if not self.waiting:
            given = assign([ask], self.views(), self.shares, self.now_s(), self.settings.queue.age_s)
            if given:
                return self._start(given[0])
        if len(self.waiting) >= self.settings.queue.most:
            raise RefusedError(503, "queue_full", f"{len(self.waiting)} requests wait already", self.retry_s(ask))
        lease: asyncio.Future[Lease] = asyncio.get_running_loop().create_future()
        self.waiting[ask.id] = Waiting(ask, lease)
        self.kick()
        try:
            async with asyncio.timeout(wait_s):
                return await lease
        except TimeoutError:
            self._give_back(lease)
            message = f"no backend had a slot within {wait_s:.0f} s"
            raise RefusedError(503, "waited_too_long", message, self.retry_s(ask)) from None
        except asyncio.CancelledError:
            self._give_back(lease)
            raise
        finally:
            self.waiting.pop(ask.id, None)

    def _give_back(self, lease: "asyncio.Future[Lease]") -> None:
        if lease.done() and not lease.cancelled() and lease.exception() is None:
            self.release(lease.result())

    def retry_s(self, ask: Ask) -> float:
        """When it may be worth while to ask again."""
        now_s = self.now_s()
        view = best(ask, self.views(), now_s)
        return 5.0 if view is None else min(max(view.expected_s(ask, now_s), 1.0), 60.0)

    def kick(self) -> None:
        """Starts whom a slot is free for."""
        if not self.waiting:
            return
        asks = [waiting.ask for waiting in self.waiting.values()]
        for given in assign(asks, self.views(), self.shares, self.now_s(), self.settings.queue.age_s):
            waiting = self.waiting.pop(given.ask.id)
            if not waiting.lease.done():
                waiting.lease.set_result(self._start(given))

    def _start(self, given: GivenSlot) -> Lease:
        backend = self.backends[given.backend]
        lease = Lease(backend, given.ask, self.now_s(), given.expected_s, len(backend.leases) + 1)
        backend.leases.add(lease)
        owner = given.ask.owner
        self.shares[owner] = OwnerShare(self.shares.get(owner, NOTHING_YET).at_work + 1, lease.started_s)
        return lease

    def release(self, lease: Lease) -> None:
        """Its slot is free."""
        lease.backend.leases.discard(lease)
        owner = lease.ask.owner
        share = self.shares[owner]
        self.shares[owner] = replace(share, at_work=share.at_work - 1)
        if len(self.shares) > MOST_SHARES:
            self.shares = {name: share for name, share in self.shares.items() if share.at_work}
        self.kick()

    def of(self, owner: str) -> int:
        """How many requests of a key wait or are at work."""
        return self.shares.get(owner, NOTHING_YET).at_work + sum(
            waiting.ask.owner == owner for waiting in self.waiting.values()
        )

    # how it went

    def succeeded(self, lease: Lease, call: Call, figures: Figures) -> None:
        """Its answer came whole."""
        now_s, backend = self.now_s(), lease.backend
        backend.served += 1
        backend.standing = after_success(backend.standing, backend.slots, now_s)
        backend.learn(lease, figures, now_s)
        if call.path == EMBEDDINGS:
            backend.embeds = True
            return
        backend.held.add(call.links)
        habit = self.habit(lease.ask.models)
        if figures.prompt_tokens and call.chars > 40:
            habit.chars_per_token += (call.chars / figures.prompt_tokens - habit.chars_per_token) * RATE
        if figures.output_tokens and call.output_tokens:
            habit.filled += (min(figures.output_tokens / call.output_tokens, 1.0) - habit.filled) * RATE
        elif figures.output_tokens:
            habit.output_tokens += (figures.output_tokens - habit.output_tokens) * RATE

    def failed(self, backend: GatewayBackend, reason: str, retry_after_s: float | None = None) -> None:
        """It did not answer, or refused work: others get what waits."""
        backend.failed += 1
        backend.standing = after_failure(backend.standing, self.now_s(), reason, retry_after_s)

    def look(self) -> None:
        """Now and then: who waits for a model whose backends are all down is told, whose turn has come starts."""
        now_s = self.now_s()
        views = self.views()
        for waiting in list(self.waiting.values()):
            ask, lease = waiting.ask, waiting.lease
            if lease.done() or any(view.can(ask) for view in views):
                continue
            if now_s - ask.arrived_s >= self.settings.queue.down_s:
                lease.set_exception(RefusedError(503, "backends_down", "no backend of this model answers", 5))
        self.kick()

    def queue_data(self) -> dict[str, object]:
        """As /inference/queue says it."""
        now_s = self.now_s()
        asks = [waiting.ask for waiting in self.waiting.values()]
        return {
            "waiting": len(asks),
            "running": sum(len(backend.leases) for backend in self.backends.values()),
            "by_priority": _count(ask.priority for ask in asks),
            "by_key": _count(ask.owner for ask in asks),
            "by_model": _count(min(ask.models) for ask in asks),
            "longest_wait_s": max((now_s - ask.arrived_s for ask in asks), default=0.0),
            "slots": sum(view.slots for view in self.views()),
        }


def _count(words: Iterable[str]) -> Mapping[str, int]:
    return dict(Counter(words))
