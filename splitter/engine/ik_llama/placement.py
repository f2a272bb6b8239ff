"""ik_llama.cpp's rule for which device holds which layer, and its inverse.

Source: `get_layer_sizes` and `llm_load_tensors` in src/llama.cpp, `cache_size` in src/llama-model.cpp
(ik-llama-cpp-python 0.1.5). With -sm layer on two or more devices it fills one device after the other, by bytes: a
layer's weights (experts that are kept on the host too) and its cache, beside the largest compute need of any layer. A
layer that would overshoot a device's share still goes there when less than half of it does.
"""

import re
from collections.abc import Sequence

from splitter.memory.context import CELL_PADDING
from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.rules import LLAMA_CPP
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.ggml_types import ALL_TYPES
from splitter.model.hparams import integer
from splitter.plan.placement import float32, place, split_points
from splitter.units import MIB, pad

# Architectures whose tensor names have no dense feed-forward; elsewhere experts are taken for one by their prefix
# (llm_tensor_type in src/llama-model.cpp), and each tensor counts once.
EXPERTS_ALONE = frozenset({
    "dbrx", "gpt-oss", "granitemoe", "hunyuan-moe", "minimax-m2", "qwen2moe", "qwen35moe", "qwen3moe", "qwen3next",
    "qwen3vlmoe",
})  # fmt: skip
LATENT = frozenset({"deepseek2", "glm-dsa", "mistral4"})
Q8_0 = 8
ATTENTION_BATCH_BYTES = 256 * MIB  # -amb
MARGIN_BYTES = 1024 * MIB  # kept free of each device where no -ts is given
_FFN = re.compile(r"ffn_(gate_up|gate|up|down)(_exps|_shexp)?\.(weight|bias)$")
_NORM = re.compile(r"(attn_norm|ffn_norm|attn_norm_2|attn_output_norm|post_attention_norm|post_ffw_norm)\.weight$")


def layer_sizes(facts: ModelFacts, settings: Settings) -> tuple[tuple[float, ...], float]:
    """Bytes of each layer and of the output layer as the engine weighs them, and the compute need of a device."""
    layers = placed_layers(facts)
    weights, norms = [0.0] * layers, [False] * layers
    parts = [{"": 0.0, "_exps": 0.0, "_shexp": 0.0} for _ in range(layers)]
    used = integer(facts, "expert_used_count")
    for index, tensor in _of_layers(facts):
        weights[index] += tensor.size_bytes
        found = _FFN.search(tensor.name)
        if found:
            rows = (*tensor.shape, 1)[1] * 4 * settings.ubatch_size
            kind = found[2] or "" if facts.architecture in EXPERTS_ALONE else ""
            parts[index][kind] += rows * (used if kind == "_exps" else 1)
        norms[index] = norms[index] or bool(_NORM.search(tensor.name))
    width = integer(facts, "embedding_length")
    inputs = width * settings.ubatch_size * 4
    latent, latent_compute = _latent(facts, settings)
    needs = (max(part.values()) + inputs * (1 + norm) for part, norm in zip(parts, norms, strict=True))
    compute = max(*needs, latent_compute)
    weights = [size + more for size, more in zip(weights, latent, strict=True)]
    caches = _caches(facts, settings)
    output = _output_bytes(facts) + max(facts.vocabulary * settings.ubatch_size * 4 - compute, 0.0)
    return (*(size + cached for size, cached in zip(weights, caches, strict=True)), output), compute


def _latent(facts: ModelFacts, settings: Settings) -> tuple[tuple[float, ...], float]:
    """Of latent attention: bytes of the joined projection that the engine makes of its two halves in each layer, and
    what -mla 3 computes at once within -amb."""
    more, compute = [0.0] * placed_layers(facts), 0.0
    if facts.architecture not in LATENT:
        return tuple(more), compute
    named = {tensor.name: tensor for tensor in facts.tensors}
    for index in range(len(more)):
        k, v = (named.get(f"blk.{index}.attn_{part}_b.weight") for part in ("k", "v"))
        joined = named.get(f"blk.{index}.attn_kv_b.weight")
        if joined is not None:
            more[index] = joined.size_bytes / 2 * ((k is None) + (v is None))
        elif k is not None and v is not None:
            kind = Q8_0 if ALL_TYPES[k.ggml_type].block_elements > 1 else k.ggml_type
            more[index] = ALL_TYPES[kind].row_bytes(v.shape[0]) * (v.shape[1] + k.shape[1]) * v.shape[2] * 2.0
        if v is not None:
            one_head = 2.0 * v.shape[1] * settings.context_size * 4
            compute = max(compute, one_head * _heads_at_once(one_head, v.shape[2]))
    return tuple(more), compute


