"""ik_llama.cpp's rule for which device holds which layer, and its inverse.

Source: `get_layer_sizes` and `llm_load_tensors` in src/llama.cpp, `cache_size` in src/llama-model.cpp
(ik-llama-cpp-python 0.1.5). With -sm layer on two or more devices it fills one device after the other, by bytes: a
layer's weights (experts that are kept on the host too) and its cache, beside the largest compute need of any layer. A
layer that would overshoot a device's share still goes there when less than half of it does.
"""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

from splitter.engine.ik_llama.latent import ARCHITECTURES, Latent, quantised
from splitter.engine.ik_llama.memory import PLAIN, ik_memory
from splitter.memory.context import CELL_PADDING
from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.ggml_types import ALL_TYPES
from splitter.model.hparams import integer
from splitter.plan.placement import float32, placement_of, split_points
from splitter.units import MIB, pad

# Architectures whose tensor names have no dense feed-forward; elsewhere experts are taken for one by their prefix
# (llm_tensor_type in src/llama-model.cpp), and each tensor counts once.
EXPERTS_ALONE = frozenset({
    "dbrx", "gpt-oss", "granitemoe", "hunyuan-moe", "minimax-m2", "qwen2moe", "qwen35moe", "qwen3moe", "qwen3next",
    "qwen3vlmoe",
})  # fmt: skip
MARGIN_BYTES = 1024 * MIB  # kept free of each device where no -ts is given
_FFN = re.compile(r"ffn_(gate_up|gate|up|down)(_exps|_shexp)?\.(weight|bias)$")
_NORM = re.compile(r"(attn_norm|ffn_norm|attn_norm_2|attn_output_norm|post_attention_norm|post_ffw_norm)\.weight$")


def layer_sizes(facts: ModelFacts, settings: Settings, latent: Latent = PLAIN) -> tuple[tuple[float, ...], float]:
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
    joined, latent_compute = _latent(facts, settings, latent)
    needs = (max(part.values()) + inputs * (1 + norm) for part, norm in zip(parts, norms, strict=True))
    compute = max(*needs, latent_compute)
    weights = [size + more for size, more in zip(weights, joined, strict=True)]
    caches = _caches(facts, settings, latent)
    output = _output_bytes(facts) + max(facts.vocabulary * settings.ubatch_size * 4 - compute, 0.0)
    return (*(size + cached for size, cached in zip(weights, caches, strict=True)), output), compute


def _latent(facts: ModelFacts, settings: Settings, latent: Latent) -> tuple[tuple[float, ...], float]:
    """Of latent attention: bytes of the joined projection that the engine makes of its two halves in each layer, and
    what -mla 3 computes at once within -amb."""
    more, compute = [0.0] * placed_layers(facts), 0.0
    if facts.architecture not in ARCHITECTURES:
        return tuple(more), compute
    named = {tensor.name: tensor for tensor in facts.tensors}
    for index in range(len(more)):
        k, v = (named.get(f"blk.{index}.attn_{part}_b.weight") for part in ("k", "v"))
        joined = named.get(f"blk.{index}.attn_kv_b.weight")
        if joined is not None:
            more[index] = joined.size_bytes / 2 * ((k is None) + (v is None))
        elif k is not None and v is not None:
            kind = quantised(k)
            more[index] = ALL_TYPES[kind].row_bytes(v.shape[0]) * (v.shape[1] + k.shape[1]) * v.shape[2] * 2.0
        if v is not None and latent.mla == 3:
            one_head = 2.0 * v.shape[1] * settings.context_size * 4
            heads = v.shape[2]
            compute = max(compute, one_head * latent.heads_at_once(one_head * heads / MIB, heads))
    return tuple(more), compute


def _of_layers(facts: ModelFacts) -> list[tuple[int, TensorInfo]]:
    found = ((re.match(r"blk\.(\d+)\.", tensor.name), tensor) for tensor in facts.tensors)
    return [(int(match[1]), tensor) for match, tensor in found if match and int(match[1]) < placed_layers(facts)]


def _output_bytes(facts: ModelFacts) -> float:
    """The output's own weights, else those of the embedding that stands in for them."""
    sizes = {tensor.name: tensor.size_bytes for tensor in facts.tensors}
    return sizes.get("output.weight") or sizes.get("token_embd.weight", 0)


def _caches(facts: ModelFacts, settings: Settings, latent: Latent) -> tuple[float, ...]:
    """Of each layer, for the context as it was asked for: it is padded only when the cache is made."""
    size = settings.context_size
    padded = MemoryModel(facts, settings, ik_memory(latent)).layer_context_bytes[: placed_layers(facts)]
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


@dataclass(frozen=True, slots=True)
class ByBytes:
    """The rule as a value of the engine's rules."""

    latent: Latent = PLAIN

    def place(self, facts: ModelFacts, settings: Settings, free_bytes: Sequence[int]) -> Placement:
        """Where `settings` put the layers on devices with `free_bytes`; without shares each device's free memory less
        the engine's margin is its share."""
        devices = len(settings.device_order)
        given = settings.tensor_split[:devices]
        shares = given if any(given) else tuple(float(max(size - MARGIN_BYTES, 1)) for size in free_bytes)
        if devices < 2 or settings.split_mode == "tensor":
            return placement_of(placed_layers(facts), replace(settings, tensor_split=shares), ())
        wanted = placed_layers(facts) + 1 if settings.gpu_layers < 0 else settings.gpu_layers
        sizes, compute = self._sizes(facts, settings)
        return Placement(split_layers(sizes, compute, wanted, shares), devices)

    def shares(self, facts: ModelFacts, settings: Settings, placement: Placement) -> tuple[float, ...]:
        """The -ts under which the engine puts the layers where `placement` does: MiB of each device's part, its last
        boundary a quarter of a layer behind its last layer."""
        sizes, compute = self._sizes(facts, settings)
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

    def _sizes(self, facts: ModelFacts, settings: Settings) -> tuple[tuple[float, ...], float]:
        """layer_sizes, kept for the facts at hand: a search asks hundreds of times."""
        weighed = _weighed(settings)
        key = (id(facts), weighed, self.latent)
        if key not in _KNOWN or _KNOWN[key][0] is not facts:
            if len(_KNOWN) > 64:
                _KNOWN.clear()
            _KNOWN[key] = (facts, layer_sizes(facts, weighed, self.latent))
        return _KNOWN[key][1]


def experts_in_ram(layers: Sequence[int | None], count: int, devices: int) -> tuple[int, ...]:
    """The layers whose experts -ncmoe `count` keeps in RAM: each device's part of them by its layers, from its end.
    `layers` are the owners of the repeating layers; those on the host count as the last device's."""
    owners = [devices - 1 if owner is None else owner for owner in layers]
    held = [owners.count(device) for device in range(devices)]
    exact = [float32(float32(number * count) / len(owners)) for number in held]
    parts = [math.floor(float32(float32(number / len(owners)) * count) + 0.5) for number in held]
    while sum(parts) > count:
        parts[max((d for d in range(devices) if parts[d]), key=lambda d: (parts[d] - 1 - exact[d], -d))] -= 1
    while sum(parts) < count:
        parts[min((d for d in range(devices) if parts[d] < held[d]), key=lambda d: (parts[d] + 1 - exact[d], d))] += 1
    chosen = []
    for layer in reversed(range(len(owners))):
        if parts[owners[layer]]:
            parts[owners[layer]] -= 1
            chosen.append(layer)
    return tuple(reversed(chosen))


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


_KNOWN: dict[tuple[int, Settings, Latent], tuple[ModelFacts, tuple[tuple[float, ...], float]]] = {}
