"""Architectures whose layers are not built as families.py builds the others."""

from collections.abc import Callable
from dataclasses import dataclass

from splitter.memory.compute.encoders import bert_layer, normed_start, t5_decoder_layer, t5_encoder_layer
from splitter.memory.compute.families import Walk, layer
from splitter.memory.compute.gemma import gemma3n_finish, gemma3n_layer, gemma3n_start, gemma4_layer, gemma4_start
from splitter.memory.compute.graph import Tensor
from splitter.memory.compute.latent import minicpm3_layer
from splitter.memory.compute.rwkv import rwkv_layer, rwkv_start


def _same(walk: Walk, cur: Tensor) -> Tensor:
    del walk
    return cur


@dataclass(frozen=True, slots=True)
class Builder:
    """`start` follows the embedding, `finish` comes before the final norm.

    `whole`: every layer counts, as they read earlier layers' caches or slices of one tensor.
    """

    layer: Callable[[Walk, Tensor, bool], Tensor]
    start: Callable[[Walk, Tensor], Tensor] = _same
    finish: Callable[[Walk, Tensor], Tensor] = _same
    whole: bool = False


BUILDERS: dict[str, Builder] = {
    "gemma3n": Builder(gemma3n_layer, gemma3n_start, gemma3n_finish, whole=True),
    "gemma4": Builder(gemma4_layer, gemma4_start, whole=True),
    **dict.fromkeys(
        ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3"), Builder(bert_layer, normed_start)
    ),
    "minicpm3": Builder(minicpm3_layer),
    "modern-bert": Builder(layer, normed_start),
    "t5": Builder(t5_decoder_layer, whole=True),
    "t5encoder": Builder(t5_encoder_layer, whole=True),
    **dict.fromkeys(("rwkv6", "rwkv7"), Builder(rwkv_layer, rwkv_start)),
    **dict.fromkeys(("rwkv6qwen2", "arwkv7"), Builder(rwkv_layer)),
}
