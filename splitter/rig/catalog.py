"""Public card specifications: the table behind `--gpus` and behind every value a rig file or a driver leaves out.

Pure: `splitter.rig.files.load_catalog` reads catalog.yaml, this module gives its rows meaning and finds cards by name.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from splitter.errors import RigError
from splitter.rig.card_name import BRANDS, Wanted, read_name
from splitter.rig.device import CardSpeed
from splitter.units import from_mib

GIGA = 10**9
TERA = 10**12
# Bytes/s that one PCIe lane carries in one direction, after line coding (PCI-SIG: 8b/10b up to gen 2, then 128b/130b).
PCIE_LANE_BYTES_PER_S = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}
# A driver shows up to 7 % less than the marketed memory, with ECC 12 %; sizes one card is sold with lie further apart.
SIZE_TOLERANCE = 0.13


@dataclass(frozen=True, slots=True)
class Card:
    """One public card; `fp16_flops` is a dense matrix peak (see catalog.yaml), `source` the URL of its page."""

    name: str
    vendor: str
    family: str
    total_bytes: int
    bandwidth_bytes_per_s: float
    bus_bits: int
    data_rate_gbps: float
    sm_count: int
    fp32_flops: float
    fp16_flops: float
    compute_capability: str | None
    link_bytes_per_s: float | None
    source: str
    measured: tuple[CardSpeed, ...] = ()


@dataclass(frozen=True)
class Catalog:
    """All cards, and what an ambiguous short name means (alias -> name of a card)."""

    cards: tuple[Card, ...]
    aliases: Mapping[str, str]

    def card(self, name: str) -> Card:
        """The card of exactly this name; KeyError if there is none."""
        for card in self.cards:
            if card.name == name:
                return card
        raise KeyError(name)


def parse_catalog(data: Mapping[str, Any]) -> Catalog:
    """The catalog from catalog.yaml's mapping."""
    measured = _measured(data.get("measured", ()))
    cards = [
        _card(dict(zip(data["columns"], row, strict=True)), family, data, measured)
        for family in data["families"]
        for row in family["cards"]
    ]
    return Catalog(tuple(cards), dict(data["aliases"]))


def _measured(boards: Iterable[Mapping[str, Any]]) -> dict[str, tuple[CardSpeed, ...]]:
    """Card name -> what the public scoreboards say of it."""
    found: dict[str, tuple[CardSpeed, ...]] = {}
    for board in boards:
        for name, generation, prompt in board["cards"]:
            speed = CardSpeed(board["backend"], float(generation), prompt and float(prompt), board["source"])
            found[name] = (*found.get(name, ()), speed)
    return found


def _card(
    row: Mapping[str, Any],
    family: Mapping[str, Any],
    data: Mapping[str, Any],
    measured: Mapping[str, tuple[CardSpeed, ...]],
) -> Card:
    return Card(
        name=row["name"],
        vendor=family["vendor"],
        family=family["family"],
        total_bytes=from_mib(row["total_mib"]),
        bandwidth_bytes_per_s=float(round(row["gb_per_s"] * GIGA)),
        bus_bits=row["bus_bits"],
        data_rate_gbps=float(row["gbps"]),
        sm_count=row["sm_count"],
        fp32_flops=float(round(row["fp32_tflops"] * TERA)),
        fp16_flops=float(round(row["fp16_tflops"] * TERA)),
        compute_capability=family.get("compute_capability"),
        link_bytes_per_s=_link(row["pcie"]),
        source=data["sources"].get(row["page"], data["page_base"] + row["page"]),
        measured=measured.get(row["name"], ()),
    )


def _link(pcie: str | None) -> float | None:
    if pcie is None:
        return None
    generation, lanes = pcie.split("x")
    return link_bytes_per_s(int(generation), int(lanes))


def link_bytes_per_s(generation: int, lanes: int) -> float | None:
    """Bytes/s of a PCIe link in one direction; None for a generation that is not known."""
    lane = PCIE_LANE_BYTES_PER_S.get(generation)
    return None if lane is None else float(round(lane * lanes))


def matches(catalog: Catalog, text: str, total_bytes: int | None = None) -> tuple[Card, ...]:
    """The cards that `text` may mean: one if the name is clear, several if it is not, () if none is known.

    A card answers if it has every word of `text`; those with the fewest words beyond these remain. Of cards sold with
    several sizes, `total_bytes` or a size in the text chooses; without one, the card whose name carries no size, then
    the catalog's aliases. A size that none of them has (a modified card) does not choose.
    """
    wanted = read_name(text)
    if not set(wanted.words) - BRANDS:
        return ()
    size = wanted.size_bytes if wanted.size_bytes is not None else total_bytes
    nearest = _fewest_extra_words(catalog, wanted)
    fitting = [card for card in nearest if _is_size(card, size)] or nearest
    if len(fitting) == 1:
        return tuple(fitting)
    alias = _alias(catalog, wanted)
    return tuple(fitting) if alias is None else (alias,)


def _fewest_extra_words(catalog: Catalog, wanted: Wanted) -> list[Card]:
    answering = [(len(extra), card) for card in catalog.cards if (extra := _extra(card.name, wanted)) is not None]
    least = min((count for count, _ in answering), default=0)
    return [card for count, card in answering if count == least]


def _is_size(card: Card, size_bytes: int | None) -> bool:
    if size_bytes is None:
        return read_name(card.name).size_bytes is None
    return abs(card.total_bytes - size_bytes) <= SIZE_TOLERANCE * max(card.total_bytes, size_bytes)


def _extra(name: str, wanted: Wanted) -> tuple[str, ...] | None:
    words = list(read_name(name).words)
    for word in wanted.words:
        if word not in words:
            return None
        words.remove(word)
    return tuple(words)


def _alias(catalog: Catalog, wanted: Wanted) -> Card | None:
    """The card of the alias that `wanted` names, fully or without its brand words ("3060" for "GeForce RTX 3060")."""
    plain = set(wanted.words)
    for alias, name in catalog.aliases.items():
        words = set(read_name(alias).words)
        if plain <= words and words - plain <= BRANDS:
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
        choices = ", ".join(card.name for card in found)
        raise RigError(f"'{text.strip()}' matches several cards", f"name one of: {choices}")
    size = read_name(text).size_bytes
    if size is None or _is_size(found[0], size):
        return found[0]
    return replace(found[0], total_bytes=size)


def _unknown_hint(catalog: Catalog, text: str) -> str:
    near = nearest_names(catalog, text)
    instead = "a rig file (--rig FILE) describes any card: name and total_mib are enough"
    return f"did you mean {' or '.join(near)}? Otherwise {instead}" if near else instead


def nearest_names(catalog: Catalog, text: str, count: int = 3) -> tuple[str, ...]:
    """The names of the cards that look most like `text`; () if none does."""
    import difflib

    wanted = " ".join(read_name(text).words)
    by_words = {" ".join(read_name(card.name).words): card.name for card in catalog.cards}
    short = {_short(words): name for words, name in reversed(by_words.items())}
    near = difflib.get_close_matches(_short(wanted), short, n=count, cutoff=0.6)
    return tuple(short[words] for words in near)


def _short(words: str) -> str:
    return " ".join(w for w in words.split() if w not in BRANDS)
