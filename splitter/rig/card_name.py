"""How people and drivers write a card's name: words, a memory size, lists with multiplicities."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from splitter.errors import RigError
from splitter.printable import printable
from splitter.rig.node_names import is_node_name
from splitter.units import GIB, from_mib

NOISE = frozenset({"nvidia", "amd", "ati", "intel", "corporation", "r", "tm", "graphics", "gpu", "series", "with",
                   "design", "edition", "generation", "card"})  # fmt: skip
# What board makers add to a chip's name; dropped only where nothing answers to the whole name.
BOARD_WORDS = frozenset({
    "msi", "asus", "rog", "tuf", "proart", "gigabyte", "aorus", "evga", "zotac", "palit", "pny", "inno3d",
    "ichill", "gainward", "galax", "kfa2", "manli", "colorful", "igame", "sapphire", "nitro", "pulse", "pure",
    "powercolor", "reddevil", "red", "devil", "hellhound", "fighter", "xfx", "speedster", "merc", "qick",
    "swft", "asrock", "challenger", "phantom", "taichi", "sparkle", "titan", "acer", "predator", "bifrost",
    "lenovo", "dell", "hp", "oem", "maxsun", "gunnir", "yeston", "gaming", "oc", "ventus", "trio", "suprim",
    "eagle", "windforce", "strix", "dual", "phoenix", "founders", "fe", "xlr8", "verto", "ftw3", "ftw", "xc3",
    "amp", "holo", "trinity", "jetstream", "gamerock", "lhr", "ftw2", "black", "ultra", "sli", "2x", "3x",
    "egpu", "oculink", "turbo", "slot", "blower", "pcie",
})  # fmt: skip
BRANDS = frozenset({"geforce", "gtx", "rtx", "gt", "radeon", "rx", "instinct", "arc", "tesla", "apple", "jetson"})
SYNONYMS = {"mobile": "laptop", "notebook": "laptop"}
SUFFIXES = {"s": ("super",), "tis": ("ti", "super"), "m": ("laptop",)}
SIZE = re.compile(r"(?<![\w.])(\d{1,6}(?:\.\d+)?)\s*(gb|gib|g|mb|mib)\b")
MAX_COUNT = 16
LIST_SIGNS = re.compile(r"[,;]|(?<!max)(?<!nitro)\+", re.IGNORECASE)  # "Ryzen AI Max+ 395" is one name


@dataclass(frozen=True, slots=True)
class Wanted:
    """A name as a person or a driver writes it, read: its words and, if it names one, a memory size."""

    words: tuple[str, ...]
    size_bytes: int | None


@lru_cache(maxsize=1024)
def read_name(text: str) -> Wanted:
    """Splits a card's name into lower-case words and its memory size.

    "1060-6gb" -> (1060) 6 GiB; "RX 6700XT" -> (rx 6700 xt); "NVIDIA GeForce RTX 3060 Laptop GPU" -> (geforce rtx 3060
    laptop); "2080s" -> (2080 super); what a Vulkan driver adds in brackets, "(RADV NAVI22)", is dropped.
    """
    text = re.sub(r"\((?:tm|r)\)|\bw/", " ", text.lower())
    text = re.sub(r"\((?!pascal)[^)]*\)", " ", text)
    size = SIZE.search(text)
    return Wanted(tuple(_words(SIZE.sub(" ", text))), _size_bytes(size) if size else None)


@lru_cache(maxsize=1024)
def plain_name(text: str) -> str:
    """`text` in lower case without (R) and (TM), one space between words: what two spellings of a full name share."""
    return " ".join(re.sub(r"\((?:tm|r)\)", " ", text.lower()).split())


def looser_names(text: str) -> tuple[Wanted, ...]:
    """Other readings of a name that nothing answers to: without the board maker's words; Max-Q as a laptop's chip."""
    kept = " ".join(word for word in re.split(r"[\s_+-]+", text) if word.lower() not in BOARD_WORDS)
    wanted = read_name(kept)
    words = wanted.words
    if words[-2:] == ("max", "q"):
        return (wanted, Wanted((*words[:-2], "laptop"), wanted.size_bytes))
    return (wanted,)


def _size_bytes(size: re.Match[str]) -> int:
    return int(float(size[1]) * GIB) if size[2].startswith("g") else from_mib(float(size[1]))


def _words(text: str) -> Iterator[str]:
    for chunk in re.findall(r"[a-z0-9]+", text):
        parts = re.findall(r"\d+|[a-z]+", chunk)
        for i, part in enumerate(parts):
            if i and part in SUFFIXES and i == len(parts) - 1:
                yield from SUFFIXES[part]
            elif part not in NOISE:
                yield SYNONYMS.get(part, part)


@dataclass(frozen=True, slots=True)
class Listed:
    """One card of a list, and the node that it is in (None: this machine)."""

    name: str
    node: str | None = None


def split_list(text: str) -> tuple[str, ...]:
    """The names of `placed_list`."""
    return tuple(card.name for card in placed_list(text))


def placed_list(text: str) -> tuple[Listed, ...]:
    """The entries of a --gpus list, multiplicities unfolded: "2x3090, p40" -> 3090, 3090, p40; "attic:3060" is a card
    of the node attic.

    Raises RigError for an empty list or entry and for a count outside 1-16.
    """
    entries = [entry.strip() for entry in LIST_SIGNS.split(text)]
    if not all(entries):
        raise RigError(f"'{text}' is not a list of cards", 'write it like --gpus "1050ti,2080,1060-6gb" or "2x3090"')
    return tuple(card for entry in entries for card in _listed(entry))


def _listed(entry: str) -> Iterator[Listed]:
    node, colon, names = entry.partition(":")
    if not colon or not is_node_name(node):
        yield from (Listed(name) for name in _unfold(entry))
    elif names.strip():
        yield from (Listed(name, node) for name in _unfold(names.strip()))
    else:
        raise RigError(f"'{printable(entry, 60)}' names no card", "write it like attic:3060 or attic:2x3060")


def _unfold(entry: str) -> tuple[str, ...]:
    before = re.fullmatch(r"(\d{1,3})\s*[x*×]\s*(.+)", entry, re.IGNORECASE)
    after = re.fullmatch(r"(.*?)(?:\s*[*×]\s*|(?<=[\d\s])x\s*)(\d{1,3})", entry, re.IGNORECASE)
    if before:
        count, name = int(before[1]), before[2]
    elif after:
        count, name = int(after[2]), after[1]
    else:
        return (entry,)
    if not 1 <= count <= MAX_COUNT:
        raise RigError(f"'{entry}' asks for {count} cards", f"a rig has 1 to {MAX_COUNT} cards of a kind")
    return (name.strip(),) * count
