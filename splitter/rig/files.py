"""Reads the catalog and the rig files."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

from splitter.errors import RigError
from splitter.rig.backends import BackendName, on_backend
from splitter.rig.card_name import Listed, placed_list, plain_name, read_name
from splitter.rig.catalog import Card, Catalog, matches, parse_catalog, resolve
from splitter.rig.device import Device, Rig
from splitter.rig.host import operating_system, probe_host
from splitter.rig.node_file import SavedNode, load_nodes
from splitter.rig.nodes import with_nodes
from splitter.rig.rig_file import dump_rig, nearest, parse_rig, rig_from_cards
from splitter.safe_yaml import MAX_BYTES
from splitter.shipped import shipped_folder

__all__ = ["dump_rig", "known_cards", "load_catalog", "load_rig", "rig_from_gpus", "shipped_rigs"]


@cache
def load_catalog() -> Catalog:
    """The shipped catalog (about 20 ms with libyaml, 80 ms without)."""
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    text = Path(__file__).with_name("catalog.yaml").read_text(encoding="utf-8")
    return parse_catalog(yaml.load(text, Loader=loader))  # noqa: S506 - both loaders are safe ones


def known_cards(words: str = "") -> tuple[Card, ...]:
    """The cards whose name holds every word of `words` ("3060", "radeon 7900"), or that it is another name of."""
    catalog = load_catalog()
    if not words.strip():
        return catalog.cards
    wanted = plain_name(words).replace("-", " ").split()
    named = tuple(card for card in catalog.cards if all(word in plain_name(card.name) for word in wanted))
    return named or matches(catalog, words)


def shipped_rigs() -> tuple[str, ...]:
    """The names of the rigs that come with splitter."""
    return tuple(sorted(path.stem for path in _shipped().glob("*.yaml")))


def _shipped() -> Path:
    return shipped_folder("examples") / "rigs"


def load_rig(name_or_path: str, backend: BackendName | None = None) -> Rig:
    """The rig of a file, or the shipped rig of that name ("phoenix"), its devices called as `backend` calls them.

    RigError when there is none or it is wrong, or when the backend does not drive a card of it.
    """
    path, catalog = _find(name_or_path), load_catalog()
    rig = parse_rig(_read(path), str(path), path.stem, catalog, operating_system())
    return on_backend(rig, backend, catalog)


def _find(name_or_path: str) -> Path:
    path = Path(name_or_path).expanduser()
    shipped = _shipped() / f"{name_or_path}.yaml"
    if path.is_file():
        return path
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise RigError(f"there is no rig file {name_or_path}", "`splitter rig --save FILE` writes this host's")
    if name_or_path in shipped_rigs():
        return shipped
    raise RigError(f"there is no rig called '{name_or_path}'", nearest(name_or_path, shipped_rigs()))


def _read(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1).decode("utf-8-sig")
    except OSError as problem:
        raise RigError(f"{path} cannot be read: {problem.strerror}", "check the path and its permissions") from None
    except UnicodeDecodeError:
        raise RigError(f"{path} is not UTF-8 text", "is this a rig file?") from None


def rig_from_gpus(list_text: str, backend: BackendName | None = None) -> Rig:
    """The rig of a list such as "1050ti,2080,1060-6gb", "2x3090,p40" or "2080,attic:3060": cards from the catalog, this
    host around them; of a card in another machine the network is that of the saved node, else a typical one.

    Raises RigError for an empty list, an unknown card (naming the nearest) or one that fits several (naming them).
    """
    listed = placed_list(list_text)
    here = tuple(card for card in listed if card.node is None)
    rig = _rig_of(here, list_text.strip(), backend)
    nodes = dict.fromkeys(card.node for card in listed if card.node)
    if not nodes:
        return rig
    known = load_nodes()
    return with_nodes(rig, (d for name in nodes for d in _cards_in(name, listed, known.get(name), backend)))


def _rig_of(listed: tuple[Listed, ...], name: str, backend: BackendName | None) -> Rig:
    catalog = load_catalog()
    cards = tuple(resolve(catalog, card.name) for card in listed)
    sized = tuple(read_name(card.name).size_bytes is not None for card in listed)
    return rig_from_cards(cards, sized, name, catalog, probe_host(), backend=backend)


def _cards_in(
    name: str, listed: tuple[Listed, ...], node: SavedNode | None, backend: BackendName | None
) -> Iterator[Device]:
    """The listed cards of one node, on the network that is known of it."""
    there = _rig_of(tuple(card for card in listed if card.node == name), name, backend)
    rtt_s, link = (node.rtt_s, node.link_bytes_per_s) if node else (None, None)
    yield from (replace(d, node=name, rtt_s=rtt_s, node_link_bytes_per_s=link) for d in there.devices)
