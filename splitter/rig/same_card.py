"""Which card of this machine is meant by a device of a rig. Pure."""

from collections.abc import Sequence
from dataclasses import replace

from splitter.rig.card_name import BRANDS, read_name
from splitter.rig.catalog import SIZE_TOLERANCE
from splitter.rig.device import Device
from splitter.rig.nvml_devices import pci_order

Cards = tuple[Device, ...]


def cards_of_rig(wanted: Sequence[Device], cards: Sequence[Device]) -> tuple[Cards, Cards]:
    """The cards that the rig means, in its order and under its ids, and the rig's devices that no card is.

    A UUID decides, else the PCI slot; a rig file without either means the first card of that name and size.
    """
    left = list(cards)
    found, unknown = [], []
    for device in wanted:
        card = _find(device, left)
        if card is None:
            unknown.append(device)
        else:
            left.remove(card)
            found.append(replace(card, id=device.id))
    return tuple(found), tuple(unknown)


def _find(device: Device, cards: Sequence[Device]) -> Device | None:
    if device.uuid:
        return next((card for card in cards if card.uuid == device.uuid), None)
    if device.pci_bus_id:
        slot = pci_order(device.pci_bus_id)
        return next((card for card in cards if card.pci_bus_id and pci_order(card.pci_bus_id) == slot), None)
    return next((card for card in cards if _alike(device, card)), None)


def _alike(device: Device, card: Device) -> bool:
    near = abs(device.total_bytes - card.total_bytes) <= SIZE_TOLERANCE * card.total_bytes
    return near and _model(device.name) == _model(card.name)


def _model(name: str) -> list[str]:
    """A rig file may say "RTX 2080" where the driver says "NVIDIA GeForce RTX 2080"."""
    return [word for word in read_name(name).words if word not in BRANDS]
