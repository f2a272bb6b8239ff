"""A rig of several machines: the other machines' devices come first, as llama.cpp's RPC numbers them. Pure.

llama.cpp 11434 registers the devices of `--rpc host:port,...` as RPC0, RPC1, ... in the order of the endpoints; in its
own order, in -ts and in -mg they stand before the local devices (reference/distributed.md, section 1).
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from splitter.errors import RigError
from splitter.rig.defaults import DEFAULT, with_values
from splitter.rig.device import Device, Rig

PREFIX = "RPC"
# Gigabit Ethernet through one switch, where nobody measured: 940 Mbit/s of payload, 0.3 ms.
DEFAULT_RTT_S = 0.0003
DEFAULT_LINK_BYTES_PER_S = 117_500_000.0
FIRST_PORT = 50052
"""ggml-rpc-server's own port; the workers of further nodes are reached at the ports behind it."""
MOST_REMOTE = 16  # GGML_RPC_MAX_SERVERS of build 11434 (ggml-rpc.h), where each machine has one card


def is_remote(device: Device) -> bool:
    """Whether it is in another machine."""
    return device.node is not None


def nodes_of(rig: Rig) -> tuple[str, ...]:
    """The other machines of the rig, in the order of their first device."""
    return tuple(dict.fromkeys(device.node for device in rig.devices if device.node))


def with_nodes(rig: Rig, remote: Iterable[Device]) -> Rig:
    """`rig` with the devices of other machines too: in front, a machine's together, called RPC0, RPC1, ...

    RigError for more of them than llama.cpp takes."""
    away = [*(d for d in rig.devices if is_remote(d)), *remote]
    order = list(dict.fromkeys(device.node for device in away))
    away.sort(key=lambda device: order.index(device.node))
    if len(away) > MOST_REMOTE:
        raise RigError(
            f"{len(away)} cards of other machines", f"llama.cpp takes at most {MOST_REMOTE}: name fewer nodes"
        )
    numbered = (_numbered(device, index) for index, device in enumerate(away))
    return replace(rig, devices=(*numbered, *(d for d in rig.devices if not is_remote(d))))


def _numbered(device: Device, index: int) -> Device:
    """The device as the engine calls it, with the network assumed where it is unknown."""
    own = device.node_id or (device.id if not device.id.startswith(PREFIX) else None)
    assumed = {"rtt_s": DEFAULT_RTT_S, "node_link_bytes_per_s": DEFAULT_LINK_BYTES_PER_S}
    unknown = {field: value for field, value in assumed.items() if getattr(device, field) is None}
    return with_values(replace(device, id=f"{PREFIX}{index}", node_id=own), unknown, DEFAULT)


def without_nodes(rig: Rig, gone: Iterable[str] | None = None) -> Rig:
    """`rig` without the devices of the nodes `gone` (default: of all), the others numbered anew."""
    names = set(nodes_of(rig) if gone is None else gone)
    return with_nodes(replace(rig, devices=tuple(d for d in rig.devices if d.node not in names)), ())


def only_devices(rig: Rig, kept: Sequence[str]) -> Rig:
    """`rig` with those remote devices alone whose ids are `kept`, numbered anew."""
    return with_nodes(replace(rig, devices=tuple(d for d in rig.devices if not is_remote(d) or d.id in kept)), ())


def endpoints(rig: Rig) -> dict[str, str]:
    """Node -> `host:port` at which its worker is reached from this machine: as the rig says, else by the order of the
    nodes on loopback, where a tunnel ends."""
    told = {device.node: device.worker for device in rig.devices if device.node and device.worker}
    return {node: told.get(node) or f"127.0.0.1:{FIRST_PORT + i}" for i, node in enumerate(nodes_of(rig))}


def reached_at(rig: Rig, workers: dict[str, str]) -> Rig:
    """`rig` with the endpoints of its nodes' workers."""
    devices = (replace(d, worker=workers.get(d.node, d.worker)) if d.node else d for d in rig.devices)
    return replace(rig, devices=tuple(devices))
