"""Which of llama.cpp's GPU backends serves a rig's cards, and what it calls them. Pure.

One llama-server is built for one backend as a rule, so the cards of one rig belong to one: CUDA for NVIDIA alone, Metal
for Apple, ROCm for AMD's CDNA cards (Mesa's Vulkan driver does not know them), Vulkan for everything else and for cards
of several makers. Vulkan for Radeons too: it needs no ROCm, every release carries it, and generation is measured faster
(RX 7900 XTX 191 against 170 t/s, see catalog.yaml). Device names: ggml/include/ggml-{cuda,vulkan,sycl}.h and
ggml-metal.cpp, build 11434.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Literal

from splitter.errors import RigError
from splitter.rig.backend import prefix_of
from splitter.rig.catalog import VENDOR_WORDS, Card, Catalog, find
from splitter.rig.device import Device, Rig

BackendName = Literal["cuda", "vulkan", "rocm", "sycl", "metal"]
DEVICE_NAMES: dict[BackendName, str] = {
    "cuda": "CUDA", "vulkan": "Vulkan", "rocm": "ROCm", "sycl": "SYCL", "metal": "MTL"
}  # fmt: skip
DRIVES: dict[BackendName, frozenset[str]] = {
    "cuda": frozenset({"nvidia"}),
    "vulkan": frozenset({"nvidia", "amd", "intel"}),
    "rocm": frozenset({"amd"}),
    "sycl": frozenset({"intel"}),
    "metal": frozenset({"apple"}),
}


def backend_name(device_id: str) -> BackendName | None:
    """ "cuda" of "CUDA0"; None for RPC and what is not known."""
    said = prefix_of(device_id)
    return next((name for name, prefix in DEVICE_NAMES.items() if prefix == said), None)


def vendor(name: str, card: Card | None) -> str:
    """ "nvidia", "amd", "intel" or "apple"; a name that gives no sign is taken for NVIDIA."""
    if card is not None:
        return card.vendor
    words = set(name.lower().replace("(r)", " ").split())
    return next((maker for maker, signs in VENDOR_WORDS.items() if words & signs), "nvidia")


def choose_backend(cards: Sequence[tuple[str, Card | None]]) -> BackendName:
    """The one backend for cards of these names."""
    makers = {vendor(name, card) for name, card in cards}
    if makers <= {"nvidia"}:
        return "cuda"
    if makers == {"apple"}:
        return "metal"
    if all(card is not None and card.family.startswith("CDNA") for _, card in cards):
        return "rocm"
    return "vulkan"


def cards_of(devices: Iterable[Device], catalog: Catalog) -> list[tuple[str, Card | None]]:
    """Name and catalog card of each device."""
    return [(device.name, find(catalog, device.name, device.total_bytes)) for device in devices]


def numbered(asked: BackendName, count: int) -> list[str]:
    """ "Vulkan0", "Vulkan1", ..."""
    return [f"{DEVICE_NAMES[asked]}{index}" for index in range(count)]


def refuse_other_makers(asked: BackendName, cards: Iterable[tuple[str, Card | None]]) -> None:
    """RigError for a card that the backend does not drive."""
    for name, card in cards:
        if vendor(name, card) not in DRIVES[asked]:
            other = choose_backend([(name, card)])
            raise RigError(
                f"--backend {asked} does not drive the {name}",
                f"--backend vulkan drives the cards of all makers; --backend {other} this one alone"
                if other not in {"vulkan", "metal"}
                else f"take --backend {other}",
            )


def on_backend(rig: Rig, asked: BackendName | None, catalog: Catalog) -> Rig:
    """`rig` with its own devices called as `asked` calls them. Other machines' devices keep their names. RigError for a
    card that the backend does not drive."""
    if asked is None:
        return rig
    here = [device for device in rig.devices if device.node is None and prefix_of(device.id) != "RPC"]
    refuse_other_makers(asked, cards_of(here, catalog))
    if all(backend_name(device.id) == asked for device in here):
        return rig
    ids = dict(zip((device.id for device in here), numbered(asked, len(here)), strict=True))
    return replace(rig, devices=tuple(_renamed(device, ids.get(device.id)) for device in rig.devices))


def _renamed(device: Device, device_id: str | None) -> Device:
    if device_id is None:
        return device
    return replace(device, id=device_id, sources={**device.sources, "id": "given"})
