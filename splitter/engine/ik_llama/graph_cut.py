"""`-sm graph`: which part of every tensor and cache each device holds, and what the fork cannot divide so.

Source: `create_tensors`, `create_split`, `prepare_split_tensors` in src/llama-load-tensors.cpp, `llama_kv_cache_init`
in src/llama.cpp, `ggml_backend_cuda_split_buffer_init_tensor` in ggml/src/ggml-cuda.cu (ik-llama-cpp-python 0.1.5).
The weights that lie on a device already move the next cut towards the others. Not run: it needs two CUDA cards.
"""

import math
from collections.abc import Mapping, Sequence

from splitter.memory.context import Streams, extra_bytes, kv_bytes, layer_streams, sequence_cells, ubatch
from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.memory.tensor_split import BLOCK_NAME
from splitter.memory.weights import OUTPUT, ROW_PADDING, TOKEN_EMBEDDING, Weights
from splitter.model.attention import LayerCache, placed_layers
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.ggml_types import ALL_TYPES
from splitter.model.hparams import read_hparams
from splitter.plan.placement import float32, split_points
from splitter.units import MIB, pad

# Architectures that it divides (is_model_split_supported in src/llama.cpp); others fall back to layer.
_GRAPH = """
llama qwen3moe glm4moe mistral3 command-r cohere2 mimo2 qwen3 qwen3vl hunyuan-moe gpt-oss ernie4_5-moe minimax-m2
seed_oss step35 qwen35 qwen35moe gemma4
"""
GRAPH_ARCHITECTURES = frozenset(_GRAPH.split())
LEAST_GRAIN = 16  # rows of a feed-forward network or of the output that stay together
PAGE_BYTES = 2 * MIB  # every part is a cudaMalloc of its own; one of a page or more takes whole pages (inferred)
ALIGNMENT = 512
DOWN = ("ffn_down.weight", "ffn_down_exps.weight", "ffn_down_shexp.weight")
Parts = tuple[int, ...]  # elements on each device
Named = Mapping[str, TensorInfo]


def _by_layer(tensors: Sequence[TensorInfo]) -> list[tuple[int, dict[str, TensorInfo]]]:
    """The tensors of each layer by their names within it, in order."""
    found: dict[int, dict[str, TensorInfo]] = {}
    for tensor in tensors:
        match = BLOCK_NAME.fullmatch(tensor.name)
        if match:
            found.setdefault(int(match[1]), {})[match[2]] = tensor
    return sorted(found.items())


def _attends(named: Named) -> bool:
    return all(f"attn_{part}.weight" in named for part in ("q", "k", "output"))


class _Grains:
    """How many rows or columns of a model's attention stay together."""

    def __init__(self, facts: ModelFacts) -> None:
        self.hparams = read_hparams(facts)
        self.in_blocks = facts.architecture == "command-r"  # its queries too are cut in blocks of the output's type

    def group(self, layer: int) -> int:
        """Heads of queries that share one of keys."""
        return self.hparams.heads[layer] // max(self.hparams.kv_heads[layer], 1)

    def attention(self, layer: int, named: Named) -> tuple[int, int]:
        """Rows of queries, and columns of the output."""
        group, out = self.group(layer), named["attn_output.weight"]
        keys, values = self.hparams.head_k[layer] * group, self.hparams.head_v[layer] * group
        block = ALL_TYPES[out.ggml_type].block_elements
        if self.in_blocks and block > keys and named["attn_q.weight"].shape[1] % block == 0:
            keys = block
        return keys, max(values, block)


def _grain(down: TensorInfo) -> int:
    """Columns of a feed-forward network's last matrix that stay together."""
    return max(LEAST_GRAIN, ALL_TYPES[down.ggml_type].block_elements)


def divides(facts: ModelFacts) -> bool:
    """Whether the fork divides the model at all; else it falls back to layer."""
    per_layer_inputs = any("per_layer_token_embd" in tensor.name for tensor in facts.tensors)
    return facts.architecture in GRAPH_ARCHITECTURES and not per_layer_inputs


