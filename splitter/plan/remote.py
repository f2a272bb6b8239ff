"""What a device in another machine costs beside its own work: messages over the network. Pure.

Measured in front of llama.cpp 11434 (reference/distributed.md, section 1): a generated token takes 0.47 ms and 1.05
round trips per remote device, whatever machine it is in, and its bytes over the link. Graphs are cached, so that a
token sends one message to recompute and its inputs: the first remote device gets the rows of the embedding and the
positions (2.5 KB + 12 n_embd + 2 n_kv bytes, 4 n_kv without flash attention), a later one the activations (2 KB + 4
n_embd + the mask), and each gives activations back (4 n_embd), where the output layer is 4 n_vocab.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from splitter.memory.footprint import Placement
from splitter.model.facts import ModelFacts
from splitter.plan.work import Work
from splitter.rig.device import Device
from splitter.units import from_mib, pad

MESSAGE_S = 0.00047
ROUND_TRIPS = 1.05
FIRST_BYTES, LATER_BYTES = 2500, 2000
FIRST_ROWS = 12
ROW_BYTES = 4
MASK_BYTES = 2
ROWS_PADDED = 256
# Of prompts, per token and worker at n_embd 256 and some 2000 cached rows: 6.1-6.6 KB up, 1 KB down.
COPY_BYTES_PER_S = 400e6
"""What the client reads and the worker stores, in its cache too, of a weight beside its time on the wire.

Build 11434 on two cores, 257 MB of weights, median of three: 0.58 s at 1 Gbit/s (python -m tests.nodes.speed_table
--loads), 0.87 s at 10, 1.1 s without a network (the same by hand, once)."""
CACHE_BYTES_PER_S = 650e6
"""What the client hashes and the worker reads of its cache: the same weights took 0.39 s, whatever the network."""
BLOCK = re.compile(r"blk\.(\d+)\.")
CACHED_TENSOR_BYTES = from_mib(10)
"""The worker's cache (-c) keeps tensors above this size; the others are sent at every load."""


def link_s(device: Device, size: float) -> float:
    """Seconds of so many bytes on the way to a device; 0 for one that is here."""
    return size / device.node_link_bytes_per_s if device.node and device.node_link_bytes_per_s else 0.0


def message_s(device: Device) -> float:
    """Seconds that one token's messages to a device take, without its bytes."""
    return MESSAGE_S + ROUND_TRIPS * (device.rtt_s or 0.0) if device.node else 0.0


def token_bytes(work: Work, *, first: bool, output: bool) -> float:
    """What a generated token sends to a remote device and gets back."""
    rows = MASK_BYTES * pad(work.rows + 1, ROWS_PADDED)
    up = FIRST_BYTES + FIRST_ROWS * work.width if first else LATER_BYTES + ROW_BYTES * work.width
    return up + rows + ROW_BYTES * (work.vocabulary if output else work.width)


def prompt_bytes(work: Work, *, first: bool) -> float:
    """The same per prompt token: no logits but those of the last one."""
    rows = MASK_BYTES * pad(work.prompt_rows + 1, ROWS_PADDED)
    return (FIRST_ROWS if first else ROW_BYTES) * work.width + rows + ROW_BYTES * work.width


def hops(work: Work, devices: Sequence[Device]) -> list[tuple[Device, bool, bool]]:
    """The remote devices that hold layers: each with whether it is the first of them, and whether it has the output."""
    held = [
        (device, bool(portion.output))
        for device, portion in zip(devices, work.devices, strict=False)
        if device.node and (portion.parts or portion.output)
    ]
    return [(device, index == 0, output) for index, (device, output) in enumerate(held)]


def token_hops_s(work: Work, devices: Sequence[Device]) -> float:
    """Seconds that the network takes of one generated token."""
    return sum(
        message_s(device) + link_s(device, token_bytes(work, first=first, output=output))
        for device, first, output in hops(work, devices)
    )


def prompt_hops_s(work: Work, devices: Sequence[Device], ubatch_size: int) -> float:
    """Seconds that the network takes of one prompt token in micro-batches of `ubatch_size`."""
    return sum(
        message_s(device) / ubatch_size + link_s(device, prompt_bytes(work, first=first))
        for device, first, _ in hops(work, devices)
    )


@dataclass(frozen=True, slots=True)
class Sending:
    """How the weights of a plan's remote devices get there: bytes and seconds of the first load, and of a later one in
    which the workers' caches have the large tensors."""

    size_bytes: int
    first_s: float
    cached_s: float


def sending(placement: Placement, devices: Sequence[Device], facts: ModelFacts) -> Sending:
    """The engine loads one device after the other; a tensor that the worker has is named by its hash alone."""
    size = 0
    first = cached = 0.0
    for index, device in enumerate(devices):
        if not device.node:
            continue
        tensors = _tensors_on(placement, index, facts)
        whole, sent = sum(tensors), sum(t for t in tensors if t <= CACHED_TENSOR_BYTES)
        size += whole
        asked = (device.rtt_s or 0.0) * len(tensors)
        first += link_s(device, whole) + whole / COPY_BYTES_PER_S + asked
        cached += link_s(device, sent) + whole / CACHE_BYTES_PER_S + asked
    return Sending(size, first, cached)


def _tensors_on(placement: Placement, index: int, facts: ModelFacts) -> list[int]:
    """Sizes of the tensors of the layers that a device holds."""
    held = set(placement.layers_on(index))
    own = [t.size_bytes for t in facts.tensors if (found := BLOCK.match(t.name)) and int(found[1]) in held]
    if placement.output_device() == index:
        own += [t.size_bytes for t in facts.tensors if t.name.startswith("output")]
    return own
