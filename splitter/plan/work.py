"""Work: what tokens cost on each device in bytes and multiplications, without any speed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.patterns import Override, find_override, read_overrides
from splitter.memory.weights import EXPERTS, Site
from splitter.model.facts import ModelFacts
from splitter.model.ggml_types import type_name
from splitter.plan.plan import Plan

CACHE_TYPE_BYTES = 2  # of a cached value in f16, which attention multiplies with


@dataclass(frozen=True, slots=True)
class Part:
    """Weights of one GGML type: bytes read per generated token, bytes held, weights multiplied per token.

    Of stacked `experts`, read and multiplied is the used share, held are all.
    """

    ggml_type: str
    experts: bool
    read_bytes: float
    held_bytes: float
    weights: float

    def times(self, share: float) -> "Part":
        """A share of these weights."""
        return Part(
            self.ggml_type, self.experts, self.read_bytes * share, self.held_bytes * share, self.weights * share
        )


@dataclass(frozen=True, slots=True)
class Portion:
    """What one layer, or all layers of one place, ask of it.

    `cache_bytes` are read per generated token at the depth asked about, `attention_flops` multiplied per prompt token
    there; `layers` are launched, the output layer not counted. `output` is read per generated token, but multiplied
    only for the last token of a prompt.
    """

    parts: tuple[Part, ...] = ()
    output: tuple[Part, ...] = ()
    cache_bytes: float = 0.0
    attention_flops: float = 0.0
    layers: int = 0

    def read_bytes(self) -> float:
        """Bytes of weights read per generated token."""
        return sum(part.read_bytes for part in (*self.parts, *self.output))

    def times(self, share: float) -> "Portion":
        """A share of every layer, each of which is launched all the same."""
        parts, output = (tuple(part.times(share) for part in row) for row in (self.parts, self.output))
        return Portion(parts, output, self.cache_bytes * share, self.attention_flops * share, self.layers)


@dataclass(frozen=True, slots=True)
class LayerWork:
    """One layer: what its device does, and what the host does wherever the layer is (-ncmoe, -ot ...=CPU)."""

    device: Portion
    moved: Portion


@dataclass(frozen=True, slots=True)
class Work:
    """A placement's work: per device (in device order), of layers on the host, of tensors in RAM of other layers.

    `moved_layers` are layers on devices with tensors in RAM: each hands its activations over and back.
    `shares` as in Placement: in `-sm tensor` the devices share one Portion, the first; `width` is that of an activation
    row, `vocabulary` that of a row of logits, in values; `rows` are in the cache when a token is generated,
    `prompt_rows` when a prompt is read.
    """

    devices: tuple[Portion, ...]
    host: Portion
    moved: Portion
    moved_layers: int
    width: int
    model_class: str
    shares: tuple[float, ...] = ()
    op_offload: bool = True
    vocabulary: int = 0
    rows: int = 0
    prompt_rows: int = 0

    def used(self) -> int:
        """How many devices hold layers."""
        return sum(bool(share.parts or share.output) for share in self.devices)


def layer_works(
    memory: MemoryModel, depth: int = 0, prompt_depth: int = 0, known: "LayerParts | None" = None
) -> tuple[LayerWork, ...]:
    """The work per layer, the output layer last, with `depth` tokens in the cache, in prompts `prompt_depth`.

    A cache in RAM (-nkvo) is the host's to read. `known` are the parts if they were read before.
    """
    parts = known or layer_parts(memory)
    output = len(parts.device) - 1
    found = []
    for i, (cache, flops) in enumerate(
        zip(_cache_bytes(memory, depth), _attention_flops(memory, prompt_depth), strict=True)
    ):
        attention, none = (float(cache), flops), (0.0, 0.0)
        on_device = attention if memory.settings.kv_offload else none
        in_ram = none if memory.settings.kv_offload else attention
        device, moved = parts.device[i], parts.moved[i]
        if i == output:
            found.append(LayerWork(Portion((), device), Portion((), moved)))
        else:
            launched = int(bool(device or moved))
            found.append(LayerWork(Portion(device, (), *on_device, launched), Portion(moved, (), *in_ram)))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class LayerParts:
    """The weights per layer, the output layer last: on its device, and in RAM wherever the layer is.

    `named` are its tensors' names and parts, which no override changes.
    """

    device: tuple[tuple[Part, ...], ...]
    moved: tuple[tuple[Part, ...], ...]
    named: tuple[tuple[tuple[str, Part], ...], ...]


def layer_parts(memory: MemoryModel, like: LayerParts | None = None) -> LayerParts:
    """Sorts the weights of every layer by type, and by where -ot and its kin put them.

    `like` are the parts of the same tensors under other overrides.
    """
    named = like.named if like else _named_parts(memory)
    overrides = read_overrides(memory.settings)
    known: dict[tuple[Part, ...], tuple[Part, ...]] = {}
    device: list[tuple[Part, ...]] = []
    moved: list[tuple[Part, ...]] = []
    for row in named:
        in_ram = [_in_ram(overrides, name) for name, _ in row] if overrides else [False] * len(row)
        for rows, wanted in ((device, False), (moved, True)):
            parts = tuple(part for (_, part), here in zip(row, in_ram, strict=True) if here is wanted)
            if parts not in known:
                known[parts] = merged(parts)
            rows.append(known[parts])
    return LayerParts(tuple(device), tuple(moved), named)


def _in_ram(overrides: Sequence[Override], name: str) -> bool:
    found = find_override(overrides, name)
    return found is not None and found.device is None


def _named_parts(memory: MemoryModel) -> tuple[tuple[tuple[str, Part], ...], ...]:
    rows: list[list[tuple[str, Part]]] = [[] for _ in memory.layer_model_bytes]
    for site in memory.sites.layers:
        rows[site.layer].append((site.tensor.name, part_of(site)))
    return tuple(map(tuple, rows))


def part_of(site: Site) -> Part:
    """What a turn does with one tensor."""
    tensor, size = site.tensor, site.tensor.size_bytes
    experts = EXPERTS.search(tensor.name) is not None
    matrix = len(tensor.shape) > 1
    used = site.read_bytes / size if size else 1.0
    return Part(type_name(tensor.ggml_type), experts, site.read_bytes, size, used * prod(tensor.shape) * matrix)


def merged(parts: Iterable[Part]) -> tuple[Part, ...]:
    """One part per type and kind."""
    sums: dict[tuple[str, bool], list[float]] = {}
    for part in parts:
        known = sums.setdefault((part.ggml_type, part.experts), [0.0, 0.0, 0.0])
        known[0] += part.read_bytes
        known[1] += part.held_bytes
        known[2] += part.weights
    return tuple(Part(*key, *values) for key, values in sums.items())


def _cache_bytes(memory: MemoryModel, depth: int, **types: Any) -> tuple[int, ...]:
    if not depth:
        return (0,) * len(memory.layer_model_bytes)
    return memory.with_settings(replace(memory.settings, context_size=depth, parallel=1, **types)).layer_context_bytes


def _attention_flops(memory: MemoryModel, depth: int) -> tuple[float, ...]:
    """Q times K and the result times V: two multiplications and additions per cached value and query head."""
    if not depth:
        return (0.0,) * len(memory.layer_model_bytes)
    heads, shared = memory.facts.hparam("attention.head_count"), memory.facts.hparam("attention.head_count_kv")
    group = heads / shared if isinstance(heads, int) and isinstance(shared, int) and shared else 1.0
    cached = _cache_bytes(memory, depth, cache_type_k="f16", cache_type_v="f16")
    return tuple(2.0 * group * size / CACHE_TYPE_BYTES for size in cached)


def summed(shares: Iterable[Portion]) -> Portion:
    """All that several layers ask of one place."""
    known = tuple(shares)
    return Portion(
        merged(part for share in known for part in share.parts),
        merged(part for share in known for part in share.output),
        sum(share.cache_bytes for share in known),
        sum(share.attention_flops for share in known),
        sum(share.layers for share in known),
    )


def model_class(facts: ModelFacts) -> str:
    """`dense`, `hybrid` (recurrent layers), `moe` or `hybrid moe`: what a layer's launches depend on."""
    recurrent = any(".ssm_" in tensor.name or ".time_mix" in tensor.name for tensor in facts.tensors)
    experts = any(EXPERTS.search(tensor.name) for tensor in facts.tensors)
    return " ".join(word for word, applies in (("hybrid", recurrent), ("moe", experts)) if applies) or "dense"


