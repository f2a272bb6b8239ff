"""Backend: one engine behind the door as it stands now. Changed by the gateway's one thread alone."""

from asyncio import Timeout, get_running_loop
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from splitter.gateway.choice import Ask, View
from splitter.gateway.described import OTHER_SLOTS, Described, Kind
from splitter.gateway.figures import Figures
from splitter.gateway.pace import Pace, generated, prompted
from splitter.gateway.prefix import HeldPrefixes
from splitter.gateway.standing import Standing

Origin = Literal["settings", "found", "joined"]
TRUST_RATE = 0.2  # how fast the belief in cached prompts follows what the engine says
TOLD_FROM = 32  # tokens believed cached from which an answer tells whether they were


@dataclass(slots=True, eq=False)
class Lease:
    """A request at work on a backend. Times are the door's clock; `guard` ends it from outside, for `aborted`."""

    backend: "GatewayBackend"
    ask: Ask
    started_s: float
    expected_s: float
    beside: int
    first_s: float | None = None
    last_s: float = 0.0
    guard: Timeout | None = None
    aborted: str = ""

    def abort(self, reason: str) -> None:
        """Ends it: what waits for the backend gets a TimeoutError."""
        if not self.aborted and self.guard is not None:
            self.aborted = reason
            self.guard.reschedule(get_running_loop().time())


@dataclass(slots=True, eq=False)
class GatewayBackend:
    """`told_models` come from the settings, the registry or who joined; `described` is what it says itself;
    `elsewhere` is what other gateways have at work on it; `facts` are shown as they are."""

    name: str
    url: str
    origin: Origin
    api_key: str | None = None
    told_models: tuple[str, ...] = ()
    told_slots: int | None = None
    kind: Kind | None = None
    described: Described = field(default_factory=Described)
    described_at_s: float = -1e9
    standing: Standing = field(default_factory=Standing)
    pace: Pace = field(default_factory=Pace)
    held: HeldPrefixes = field(default_factory=HeldPrefixes)
    trust: float = 1.0
    leases: set[Lease] = field(default_factory=set)
    elsewhere: int = 0
    draining: bool = False
    embeds: bool | None = None
    served: int = 0
    failed: int = 0
    seen_s: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def models(self) -> frozenset[str]:
        """Every name that its models have here."""
        return frozenset((*self.described.models, *self.told_models))

    @property
    def slots(self) -> int:
        """How many requests it works on at once, as it or its owner says."""
        return self.told_slots or self.described.slots or OTHER_SLOTS

    def called(self, models: frozenset[str]) -> str:
        """What it calls the model that is meant: a name it gave itself before one that it was given."""
        own = [name for name in self.described.models if name in models]
        return own[0] if own else self.described.models[0] if self.described.models else min(models)

    def view(self) -> View:
        """As the choice sees it."""
        return View(
            self.name,
            self.models,
            0 if self.draining else self.standing.slots(self.slots),
            len(self.leases) + self.elsewhere,
            tuple(lease.started_s + lease.expected_s for lease in self.leases),
            self.pace,
            self.described.vision,
            self.embeds,
        )

    def learn(self, lease: Lease, figures: Figures, now_s: float) -> None:
        """From an answer that came whole: speeds, and whether the prompt's beginning was in its cache."""
        at_work = (lease.beside + len(self.leases)) / 2
        tokens, first_s = figures.output_tokens or 0, lease.first_s or now_s
        if figures.output_ms and tokens > 1:
            self.pace = generated(self.pace, at_work, figures.output_ms / 1000 / tokens)
        elif figures.output_ms is None and tokens > 4 and now_s - first_s > 0.02:
            self.pace = generated(self.pace, at_work, (now_s - first_s) / tokens)
        fresh = (figures.prompt_tokens or 0) - (figures.cached_tokens or 0)
        seconds = figures.prompt_ms / 1000 if figures.prompt_ms is not None else first_s - lease.started_s
        self.pace = prompted(self.pace, fresh, seconds)
        believed = lease.ask.cached.get(self.name, 0.0)
        if figures.cached_tokens is not None and believed >= TOLD_FROM:
            real = min(figures.cached_tokens / (believed / max(self.trust, 0.05)), 1.0)
            self.trust += (real - self.trust) * TRUST_RATE

    def restarted(self) -> None:
        """It is another process now: nothing that was known of its cache holds."""
        self.held.clear()
        self.described_at_s = -1e9
