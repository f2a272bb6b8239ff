"""Public card specifications: the table behind `--gpus` and behind every value a rig file or a driver leaves out.

Pure: `splitter.rig.files.load_catalog` reads catalog.yaml, this module gives its rows meaning and finds cards by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from splitter.errors import RigError
from splitter.rig.card_name import BRANDS, Wanted, looser_names, plain_name, read_name
from splitter.rig.device import CardSpeed
from splitter.units import from_mib

GIGA = 10**9
TERA = 10**12
# Bytes/s that one PCIe lane carries in one direction, after line coding (PCI-SIG: 8b/10b up to gen 2, then 128b/130b).
PCIE_LANE_BYTES_PER_S = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
# A driver shows up to 7 % less than the marketed memory, with ECC 12 %; sizes one card is sold with lie further apart.
SIZE_TOLERANCE = 0.13


# What a choice of cards may list and stay readable.
MOST_CHOICES = 8


@dataclass(frozen=True, slots=True)
class Card:
    """One public card.

    `fp16_flops` and `int8_ops` are dense matrix peaks per second (see catalog.yaml), `source` is the URL of its page,
    `measured` holds public llama-bench results, one per backend. `unified`: it shares the host's memory; `total_bytes`
    is None where that is the machine's, not the chip's.
    """

    name: str
    vendor: str
    family: str
    total_bytes: int | None
    bandwidth_bytes_per_s: float
    bus_bits: int
    data_rate_gbps: float
    sm_count: int
    fp32_flops: float
    fp16_flops: float
    compute_capability: str | None
    link_bytes_per_s: float | None
    source: str
    int8_ops: float = 0.0
    unified: bool = False
    measured: tuple[CardSpeed, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """All cards, and their further names (alias -> name of a card)."""

    cards: tuple[Card, ...]
    aliases: Mapping[str, str]

    def card(self, name: str) -> Card:
        """The card of exactly this name; KeyError if there is none."""
        return self._by_name[name]

    def named(self, text: str) -> Card | None:
        """The card whose name or alias `text` is, to the letter but for case, (R) and (TM)."""
        return self._by_plain_name.get(plain_name(text))

    @cached_property
    def _by_name(self) -> Mapping[str, Card]:
        return {card.name: card for card in self.cards}

    @cached_property
    def _by_plain_name(self) -> Mapping[str, Card]:
        aliases = {plain_name(alias): self.card(name) for alias, name in self.aliases.items()}
        return aliases | {plain_name(card.name): card for card in self.cards}

    @cached_property
    def spellings(self) -> tuple[tuple[Wanted, Card], ...]:
        """Every name, read, with its card, and every alias that says something else."""
        names = tuple((read_name(card.name), card) for card in self.cards)
        aliases = ((read_name(alias), self.card(name)) for alias, name in self.aliases.items())
        return names + tuple((w, card) for w, card in aliases if set(w.words) - set(read_name(card.name).words))


def parse_catalog(data: Mapping[str, Any]) -> Catalog:
    """The catalog from catalog.yaml's mapping."""
    measured = _measured(data["measured"])
    cards = [
        _card(dict(zip(data["columns"], row, strict=True)), family, data, measured)
        for family in data["families"]
        for row in _rows(family["cards"])
    ]
    return Catalog(tuple(cards), dict(data["aliases"]))


def _rows(block: str) -> Iterable[list[str]]:
    return ([cell.strip() for cell in line.split(",")] for line in block.splitlines())


def _measured(boards: Iterable[Mapping[str, Any]]) -> dict[str, tuple[CardSpeed, ...]]:
    """Card name -> what the public scoreboards say of it."""
    found: dict[str, tuple[CardSpeed, ...]] = {}
    for board in boards:
        for name, generation, prompt in board["cards"]:
            speed = CardSpeed(board["backend"], float(generation), prompt and float(prompt), board["source"])
            found[name] = (*found.get(name, ()), speed)
    return found


