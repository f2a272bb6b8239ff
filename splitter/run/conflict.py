"""Whether a launch may start beside the instances that run: its port, its cards. Pure.

A card's free memory, asked from the driver, already lacks what a ready instance holds, but not what one that still
loads will take. Free memory from a rig file lacks neither.
"""

from collections.abc import Mapping, Sequence

from splitter.errors import DoesNotFitError, EngineError, SplitterError
from splitter.run.entry import Entry, Reserved
from splitter.units import format_bytes

ANY = {"0.0.0.0", "::", ""}  # noqa: S104 - compared, not listened on
LOOPBACK = {"127.0.0.1", "localhost", "::1"}
GOING = {"stopping", "exited", "failed"}


def conflict(
    wanted: Entry, free_bytes: Mapping[str, int], read_at: float, others: Sequence[Entry]
) -> SplitterError | None:
    """Why `wanted` must not start; None when it may. `free_bytes` per device id was read at `read_at`."""
    for other in others:
        if other.port == wanted.port and hosts_meet(other.host, wanted.host):
            message = f"port {wanted.port} is taken by {other.name}, which splitter runs ({other.phase})"
            return EngineError(message, f"splitter stop {other.name}, or use another --port")
    for card in wanted.devices:
        refused = over_committed(card, free_bytes[card.id], read_at, others)
        if refused:
            return refused
    return None


def over_committed(card: Reserved, free_bytes: int, read_at: float, others: Sequence[Entry]) -> SplitterError | None:
    """The error when what others will take of this card leaves too little."""
    takers = {other.name: taken for other in others if (taken := unseen_bytes(card, other, read_at))}
    left_bytes = free_bytes - sum(takers.values())
    if not takers or card.used_bytes <= left_bytes:
        return None
    names = " and ".join(takers)
    message = (
        f"{card.id} ({card.name}) has {format_bytes(free_bytes)} free, of which {names} takes "
        f"{format_bytes(sum(takers.values()))}: this plan's {format_bytes(card.used_bytes)} does not fit next to it"
    )
    waits = "wait until it is ready and plan again, or " if card.asked else ""
    return DoesNotFitError(message, f"{waits}splitter stop {' '.join(takers)}")


def unseen_bytes(card: Reserved, other: Entry, read_at: float) -> int:
    """What `other` takes of `card` and the card's free memory does not show yet."""
    if other.phase in GOING:
        return 0
    visible = card.asked and other.ready_at is not None and other.ready_at <= read_at
    return 0 if visible else sum(held.used_bytes for held in other.devices if held.same_card(card))


def hosts_meet(one: str, other: str) -> bool:
    """Whether two servers on these addresses would want the same port."""
    return one == other or bool({one, other} & ANY) or {one, other} <= LOOPBACK


def unique_name(wanted: str, taken: Sequence[str]) -> str:
    """`wanted`, or with the first number behind it that makes it so: phoenix, phoenix-2."""
    number, name = 1, wanted
    while name in taken:
        number += 1
        name = f"{wanted}-{number}"
    return name