def refusal(facts: ModelFacts, settings: Settings) -> str | None:
    """Why `-sm graph` is no plan for the model, None where it is one."""
    if not divides(facts):
        return f"ik_llama.cpp does not divide {facts.architecture} by -sm graph"
    if any(read_hparams(facts).recurrent):
        return f"splitter does not know how -sm graph divides the recurrent layers of {facts.architecture}"
    if any(not name.startswith("CUDA") for name in settings.device_order):
        return "-sm graph needs CUDA devices"
    if not settings.kv_offload:
        return "-sm graph is not planned with -nkvo"
    if settings.gpu_layers >= 0 and 0 < settings.gpu_layers <= placed_layers(facts):
        return "-sm graph is planned with all layers on devices"
    grains = _Grains(facts)
    return next(filter(None, (_odd(layer, named, grains) for layer, named in _by_layer(facts.tensors))), None)


def _odd(layer: int, named: Named, grains: _Grains) -> str | None:
    """What of a layer cannot be cut in whole pieces: the engine would end with a failed assertion."""
    pieces = [(named[name].shape[0], _grain(named[name])) for name in DOWN if name in named]
    if _attends(named):
        keys, values = grains.attention(layer, named)
        pieces += [(named["attn_q.weight"].shape[1], keys), (named["attn_output.weight"].shape[0], values)]
        pieces.append((values, grains.hparams.head_v[layer]))
    odd = next(((size, grain) for size, grain in pieces if size % grain), None)
    return f"-sm graph cannot cut {odd[0]} in pieces of {odd[1]}" if odd else None


def _padded(tensor: TensorInfo, size: int, width: int) -> int:
    kind = ALL_TYPES[tensor.ggml_type]
    rest = width % ROW_PADDING
    return size + (kind.row_bytes(ROW_PADDING - rest) if rest and kind.block_elements > 1 else 0)


def _malloc(size: int) -> int:
    return pad(size, PAGE_BYTES if size >= PAGE_BYTES else ALIGNMENT)