def _heads_at_once(head_bytes: float, heads: int) -> int:
    """As many heads as -amb (ATTENTION_BATCH_BYTES) holds, in whole divisions of all."""
    if head_bytes * heads <= ATTENTION_BATCH_BYTES:
        return heads
    fits = (heads // n for n in range(2, heads) if heads % n == 0 and head_bytes * heads / n <= ATTENTION_BATCH_BYTES)
    return next(fits, 1)


def _of_layers(facts: ModelFacts) -> list[tuple[int, TensorInfo]]:
    found = ((re.match(r"blk\.(\d+)\.", tensor.name), tensor) for tensor in facts.tensors)
    return [(int(match[1]), tensor) for match, tensor in found if match and int(match[1]) < placed_layers(facts)]


def _output_bytes(facts: ModelFacts) -> float:
    """The output's own weights, else those of the embedding that stands in for them."""
    sizes = {tensor.name: tensor.size_bytes for tensor in facts.tensors}
    return sizes.get("output.weight") or sizes.get("token_embd.weight", 0)


def _caches(facts: ModelFacts, settings: Settings) -> tuple[float, ...]:
    """Of each layer, for the context as it was asked for: it is padded only when the cache is made."""
    size = settings.context_size
    padded = MemoryModel(facts, settings, LLAMA_CPP).layer_context_bytes[: placed_layers(facts)]
    return tuple(held * size / pad(size, CELL_PADDING) for held in padded)


def split_layers(
    sizes: Sequence[float], compute: float, gpu_layers: int, shares: Sequence[float]
) -> tuple[int | None, ...]:
    """The device of each layer, the output layer last; float32 where the engine has it.

    `gpu_layers` counts the output layer, as in Settings: with all of them the output is weighed like a layer, with
    fewer it is put on the last device with a share (see command.py).
    """
    count, devices = len(sizes) - 1, len(shares)
    whole = gpu_layers > count
    first, last = (0, count + 1) if whole else (count + 1 - gpu_layers, count)
    total = compute * devices + sum(sizes[first:last])
    owners: list[int | None] = [None] * first + [devices - 1] * (count + 1 - first)
    at, loaded = first, 0.0
    for device, point in enumerate(split_points(shares, devices)):
        loaded = float32(loaded + compute)
        limit = float32(point * total)
        while at < last and loaded + sizes[at] <= limit:
            owners[at], loaded, at = device, float32(loaded + sizes[at]), at + 1
        if at < last and loaded + sizes[at] - limit < limit - loaded:
            owners[at], loaded, at = device, float32(loaded + sizes[at]), at + 1
    if not whole:
        owners[count] = max(device for device, share in enumerate(shares) if share > 0)
    return tuple(owners)


class ByBytes:
    """The rule as a value of the engine's rules."""

    def place(self, facts: ModelFacts, settings: Settings, free_bytes: Sequence[int]) -> Placement:
        """Where `settings` put the layers on devices with `free_bytes`; without shares each device's free memory less
        the engine's margin is its share."""
        devices = len(settings.device_order)
        given = settings.tensor_split[:devices]
        shares = given if any(given) else tuple(float(max(size - MARGIN_BYTES, 1)) for size in free_bytes)
        wanted = placed_layers(facts) + 1 if settings.gpu_layers < 0 else settings.gpu_layers
        if devices < 2:
            return place(placed_layers(facts), wanted, (1.0,), devices)
        sizes, compute = _sizes(facts, _weighed(settings))
        return Placement(split_layers(sizes, compute, wanted, shares), devices)

    def shares(self, facts: ModelFacts, settings: Settings, placement: Placement) -> tuple[float, ...]:
        """The -ts under which the engine puts the layers where `placement` does: MiB of each device's part, its last
        boundary a quarter of a layer behind its last layer."""
        sizes, compute = _sizes(facts, _weighed(settings))
        weighed = len(sizes) if placement.layers[0] is not None else len(sizes) - 1
        ends: list[float] = []
        loaded = 0.0
        for device in range(placement.devices):
            held = [index for index in range(weighed) if placement.layers[index] == device]
            loaded += compute + sum(sizes[index] for index in held)
            after = sizes[held[-1] + 1] / 4 if held and held[-1] + 1 < weighed else 0.0
            ends.append(loaded + after)
        starts = (0.0, *ends[:-1])
        return tuple(round((end - start) / MIB, 2) for start, end in zip(starts, ends, strict=True))


def _weighed(settings: Settings) -> Settings:
    """Of the settings only what a layer's size depends on."""
    return Settings(
        context_size=settings.context_size,
        gpu_layers=0,
        device_order=(),
        ubatch_size=settings.ubatch_size,
        batch_size=max(settings.batch_size, settings.ubatch_size),
        cache_type_k=settings.cache_type_k,
        cache_type_v=settings.cache_type_v,
        flash_attention=settings.flash_attention,
        parallel=settings.parallel,
        swa_full=True,
    )


_KNOWN: dict[tuple[int, Settings], tuple[ModelFacts, tuple[tuple[float, ...], float]]] = {}


def _sizes(facts: ModelFacts, settings: Settings) -> tuple[tuple[float, ...], float]:
    """layer_sizes, kept for the facts at hand: a search asks hundreds of times."""
    key = (id(facts), settings)
    if key not in _KNOWN or _KNOWN[key][0] is not facts:
        if len(_KNOWN) > 64:
            _KNOWN.clear()
        _KNOWN[key] = (facts, layer_sizes(facts, settings))
    return _KNOWN[key][1]


BY_BYTES = ByBytes()
