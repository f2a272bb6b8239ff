"""`-sm tensor`: which part of every tensor and cache each device holds.

Source: llama_meta_device_get_split_state in src/llama-model.cpp, ggml/src/ggml-backend-meta.cpp; llama.cpp build 11434.
"""

import re
from collections.abc import Callable, Sequence
from math import lcm, prod

from splitter.memory.context import Streams, extra_bytes, kv_bytes, layer_streams, sequence_cells, ubatch
from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.memory.speculation import draft_types, state_copies
from splitter.memory.tensor_rules import GROUPED_RULES, RULES, STATE_OUT, WIDE_BLOCK, Rule, cut
from splitter.memory.weights import Weights, padded_bytes
from splitter.model.attention import F32_BYTES, LayerCache
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.ggml_types import ALL_TYPES
from splitter.model.hparams import Hparams, integer, per_layer, read_hparams

BLOCK_NAME = re.compile(r"blk\.(\d+)\.(.*)")
PER_HEAD_STATE = ("ssm_dt.bias", "ssm_a", "ssm_alpha.weight", "ssm_beta.weight")
FEED_FORWARD = re.compile(r"ffn_(up|gate|gate_up|down)(_exps|_shexp)?\.(weight|bias)")
Segments = list[tuple[int, int]]  # (elements, how often), as ggml_backend_meta_split_state's ne and nr