def work_in(
    memory: MemoryModel,
    placement: Placement,
    depth: int = 0,
    prompt_depth: int = 0,
    known: LayerParts | None = None,
) -> Work:
    """The work of a placement, arguments as in `layer_works`."""
    layers = layer_works(memory, depth, prompt_depth, known)
    owned: list[list[Portion]] = [[] for _ in range(placement.devices)]
    on_host: list[Portion] = []
    for owner, layer in zip(placement.layers, layers, strict=True):
        (on_host if owner is None else owned[owner]).append(layer.device)
    width = memory.facts.hparam("embedding_length")
    return Work(
        devices=tuple(summed(row) for row in owned),
        host=summed(on_host),
        moved=summed(layer.moved for layer in layers),
        moved_layers=sum(
            owner is not None and bool(layer.moved.parts) for owner, layer in zip(placement.layers, layers, strict=True)
        ),
        width=width if isinstance(width, int) else 0,
        model_class=model_class(memory.facts),
        shares=placement.shares,
        op_offload=memory.settings.op_offload,
        vocabulary=memory.facts.vocabulary,
        rows=depth,
        prompt_rows=prompt_depth,
    )


def work_frame(memory: MemoryModel, depth: int, prompt_depth: int) -> Work:
    """The work of no layer at all: what the size of messages depends on."""
    width = memory.facts.hparam("embedding_length")
    return Work(
        devices=(),
        host=Portion(),
        moved=Portion(),
        moved_layers=0,
        width=width if isinstance(width, int) else 0,
        model_class="",
        vocabulary=memory.facts.vocabulary,
        rows=depth,
        prompt_rows=prompt_depth,
    )


def work_of(plan: Plan, depth: int = 0) -> Work:
    """The work of a plan, with an empty cache unless `depth` says otherwise."""
    return work_in(MemoryModel(plan.facts, plan.settings, plan.engine.memory), plan.placement, depth)
