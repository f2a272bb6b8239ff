"""What `splitter inspect` shows of a model: where its bytes lie, in which types, and its shape."""

import re
from collections import defaultdict
from dataclasses import dataclass
from math import prod

from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.ggml_types import type_name
from splitter.model.read_facts import Kind, kind_of

_BLOCK = re.compile(r"(?:enc\.|dec\.)?blk\.(\d{1,4})\.")
_EXPERTS = re.compile(r"\.ffn_(?:up|down|gate|gate_up)_(?:ch)?exps\b")


@dataclass(frozen=True, slots=True)
class TypeShare:
    """All tensors of one ggml type."""

    name: str
    tensors: int
    elements: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class OutsideTensor:
    """A tensor that belongs to no repeating layer (embeddings, output, final norms)."""

    name: str
    type_name: str
    shape: tuple[int, ...]
    size_bytes: int


@dataclass(frozen=True, slots=True)
class HeadCounts:
    """Attention shape as the header gives it; a tuple where it differs per layer, None where the header is silent."""

    head_count: int | tuple[int, ...] | None
    head_count_kv: int | tuple[int, ...] | None
    key_length: int | None
    value_length: int | None


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """`layer_bytes` has one entry per repeating layer; `types` and `outside` are sorted by bytes, the largest first.

    `expert_bytes` counts stacked expert tensors (also part of their layers); `bits_per_weight` is None without tensors.
    """

    kind: Kind
    layer_bytes: tuple[int, ...]
    outside: tuple[OutsideTensor, ...]
    types: tuple[TypeShare, ...]
    heads: HeadCounts
    embedding_length: int | None
    feed_forward_length: int | tuple[int, ...] | None
    expert_count: int | None
    expert_used_count: int | None
    expert_bytes: int
    bits_per_weight: float | None

    @property
    def outside_bytes(self) -> int:
        """Bytes of all tensors outside the repeating layers."""
        return sum(tensor.size_bytes for tensor in self.outside)

    @property
    def tensor_bytes(self) -> int:
        """Bytes of all tensors, without padding."""
        return sum(self.layer_bytes) + self.outside_bytes


def layer_of(tensor: TensorInfo, layers: int) -> int | None:
    """The repeating layer that a tensor belongs to, None outside of them."""
    match = _BLOCK.match(tensor.name)
    return int(match[1]) if match and int(match[1]) < layers else None


def summarize(facts: ModelFacts) -> ModelSummary:
    """Sums the tensor table; nothing is read."""
    layer_bytes = [0] * facts.layers
    outside: list[TensorInfo] = []
    for tensor in facts.tensors:
        layer = layer_of(tensor, facts.layers)
        if layer is None:
            outside.append(tensor)
        else:
            layer_bytes[layer] += tensor.size_bytes
    total = sum(tensor.size_bytes for tensor in facts.tensors)
    return ModelSummary(
        kind=kind_of(facts),
        layer_bytes=tuple(layer_bytes),
        outside=_outside(outside),
        types=_types(facts.tensors),
        heads=_heads(facts),
        embedding_length=_int(facts, "embedding_length"),
        feed_forward_length=_per_layer(facts, "feed_forward_length"),
        expert_count=_int(facts, "expert_count"),
        expert_used_count=_int(facts, "expert_used_count"),
        expert_bytes=sum(tensor.size_bytes for tensor in facts.tensors if _EXPERTS.search(tensor.name)),
        bits_per_weight=total * 8 / facts.parameters if facts.parameters else None,
    )


def _outside(tensors: list[TensorInfo]) -> tuple[OutsideTensor, ...]:
    rows = (OutsideTensor(t.name, type_name(t.ggml_type), t.shape, t.size_bytes) for t in tensors)
    return tuple(sorted(rows, key=lambda row: (-row.size_bytes, row.name)))


def _types(tensors: tuple[TensorInfo, ...]) -> tuple[TypeShare, ...]:
    groups: dict[int, list[TensorInfo]] = defaultdict(list)
    for tensor in tensors:
        groups[tensor.ggml_type].append(tensor)
    shares = (
        TypeShare(type_name(number), len(group), sum(prod(t.shape) for t in group), sum(t.size_bytes for t in group))
        for number, group in groups.items()
    )
    return tuple(sorted(shares, key=lambda share: (-share.size_bytes, share.name)))


def _heads(facts: ModelFacts) -> HeadCounts:
    return HeadCounts(
        _per_layer(facts, "attention.head_count"),
        _per_layer(facts, "attention.head_count_kv"),
        _int(facts, "attention.key_length"),
        _int(facts, "attention.value_length"),
    )


def _int(facts: ModelFacts, key: str) -> int | None:
    value = facts.hparam(key)
    return value if type(value) is int else None


def _per_layer(facts: ModelFacts, key: str) -> int | tuple[int, ...] | None:
    value = facts.hparam(key)
    if isinstance(value, tuple):
        numbers = tuple(item for item in value if type(item) is int)
        return numbers if len(numbers) == len(value) else None
    return value if type(value) is int else None
