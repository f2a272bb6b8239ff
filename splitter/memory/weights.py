"""Where every tensor of a model lives: with a layer, on the host, on every device, on a device named by -ot.

Source: create_tensor in src/llama-model-loader.cpp, load_tensors in src/llama-model.cpp, the tensor tables in
src/llama-arch.cpp, ggml_backend_cuda_buffer_type_get_alloc_size in ggml/src/ggml-cuda/ggml-cuda.cpp; build 11434.
"""

import re
from dataclasses import dataclass

from splitter.memory.patterns import Override, find_override, read_overrides
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.families import PLAIN, Family, family
from splitter.model.ggml_types import ALL_TYPES
from splitter.model.hparams import per_layer, placed_layers, trunk_layers
from splitter.units import pad

DEVICE_ALIGNMENT = 128
ROW_PADDING = 512  # elements: CUDA pads the last row of a quantised matrix to a multiple of this
LAYER_NAME = re.compile(r"(?:^|\.)(?:blk|convnext|posnet)\.(\d+)\.")
EXPERTS = re.compile(r"\.ffn_(?:up|down|gate|gate_up)_(?:ch)?exps")
INPUT_NAMES = ("token_embd.", "position_embd.", "token_types.", "per_layer_token_embd.")
FIRST_LAYER_NAMES = (
    "token_embd_norm.",
    "per_layer_model_proj.",
    "per_layer_proj_norm.",
    "nextn.pre_projection.",
    "conv1d.",
    "hrm.z_l_init",
)
EVERYWHERE_NAMES = ("rope_freqs.", "rope_factors_long.", "rope_factors_short.")
UNUSED_NAMES = ("masked_embd_centroids", "masked_embd_ordering")
UNUSED_SUFFIX = ".cross_attn_rel_b.weight"
TOKEN_EMBEDDING, OUTPUT = "token_embd.weight", "output.weight"


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes of the weights by where they live. Per-layer tuples have the output layer as their last entry.

    `device` is what a layer takes on a GPU (rows padded, tensors aligned), `host` what the same tensors take in RAM;
    the output layer's `device` includes a duplicate of tied embeddings that RAM does not need twice. `moved` is what
    stays in RAM wherever the layer is (-ncmoe, -ot ...=CPU), `fixed` what -ot puts on a device of device_order
    whatever the layer. `input_bytes` always stay in RAM, `everywhere_bytes` are copied to each device that holds one
    of the first `sharing_layers`. `placed` are the tensors behind `device` with their layers, `everywhere` those
    behind `everywhere_bytes`.
    """

    device: tuple[int, ...]
    host: tuple[int, ...]
    moved: tuple[int, ...]
    fixed: tuple[int, ...]
    input_bytes: int
    everywhere_bytes: int
    sharing_layers: int
    placed: tuple[tuple[TensorInfo, int], ...]
    everywhere: tuple[TensorInfo, ...]


@dataclass(frozen=True, slots=True)
class Site:
    """A tensor of a layer (the output layer last), its bytes on a device and the bytes read of it per token: of stacked
    experts the share that is used.

    `duplicate`: the output layer's copy of tied embeddings, which RAM does not need twice.
    """

    tensor: TensorInfo
    layer: int
    device_bytes: int
    read_bytes: int
    duplicate: bool = False


@dataclass(frozen=True, slots=True)
class Sites:
    """The tensors that are loaded: with the layers, with the input, on every device."""

    layers: tuple[Site, ...]
    input: tuple[TensorInfo, ...]
    everywhere: tuple[TensorInfo, ...]


class _Sums:
    """The bytes of `Weights` while the tensor table is read; `places` counts the output layer."""

    def __init__(self, places: int, devices: int, overrides: tuple[Override, ...]) -> None:
        self.device, self.host, self.moved = [0] * places, [0] * places, [0] * places
        self.fixed = [0] * devices
        self.input_bytes = 0
        self.overrides = overrides
        self.placed: list[tuple[TensorInfo, int]] = []

    def add(self, site: Site) -> None:
        tensor, layer = site.tensor, site.layer
        override = find_override(self.overrides, tensor.name) if self.overrides else None
        if override is None:
            self.device[layer] += site.device_bytes
            self.placed.append((tensor, layer))
            self.host[layer] += 0 if site.duplicate else tensor.size_bytes
        elif override.device is None:
            self.moved[layer] += 0 if site.duplicate else tensor.size_bytes
        else:
            self.fixed[override.device] += 0 if site.duplicate else site.device_bytes

    def add_input(self, tensor: TensorInfo) -> None:
        override = find_override(self.overrides, tensor.name)
        if override is None or override.device is None:
            self.input_bytes += tensor.size_bytes
        else:
            self.fixed[override.device] += device_bytes(tensor)


def device_bytes(tensor: TensorInfo) -> int:
    """Bytes of `tensor` in a CUDA buffer."""
    return padded_bytes(tensor, tensor.size_bytes, tensor.shape[0])


def padded_bytes(tensor: TensorInfo, size_bytes: int, width: int) -> int:
    """Bytes in a CUDA buffer of a part of `tensor`: `size_bytes` in rows of `width` elements."""
    rest = width % ROW_PADDING
    ggml_type = ALL_TYPES[tensor.ggml_type]
    if rest and ggml_type.block_elements > 1:
        size_bytes += ggml_type.row_bytes(ROW_PADDING - rest)
    return pad(size_bytes, DEVICE_ALIGNMENT)


def sites(facts: ModelFacts, *, mtp: bool = False) -> Sites:
    """Sorts the tensor table; tensors that llama.cpp never uses are not loaded, MTP layers only with `mtp`."""
    layers, trunk = placed_layers(facts), trunk_layers(facts)
    known = family(facts.architecture) or PLAIN
    shares = _expert_shares(facts, layers)
    tied = known.tied and all(tensor.name != OUTPUT for tensor in facts.tensors)
    with_layers: list[Site] = []
    with_input: list[TensorInfo] = []
    everywhere: list[TensorInfo] = []
    for tensor in facts.tensors:
        site = _site(tensor.name, layers, known.final_norm)
        if site is None or (0 < trunk <= site < layers and not (mtp or _kept(tensor.name, known))):
            continue
        if site == _INPUT:
            with_input.append(tensor)
            if tied and tensor.name == TOKEN_EMBEDDING:
                with_layers.append(Site(tensor, layers, device_bytes(tensor), tensor.size_bytes, duplicate=True))
        elif site == _EVERYWHERE:
            everywhere.append(tensor)
        else:
            share = shares[min(site, layers - 1)] if EXPERTS.search(tensor.name) else 1.0
            with_layers.append(Site(tensor, site, device_bytes(tensor), int(tensor.size_bytes * share)))
    return Sites(tuple(with_layers), tuple(with_input), tuple(everywhere))


def read_weights(facts: ModelFacts, settings: Settings, known: Sites | None = None) -> Weights:
    """The bytes of the sorted tensors (`known` if the table was sorted before) as the overrides place them."""
    known = known or sites(facts)
    sums = _Sums(placed_layers(facts) + 1, len(settings.device_order), read_overrides(settings))
    for tensor in known.input:
        sums.add_input(tensor)
    for site in known.layers:
        sums.add(site)
    return Weights(
        device=tuple(sums.device),
        host=tuple(sums.host),
        moved=tuple(sums.moved),
        fixed=tuple(sums.fixed),
        input_bytes=sums.input_bytes,
        everywhere_bytes=sum(map(device_bytes, known.everywhere)),
        sharing_layers=min(trunk_layers(facts), facts.layers),
        placed=tuple(sums.placed),
        everywhere=known.everywhere,
    )


_INPUT, _EVERYWHERE = -1, -2


def _site(name: str, layers: int, final_norm: bool) -> int | None:
    """The layer a tensor belongs to (`layers` = output), _INPUT, _EVERYWHERE, or None for one that is not loaded."""
    match = LAYER_NAME.search(name)
    if match is not None:
        return None if name.endswith(UNUSED_SUFFIX) else min(int(match[1]), layers)
    if name.startswith(UNUSED_NAMES):
        return None
    if name.startswith(INPUT_NAMES):
        return _INPUT
    if name.startswith(EVERYWHERE_NAMES):
        return _EVERYWHERE
    if name.startswith(FIRST_LAYER_NAMES) and not (final_norm and name.startswith("token_embd_norm.")):
        return 0
    return layers


def _kept(name: str, known: Family) -> bool:
    """Whether a tensor of an MTP layer is loaded."""
    return known.router or bool(known.nextn_loaded and re.search(rf"^blk\.\d+\.({known.nextn_loaded})", name))


def _expert_shares(facts: ModelFacts, layers: int) -> tuple[float, ...]:
    used, count = per_layer(facts, "expert_used_count", layers), facts.hparam("expert_count")
    if used is None or not isinstance(count, int) or count == 0:
        return (1.0,) * layers
    return tuple(n / count for n in used)
