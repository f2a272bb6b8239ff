"""Architectures whose layers are not built as families.py builds the others."""

from collections.abc import Callable
from dataclasses import dataclass

from splitter.memory.compute.families import Walk, layer
from splitter.memory.compute.graph import Tensor


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


def builder_of(architecture: str) -> Builder | None:
    """What builds the layers of `architecture`; None for families.py. Each module is loaded for its own models."""
    return next((make(architecture) for make, named in _MAKERS if architecture in named), None)


def _gemma(architecture: str) -> Builder:
    from splitter.memory.compute.gemma import gemma3n_finish, gemma3n_layer, gemma3n_start, gemma4_layer, gemma4_start

    if architecture == "gemma3n":
        return Builder(gemma3n_layer, gemma3n_start, gemma3n_finish, whole=True)
    return Builder(gemma4_layer, gemma4_start, whole=True)


def _encoder(architecture: str) -> Builder:
    from splitter.memory.compute.encoders import bert_layer, normed_start, t5_decoder_layer, t5_encoder_layer

    if architecture in {"t5", "t5encoder"}:
        return Builder(t5_decoder_layer if architecture == "t5" else t5_encoder_layer, whole=True)
    return Builder(layer if architecture == "modern-bert" else bert_layer, normed_start)


def _latent(_: str) -> Builder:
    from splitter.memory.compute.latent import minicpm3_layer

    return Builder(minicpm3_layer)


def _rwkv(architecture: str) -> Builder:
    from splitter.memory.compute.rwkv import rwkv_layer, rwkv_start

    return Builder(rwkv_layer, rwkv_start) if architecture in {"rwkv6", "rwkv7"} else Builder(rwkv_layer)


_BERTS = ("bert", "nomic-bert", "nomic-bert-moe", "jina-bert-v2", "jina-bert-v3", "modern-bert")
_MAKERS: tuple[tuple[Callable[[str], Builder], tuple[str, ...]], ...] = (
    (_gemma, ("gemma3n", "gemma4")),
    (_encoder, (*_BERTS, "t5", "t5encoder")),
    (_latent, ("minicpm3",)),
    (_rwkv, ("rwkv6", "rwkv7", "rwkv6qwen2", "arwkv7")),
)