def _card(
    row: Mapping[str, str],
    family: Mapping[str, Any],
    data: Mapping[str, Any],
    measured: Mapping[str, tuple[CardSpeed, ...]],
) -> Card:
    fp32_tflops = float(row["fp32_tflops"])
    return Card(
        name=row["name"],
        vendor=family["vendor"],
        family=family["family"],
        total_bytes=None if row["total_mib"] == "~" else from_mib(int(row["total_mib"])),
        bandwidth_bytes_per_s=float(round(float(row["gb_per_s"]) * GIGA)),
        bus_bits=int(row["bus_bits"]),
        data_rate_gbps=float(row["gbps"]),
        sm_count=int(row["sm_count"]),
        fp32_flops=float(round(fp32_tflops * TERA)),
        fp16_flops=float(round(float(row["fp16_tflops"]) * TERA)),
        compute_capability=family.get("compute_capability"),
        link_bytes_per_s=_link(row["pcie"]),
        source=data["sources"].get(row["page"], data["page_base"] + row["page"]),
        int8_ops=float(round(fp32_tflops * family["int8_per_fp32"] * TERA)),
        unified=family.get("unified", False),
        measured=measured.get(row["name"], ()),
    )


def _link(pcie: str) -> float | None:
    if pcie == "~":
        return None
    generation, lanes = pcie.split("x")
    return link_bytes_per_s(int(generation), int(lanes))


def link_bytes_per_s(generation: int, lanes: int) -> float | None:
    """Bytes/s of a PCIe link in one direction; None for a generation that is not known."""
    lane = PCIE_LANE_BYTES_PER_S.get(generation)
    return None if lane is None else float(round(lane * lanes))


def matches(catalog: Catalog, text: str, total_bytes: int | None = None) -> tuple[Card, ...]:
    """The cards that `text` may mean: one if the name is clear, several if it is not, () if none is known.

    A full name or alias is its card. Else a card answers if one of its names has every word of `text`; those with the
    fewest words beyond these remain. Of cards sold with several sizes, `total_bytes` or a size in the text chooses;
    without one, the card whose name carries no size, then the catalog's aliases. A size that none of them has (a
    modified card) does not choose. Where nothing answers, board makers' words are left out ("MSI ... Ventus 2X OC").
    """
    exact = catalog.named(text)
    if exact is not None and _is_that(exact, text, total_bytes):
        return (exact,)
    for wanted in (read_name(text), *looser_names(text)):
        found = _matches(catalog, wanted, total_bytes)
        if found:
            return found
    return () if exact is None else (exact,)


def _matches(catalog: Catalog, wanted: Wanted, total_bytes: int | None) -> tuple[Card, ...]:
    if len("".join(_short(wanted.words))) < 2:  # a brand, a letter, a digit: no model
        return ()
    size = wanted.size_bytes if wanted.size_bytes is not None else total_bytes
    answering = _answering(catalog, wanted)
    least = min((extra for _, extra in answering), default=0)
    nearest = [card for card, extra in answering if extra == least]
    fitting = [card for card in nearest if _is_size(card, size)] or _laptop_of_size(answering, wanted) or nearest
    if len(fitting) == 1:
        return tuple(fitting)
    alias = _alias(catalog, wanted)
    return tuple(fitting) if alias is None else (alias,)


def _answering(catalog: Catalog, wanted: Wanted) -> list[tuple[Card, int]]:
    """The cards with every word of `wanted` in one of their names, and how many words that name has beyond these."""
    fewest: dict[str, tuple[Card, int]] = {}
    for spelling, card in catalog.spellings:
        extra = _extra(spelling.words, wanted.words)
        if extra is not None and extra < fewest.get(card.name, (card, 99))[1]:
            fewest[card.name] = (card, extra)
    return list(fewest.values())


def _is_that(card: Card, text: str, total_bytes: int | None) -> bool:
    """Whether nothing speaks against `card`, which `text` names: no other size in the text or beside it."""
    said, own = read_name(text).size_bytes, read_name(card.name).size_bytes
    if own is None:
        return total_bytes is None or _is_size(card, total_bytes)
    return said == own and total_bytes is not None and _is_size(card, said) and _is_size(card, total_bytes)


def _laptop_of_size(answering: Iterable[tuple[Card, int]], wanted: Wanted) -> list[Card]:
    """ "RTX 3060 6GB" is a laptop's: the desktop card is not sold with that much."""
    if wanted.size_bytes is None:
        return []
    return [card for card, _ in answering if "Laptop" in card.name and _is_size(card, wanted.size_bytes)]


def _is_size(card: Card, size_bytes: int | None) -> bool:
    if size_bytes is None:
        return read_name(card.name).size_bytes is None
    if card.total_bytes is None:
        return True
    return abs(card.total_bytes - size_bytes) <= SIZE_TOLERANCE * max(card.total_bytes, size_bytes)


def _extra(name: tuple[str, ...], wanted: tuple[str, ...]) -> int | None:
    """How many words `name` has beyond `wanted`'s; None if it lacks one of them."""
    left = list(name)
    for word in wanted:
        if word not in left:
            return None
        left.remove(word)
    return len(left)