class _Cutter:
    """Cuts the tensors layer by layer, as the engine does; `held` are bytes with their padding, `heads` the shares of
    each layer's keys and values on each device."""

    def __init__(self, wanted: tuple[float, ...], grains: _Grains, tensors: Sequence[TensorInfo]) -> None:
        self.wanted, self.grains = wanted, grains
        self.everywhere = (1,) * len(wanted)
        self.whole = ((1.0, 1.0),) * len(wanted)
        self.used, self.held = [0] * len(wanted), [0] * len(wanted)
        self.heads: dict[int, tuple[tuple[float, float], ...]] = {}
        for layer, named in _by_layer(tensors):
            self._layer(layer, named)
        self._output({tensor.name: tensor for tensor in tensors if not BLOCK_NAME.fullmatch(tensor.name)})

    def _layer(self, layer: int, rest: dict[str, TensorInfo]) -> None:
        """What is cut or copied leaves `rest`; what stays (norms, routers) is copied to each device."""
        self._copy(rest, "attn_norm.weight")
        if _attends(rest):
            self._attention(layer, rest)
        self._copy(rest, *(name for name in tuple(rest) if "norm" in name))
        self._feed_forward(rest, "")
        experts = self._feed_forward(rest, "_exps")
        self._feed_forward(rest, "_shexp", like=experts)
        self._copy(rest, *tuple(rest))

    def _attention(self, layer: int, rest: dict[str, TensorInfo]) -> None:
        """Queries and keys in whole groups of heads, values and output beside them."""
        q, k, out = (rest[f"attn_{part}.weight"] for part in ("q", "k", "output"))
        v = rest.get("attn_v.weight")
        head_k, head_v = self.grains.hparams.head_k[layer], self.grains.hparams.head_v[layer]
        keys, values = self.grains.attention(layer, rest)
        by_value, by_key = self.cut(out.shape[0], values), self.cut(q.shape[1], keys)
        group = self.grains.group(layer)
        kv_value, kv_key = (tuple(part // group for part in parts) for parts in (by_value, by_key))
        self._projected(rest, "attn_q", by_key, by_value)
        self._take(rest, "attn_output.weight", 0, by_value)
        self._copy(rest, "attn_output.bias", on=by_value)
        by_head = tuple(part // head_k for part in by_key)
        self._take(rest, "attn_sinks.weight", 0, by_head)
        self._take(rest, "attn_gate.weight", 1, by_head)
        if self._projected(rest, "attn_k", kv_key, kv_value):
            kv_key = tuple(part // head_v * head_k for part in kv_value)
        self._take(rest, "attn_v.weight", 1, kv_value)
        self._take(rest, "attn_v.bias", 0, kv_value)
        width = (v or k).shape[1]
        self.heads[layer] = tuple((a / k.shape[1], b / width) for a, b in zip(kv_key, kv_value, strict=True))

    def _projected(self, rest: dict[str, TensorInfo], name: str, parts: Parts, on: Parts) -> bool:
        """Cuts a projection with its bias; True where a norm over all heads keeps it whole on each device instead."""
        norm = rest.get(f"{name}_norm.weight")
        if norm is not None and norm.shape[0] == rest[f"{name}.weight"].shape[1]:
            self._copy(rest, f"{name}.weight", f"{name}_norm.weight", f"{name}.bias", on=on)
            return True
        self._take(rest, f"{name}.weight", 1, parts)
        self._copy(rest, f"{name}_norm.weight", on=parts)
        self._take(rest, f"{name}.bias", 0, parts)
        return False

    def _feed_forward(self, rest: dict[str, TensorInfo], kind: str, like: Parts | None = None) -> Parts | None:
        """The parts of one network, None where it is not whole here. A shared expert lies on the devices that have
        some of the others (`like`)."""
        down = rest.get(f"ffn_down{kind}.weight")
        if down is None or not any(f"ffn_{up}{kind}.weight" in rest for up in ("up", "gate_up")):
            return None
        size, grain = down.shape[0], _grain(down)
        parts = self.cut(size, grain)
        if like is not None and any((a == 0) != (b == 0) for a, b in zip(parts, like, strict=True)):
            parts = self.cut(size, grain, tuple(float32(part / sum(like)) for part in like))
        self._take(rest, f"ffn_down{kind}.weight", 0, parts)
        self._copy(rest, f"ffn_down{kind}.bias", on=parts)
        for up, count in (("gate_up", 2), ("up", 1), ("gate", 1)):
            rows = tuple(count * part for part in parts)
            self._take(rest, f"ffn_{up}{kind}.weight", 1, rows)
            self._take(rest, f"ffn_{up}{kind}.bias", 0, rows)
        if kind == "_shexp":
            self._copy(rest, "ffn_gate_inp_shexp.weight", on=parts)
        return parts

    def _output(self, rest: dict[str, TensorInfo]) -> None:
        """The output matrix, else its stand-in, by rows; the rest beside it."""
        name = OUTPUT if OUTPUT in rest else TOKEN_EMBEDDING
        if name in rest:
            self._take(rest, name, 1, self.cut(rest[name].shape[1], LEAST_GRAIN))
        self._copy(rest, *(name for name in tuple(rest) if name != TOKEN_EMBEDDING))

    def cut(self, size: int, grain: int, wanted: Parts | tuple[float, ...] | None = None) -> Parts:
        """`create_split`: pieces of `grain` by shares, less what a device holds beyond its own already."""
        total = sum(self.used) + 1
        shares = [
            float32(share + float32(share - float32(float32(used) / float32(total))))
            for share, used in zip(wanted or self.wanted, self.used, strict=True)
        ]
        pieces = size // grain
        want = [float32(share * pieces) for share in shares]
        parts = [max(math.floor(abs(w) + 0.5) if w > 0 else 0, 0) for w in want]
        while sum(parts) > pieces:
            parts[max((d for d, p in enumerate(parts) if p), key=lambda d: (parts[d] - want[d], -d))] -= 1
        while sum(parts) < pieces:
            parts[max(range(len(parts)), key=lambda d: (want[d] - parts[d], -d))] += 1
        return tuple(part * grain for part in parts)

    def _copy(self, rest: dict[str, TensorInfo], *names: str, on: Parts | None = None) -> None:
        """Tensors that are whole on each device, or on those with a part."""
        for name in names:
            if name in rest:
                tensor = rest.pop(name)
                self._add(tensor, [tensor.shape[0] * bool(part) for part in on or self.everywhere], 0)

    def _take(self, rest: dict[str, TensorInfo], name: str, axis: int, parts: Parts) -> None:
        """A tensor of which each device has its part along `axis`."""
        if name in rest:
            self._add(rest.pop(name), parts, axis)

    def _add(self, tensor: TensorInfo, parts: Sequence[int], axis: int) -> None:
        for device, part in enumerate(parts):
            if part:
                width = part if axis == 0 else tensor.shape[0]
                size = tensor.size_bytes * part // tensor.shape[axis]
                self.used[device] += size
                self.held[device] += _malloc(_padded(tensor, size, width))


def _cache_bytes(cache: LayerCache, settings: Settings, streams: Streams, keys: float, values: float) -> int:
    k, v = round(cache.k_width * keys), round(cache.v_width * values)
    parts = (kv_bytes(settings, streams, k, 0), kv_bytes(settings, streams, 0, v))
    states = cache.recurrent_bytes * settings.parallel
    return sum(map(_malloc, parts)) + extra_bytes(cache, settings, streams) + states


class GraphCut:
    """The shares of one model among `len(split)` devices; `split` as in -ts (all zero: equal shares)."""

    def __init__(self, facts: ModelFacts, split: Sequence[float]) -> None:
        self.facts, self.split = facts, tuple(split)
        given = self.split if any(self.split) else (1.0,) * len(self.split)
        points = split_points(given, len(given))
        self.wanted = tuple(float32(b - a) for a, b in zip((0.0, *points), points, strict=False))
        self._known: dict[tuple[bool, ...], tuple[Weights | None, _Cutter]] = {}

    def weights(self, weights: Weights, placement: Placement) -> tuple[int, ...]:
        """Bytes of all weights that are not in RAM, on each device."""
        return tuple(self._cutter(placement, weights).held)

    def caches(
        self, caches: Sequence[LayerCache], settings: Settings, placement: Placement, window_padding: int = 0
    ) -> tuple[int, ...]:
        """Bytes of all caches that are not in RAM, on each device: those of the heads whose weights it has."""
        cells, batch = sequence_cells(self.facts, settings), ubatch(self.facts, settings)
        cutter = self._cutter(placement)
        total = [0] * len(self.split)
        for layer, cache in enumerate(caches):
            if placement.layers[layer] is None:
                continue
            streams = layer_streams(cache, settings, cells, batch, window_padding)
            for device, (keys, values) in enumerate(cutter.heads.get(layer, cutter.whole)):
                total[device] += _cache_bytes(cache, settings, streams, keys, values)
        return tuple(total)

    def cutter_of(self, tensors: Sequence[TensorInfo]) -> _Cutter:
        """These tensors cut."""
        return _Cutter(self.wanted, _Grains(self.facts), tensors)

    def _cutter(self, placement: Placement, weights: Weights | None = None) -> _Cutter:
        """What was cut for the layers on devices; `weights` None: as they were last asked for."""
        on_device = tuple(owner is not None for owner in placement.layers)
        known = self._known.get(on_device)
        if known is None or (weights is not None and known[0] is not weights):
            tensors = [t for t, layer in weights.placed if on_device[layer]] if weights else self.facts.tensors
            known = self._known[on_device] = (weights, self.cutter_of(tensors))
        return known[1]