class TensorSplit:
    """The shares of one model among `len(split)` devices; `split` as in -ts (all zero: equal shares)."""

    def __init__(self, facts: ModelFacts, split: Sequence[float]) -> None:
        self.facts = facts
        self.split = tuple(split)
        self.devices = len(split)
        self.hparams: Hparams = read_hparams(facts)
        self.names = {tensor.name: tensor for tensor in facts.tensors}
        self.grouped = self.hparams.family.indexer == "compressed"
        self.rules = GROUPED_RULES if self.grouped else RULES
        self.rotations = _rotations(self.hparams, self.devices)
        self._known: dict[tuple[object, ...], tuple[int, ...]] = {}
        self._weights: dict[tuple[object, ...], tuple[int, ...]] = {}
        self.expert_ffn = per_layer(facts, "expert_feed_forward_length", self.hparams.layers)
        self.kinds = _kinds(self.hparams, self.expert_ffn, self._gate_is_per_head)

    def weights(self, weights: Weights, placement: Placement) -> tuple[int, ...]:
        """Bytes of all weights that are not in RAM, on each device."""
        on_device = tuple(owner is not None for owner in placement.layers)
        key = (id(weights), on_device)
        if key not in self._weights:
            self._weights[key] = self._sum_weights(weights, on_device)
        return self._weights[key]

    def _sum_weights(self, weights: Weights, on_device: Sequence[bool]) -> tuple[int, ...]:
        tensors = [tensor for tensor, layer in weights.placed if on_device[layer]]
        if any(on_device[: weights.sharing_layers]):
            tensors += weights.everywhere
        return tuple(map(sum, zip(*map(self.tensor_bytes, tensors), strict=True))) or (0,) * self.devices

    def caches(
        self, caches: Sequence[LayerCache], settings: Settings, placement: Placement, window_padding: int = 0
    ) -> tuple[int, ...]:
        """Bytes of all caches that are not in RAM, on each device."""
        cells, batch = sequence_cells(self.facts, settings), ubatch(self.facts, settings)
        layers = [
            self.layer_cache_bytes(i, cache, settings, layer_streams(cache, settings, cells, batch, window_padding))
            for i, cache in enumerate(caches)
            if placement.layers[i] is not None
        ]
        return tuple(map(sum, zip(*layers, strict=True))) or (0,) * self.devices

    def tensor_bytes(self, tensor: TensorInfo) -> tuple[int, ...]:
        """Bytes of a weight on each device, rows padded and aligned."""
        match = BLOCK_NAME.fullmatch(tensor.name)
        layer, name = (int(match[1]), match[2]) if match else (None, tensor.name)
        rule = self.rules.get(name)
        block = self._block(rule, layer, tensor) if rule is not None else None
        if rule is None or block is None or self.hparams.family.mirrored or not _is_cut(name, tensor, rule):
            return (padded_bytes(tensor, tensor.size_bytes, tensor.shape[0]),) * self.devices
        size = tensor.shape[rule.axis]
        return tuple(
            padded_bytes(tensor, tensor.size_bytes * part // size, tensor.shape[0] if rule.axis else part)
            for part in self._parts(name, layer, size, block)
        )

    def layer_cache_bytes(self, layer: int, cache: LayerCache, settings: Settings, streams: Streams) -> tuple[int, ...]:
        """Bytes of a layer's KV cache and state on each device; indexer caches are on every device."""
        settings = draft_types(settings) if cache.drafts else settings
        keys = self._cache_parts("cache_k", layer, cache.k_width)
        values = self._cache_parts("cache_v", layer, cache.v_width)
        state = self._state_bytes(layer, cache, settings.parallel * state_copies(settings))
        extra = extra_bytes(cache, settings, streams)
        return tuple(kv_bytes(settings, streams, k, v) + s + extra for k, v, s in zip(keys, values, state, strict=True))

    def _cache_parts(self, name: str, layer: int, size: int) -> tuple[int, ...]:
        rule = self.rules.get(name)
        block = None if rule is None or size == 0 else self._block(rule, layer, None)
        if block is None or self.hparams.family.mirrored:
            return (size,) * self.devices
        return self._parts(name, layer, size, block)

    def _state_bytes(self, layer: int, cache: LayerCache, sequences: int) -> tuple[int, ...]:
        rolling, recurrent = self.hparams.state_elements
        whole = cache.recurrent_bytes * sequences
        if not whole or self.grouped or self._block(RULES["cache_r"], layer, None) is None:
            return (whole,) * self.devices
        parts = zip(self._parts("cache_r", layer, rolling, 1), self._parts("cache_s", layer, recurrent, 1), strict=True)
        uncut = whole - (rolling + recurrent) * F32_BYTES * sequences
        return tuple((r + s) * F32_BYTES * sequences + uncut for r, s in parts)

    def _block(self, rule: Rule, layer: int | None, tensor: TensorInfo | None) -> int | None:
        """Elements per quantisation block of the rule's reference tensor; None where the model has none."""
        prefix = "" if layer is None else f"blk.{layer}."
        found = (self.names.get(prefix + name) for name in rule.references)
        reference = next((t for t in found if t is not None), None) if rule.references else tensor
        return None if reference is None else ALL_TYPES[reference.ggml_type].block_elements

    def _parts(self, name: str, layer: int | None, size: int, block: int) -> tuple[int, ...]:
        """Elements of the cut dimension on each device; layers of one kind share the work."""
        il = layer or 0
        rotation = self.hparams.trunk % self.devices if layer is None else self.rotations[il]
        key = (name, size, block, rotation, self.kinds[il])
        if key not in self._known:
            self._known[key] = self._cut(name, il, size, block, rotation)
        return self._known[key]

    def _cut(self, name: str, il: int, size: int, block: int, rotation: int) -> tuple[int, ...]:
        segments = self._segments(name, il, size)
        grains = self._granularity(name, il, block, segments)
        parts = [0] * self.devices
        for (elements, repeat), grain in zip(segments, grains, strict=True):
            for device, share in enumerate(cut(elements, max(grain, 1), self.split, rotation)):
                parts[device] += share * repeat
        return tuple(parts)

    def _segments(self, name: str, il: int, size: int) -> Segments:
        h = self.hparams
        if h.family.gated_query != "no":
            gated = self._gated_segments(name, il)
            if gated is not None:
                return gated
        elif name in {"attn_qkv.weight", "attn_qkv.bias"}:
            q, k, v = h.heads[il] * h.head_k[il], h.head_k[il] * h.kv_heads[il], h.head_v[il] * h.kv_heads[il]
            return [(q, 1), (k, 2)] if k == v else [(q, 1), (k, 1), (v, 1)]
        elif name.startswith(("ffn_up.", "ffn_up_exps.")) and size == 2 * h.ffn[il]:
            return [(h.ffn[il], 2)]
        if name.startswith(("ffn_gate_up.", "ffn_gate_up_exps.")) and self.expert_ffn is not None:
            return [(self.expert_ffn[il], 2)]
        return [(size, 1)]

    def _gated_segments(self, name: str, il: int) -> Segments | None:
        """qwen3next and kin: Q carries its gate, value heads outnumber key heads."""
        h = self.hparams
        if not h.recurrent[il] and name in {"attn_qkv.weight", "attn_qkv.bias"}:
            return [(2 * h.heads[il] * h.head_k[il], 1), (h.head_v[il] * h.kv_heads[il], 2)]
        state, groups = integer(self.facts, "ssm.state_size"), integer(self.facts, "ssm.group_count")
        key, value = state * groups, state * integer(self.facts, "ssm.time_step_rank")
        rolls = integer(self.facts, "ssm.conv_kernel") - 1
        scale = rolls if name == "cache_r" else 1
        if name in {"attn_qkv.weight", "ssm_conv1d.weight", "cache_r"}:
            if h.family.gated_query == "contiguous":
                return [(key * scale, 2), (value * scale, 1)]
            return [(key * scale, 2 + value // key)]
        if h.family.gated_query == "contiguous":
            return None
        units = {"attn_gate.weight": key, STATE_OUT: key, "cache_s": groups * state * state}
        unit = groups if name in PER_HEAD_STATE else units.get(name)
        return None if unit is None else [(unit, value // key)]

    def _granularity(self, name: str, il: int, block: int, segments: Segments) -> tuple[int, ...]:
        h = self.hparams
        count = len(segments)
        if self.grouped and name.startswith("attn_"):
            return (self._grouped_grain(name, il),)
        if FEED_FORWARD.fullmatch(name):
            return (lcm(block, WIDE_BLOCK),) * count
        if h.recurrent[il]:
            return (self._state_grain(name, block),) * count
        if name in RULES and name.startswith(("attn_", "cache_")) and h.kv_heads[il]:
            return self._attention_grains(name, il, block, count)
        return (1,) * count

    def _grouped_grain(self, name: str, il: int) -> int:
        heads = self.hparams.heads[il] // max(integer(self.facts, "attention.output_group_count"), 1)
        grains = {
            "attn_sinks.weight": heads,
            "attn_q_b.weight": heads * self.hparams.head_k[il],
            "attn_output_b.weight": integer(self.facts, "attention.output_lora_rank"),
        }
        return grains.get(name, 1)

    def _state_grain(self, name: str, block: int) -> int:
        head = integer(self.facts, "ssm.state_size")
        qkv = lcm(block, WIDE_BLOCK, head) if head else 1
        grains = {
            **dict.fromkeys(("attn_qkv.weight", "attn_gate.weight", "ssm_conv1d.weight", STATE_OUT), qkv),
            **dict.fromkeys(PER_HEAD_STATE, qkv // max(head, 1)),
            "ssm_ba.weight": 2 * (qkv // max(head, 1)),
            "cache_r": qkv * (integer(self.facts, "ssm.conv_kernel") - 1),
            "cache_s": qkv * head,
        }
        return grains.get(name, 1)

    def _attention_grains(self, name: str, il: int, block: int, count: int) -> tuple[int, ...]:
        h = self.hparams
        head_k, head_v = h.head_k[il], h.head_v[il]
        group = h.heads[il] // h.kv_heads[il]
        width = group * head_k
        wide = block
        while wide < WIDE_BLOCK and wide * self.devices < width:
            wide *= 2
        q = lcm(width, wide)
        heads = q // head_k
        kv = q // group
        v = kv // head_k * head_v
        gated = lcm(2 * width, wide) if h.family.gated_query != "no" else q
        if name.startswith("attn_qkv."):
            return (gated, kv) if count == 2 else (q, kv, v)[:count]
        per_head_gate = name == "attn_gate.weight" and self._gate_is_per_head(il)
        grains = {
            "attn_q": gated,
            "attn_k": kv,
            "cache_k": kv,
            "attn_v": v,
            "cache_v": v,
            "attn_sinks": heads,
            "attn_output": heads * head_v,
            "attn_gate": heads if per_head_gate else q,
        }
        return (grains.get(name.partition(".")[0], 1),) * count

    def _gate_is_per_head(self, il: int) -> bool:
        gate = self.names.get(f"blk.{il}.attn_gate.weight")
        return gate is not None and len(gate.shape) > 1 and gate.shape[1] == self.hparams.heads[il]


def _is_cut(name: str, tensor: TensorInfo, rule: Rule) -> bool:
    """Norms of single heads are not cut, nor is a dimension of one element."""
    return len(tensor.shape) > rule.axis and not (name.endswith("_norm.weight") and prod(tensor.shape[1:]) == 1)


def _rotations(hparams: Hparams, devices: int) -> tuple[int, ...]:
    """How far the rounding is rotated in each layer: the number of earlier layers of the same kind."""
    seen: dict[tuple[bool, bool], int] = {}
    rotations = []
    for kind in zip(hparams.recurrent, hparams.windowed, strict=True):
        rotations.append(seen.get(kind, 0) % devices)
        seen[kind] = seen.get(kind, 0) + 1
    return tuple(rotations)


def _kinds(
    hparams: Hparams, expert_ffn: tuple[int, ...] | None, per_head: Callable[[int], bool]
) -> tuple[tuple[object, ...], ...]:
    """What makes the cuts of two layers alike."""
    columns = (hparams.recurrent, hparams.heads, hparams.kv_heads, hparams.head_k, hparams.head_v, hparams.ffn)
    rows = enumerate(zip(*columns, strict=True))
    return tuple((*row, None if expert_ffn is None else expert_ffn[i], per_head(i)) for i, row in rows)
