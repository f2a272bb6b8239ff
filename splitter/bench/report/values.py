"""Report: what the charts show, as frozen values. The terminal's and the HTML report's charts are drawn from them."""

from dataclasses import dataclass, field

PARTS = ("model", "context", "compute", "overhead", "margin")


@dataclass(frozen=True, slots=True)
class MemoryRow:
    """What one card (or the host) holds; `sizes` are bytes in the order of PARTS.

    `free_bytes` is what was free before the engine started, `total_bytes` what the card has; None where unknown.
    """

    name: str
    layers: str
    sizes: tuple[int, ...]
    free_bytes: int | None = None
    total_bytes: int | None = None

    def used_bytes(self) -> int:
        """All but the margin."""
        return sum(self.sizes[:-1])

    def claimed_bytes(self) -> int:
        """With the margin."""
        return sum(self.sizes)

    def headroom_bytes(self) -> int | None:
        """Negative when it does not fit; None when the free memory is unknown."""
        return None if self.free_bytes is None else self.free_bytes - self.claimed_bytes()

    def taken_bytes(self) -> int:
        """What other programs held before; 0 where unknown."""
        if self.total_bytes is None or self.free_bytes is None:
            return 0
        return max(self.total_bytes - self.free_bytes, 0)

    def extent_bytes(self) -> int:
        """The length of the row's bar."""
        return max(self.claimed_bytes(), self.free_bytes or 0) + self.taken_bytes()


@dataclass(frozen=True, slots=True)
class Memory:
    """One placement: the cards in device order, and the host where it is known."""

    title: str
    cards: tuple[MemoryRow, ...]
    host: MemoryRow | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A measured middle with its smallest and largest repetition, or one predicted number (`count` 0)."""

    middle: float
    low: float
    high: float
    mad: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Series:
    """Tokens per second by depth in tokens, smallest depth first."""

    name: str
    points: tuple[tuple[int, Value], ...]
    predicted: bool = False


@dataclass(frozen=True, slots=True)
class SpeedByDepth:
    """`what` is "Generation" or "Prompt"."""

    what: str
    series: tuple[Series, ...]


@dataclass(frozen=True, slots=True)
class TrialPoint:
    """One launch of a tune. `best` is the highest middle so far, this one included; `problem` why it has no value."""

    launch: int
    label: str
    value: Value | None
    best: float | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class TuneHistory:
    """The trials of one group in the order in which they ran."""

    title: str
    trials: tuple[TrialPoint, ...]

    def winner(self) -> TrialPoint | None:
        """The trial with the highest middle; the first of equals."""
        measured = [trial for trial in self.trials if trial.value is not None]
        return max(measured, key=lambda trial: trial.value.middle if trial.value else 0.0, default=None)

    def gain(self) -> float | None:
        """How much faster the winner is than the first that was measured, as a share."""
        first = next((trial.value.middle for trial in self.trials if trial.value is not None), None)
        won = self.winner()
        return won.value.middle / first - 1 if won and won.value and first else None


@dataclass(frozen=True, slots=True)
class Pair:
    """What a plan promised and what was measured, in tokens per second."""

    label: str
    predicted: float | None
    measured: Value | None
    basis: str = ""
    problem: str = ""

    def error(self) -> float | None:
        """Measured against predicted, as a share: -0.1 is ten percent slower than promised."""
        if not self.predicted or self.measured is None:
            return None
        return self.measured.middle / self.predicted - 1


@dataclass(frozen=True, slots=True)
class Pairs:
    """`what` is "Generation" or "Prompt"."""

    what: str
    rows: tuple[Pair, ...]

    def scale(self) -> float:
        """What a whole bar stands for; the bar of a promise beyond three times the fastest measured one is cut."""
        measured = max((row.measured.high for row in self.rows if row.measured), default=0.0)
        promised = (row.predicted for row in self.rows if row.predicted is not None)
        return max(measured, *(p for p in promised if not measured or p <= 3 * measured), 0.0) or 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """One headline number."""

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table of text; columns named in `words` are aligned left, the others are numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    words: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Command:
    """A command line under the name of what it started."""

    label: str
    line: str


@dataclass(frozen=True, slots=True)
class Report:
    """Everything one report shows; what is empty is left out."""

    title: str
    subtitle: str
    made_at: str
    verdict: str = ""
    fits: bool = True
    figures: tuple[Figure, ...] = ()
    memories: tuple[Memory, ...] = ()
    speeds: tuple[SpeedByDepth, ...] = ()
    tunes: tuple[TuneHistory, ...] = ()
    pairs: tuple[Pairs, ...] = ()
    reasons: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sheets: tuple[ReportTable, ...] = ()
    commands: tuple[Command, ...] = field(default=())