def _alias(catalog: Catalog, wanted: Wanted) -> Card | None:
    """The card of the alias that `wanted` names, fully or without its brand words ("3060" for "GeForce RTX 3060")."""
    plain = set(wanted.words)
    for alias, name in catalog.aliases.items():
        other = read_name(alias)
        same_size = None in {wanted.size_bytes, other.size_bytes} or wanted.size_bytes == other.size_bytes
        if same_size and plain <= set(other.words) and set(other.words) - plain <= BRANDS:
            return catalog.card(name)
    return None


def find(catalog: Catalog, text: str, total_bytes: int | None = None) -> Card | None:
    """The one card that a driver's or a rig file's `text` names; None if unknown or if several would fit."""
    found = matches(catalog, text, total_bytes)
    return found[0] if len(found) == 1 else None


def resolve(catalog: Catalog, text: str) -> Card:
    """The one card that a person's `text` names, with the size the text gives ("2080ti 22gb" is a modified card).

    Raises RigError naming the choices when several fit, and the nearest names when none does.
    """
    found = matches(catalog, text)
    if not found:
        raise RigError(f"no card is known as '{text.strip()}'", _unknown_hint(catalog, text))
    if len(found) > 1:
        choices = ", ".join(card.name for card in _choices(catalog, text, found))
        raise RigError(f"'{text.strip()}' matches several cards", f"name one of: {choices}")
    card, size = found[0], read_name(text).size_bytes
    told = card.total_bytes is not None and (size is None or _is_size(card, size))
    if told or size is None or catalog.named(text) is card:
        return card
    return replace(card, total_bytes=size)


def _choices(catalog: Catalog, text: str, found: tuple[Card, ...]) -> tuple[Card, ...]:
    """All that answer, where they are few; else the nearest of them."""
    answering = tuple(card for card, _ in _answering(catalog, read_name(text)))
    return answering if len(found) < len(answering) <= MOST_CHOICES else found


def _unknown_hint(catalog: Catalog, text: str) -> str:
    near = nearest_names(catalog, text)
    instead = "a rig file (--rig FILE) describes any card: name and total_mib are enough"
    listed = "`splitter rig --cards` lists the known cards; "
    return f"did you mean {' or '.join(near)}? Otherwise {instead}" if near else listed + instead


VENDOR_WORDS = {
    "nvidia": frozenset({"nvidia", "geforce", "gtx", "rtx", "gt", "quadro", "tesla", "titan", "cmp", "jetson"}),
    "amd": frozenset({"amd", "ati", "radeon", "rx", "instinct", "firepro", "vega", "ryzen"}),
    "intel": frozenset({"intel", "arc", "iris", "uhd", "xe"}),
    "apple": frozenset({"apple"}),
}


def nearest_names(catalog: Catalog, text: str, count: int = 3) -> tuple[str, ...]:
    """The names of the cards most like `text`, of its maker and with its letter or number; () if none is."""
    wanted = read_name(text).words
    if not _short(wanted):
        return ()
    raw = set(plain_name(text).replace("-", " ").split())
    makers = {vendor for vendor, words in VENDOR_WORDS.items() if words & (raw | set(wanted))}
    ranked = sorted(
        ((_likeness(wanted, read_name(card.name).words), -i, card.name) for i, card in enumerate(catalog.cards)
         if not makers or card.vendor in makers), reverse=True)  # fmt: skip
    return tuple(name for likeness, _, name in ranked[:count] if likeness >= 0.6)


def _likeness(wanted: tuple[str, ...], name: tuple[str, ...]) -> float:
    """0 to 1, and a little more for the same letters and for numbers that begin alike."""
    import difflib

    own, other = _short(wanted), _short(name)
    letters, numbers = _letters(own), set(own) - _letters(own)
    if letters and not (letters & _letters(other)) and not (numbers & set(other)):
        return 0.0
    ratio = difflib.SequenceMatcher(None, " ".join(own), " ".join(other)).ratio()
    shared = max((_prefix(a, b) for a in numbers for b in other), default=0)
    return ratio + 0.1 * (letters == _letters(other)) + 0.05 * shared


def _prefix(a: str, b: str) -> int:
    """How many leading digits two numbers of equal length share."""
    if len(a) != len(b):
        return 0
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))


def _short(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word for word in words if word not in BRANDS)


def _letters(words: Iterable[str]) -> set[str]:
    return {word for word in words if not word.isdigit()}
