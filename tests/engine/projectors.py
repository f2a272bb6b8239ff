"""Projector files with the true shapes of public vision towers and a hole for their weights (see skeletons.py)."""

from math import prod
from pathlib import Path

import gguf
from gguf import GGMLQuantizationType as Type
from gguf.gguf_writer import TensorInfo

from tests.engine.skeletons import write_with_hole

# projector type -> image size, patch, width, inner, layers, heads
TOWERS = {
    "gemma3": (896, 14, 1152, 4304, 27, 16),  # SigLIP so400m, as in gemma-3 4b to 27b
    "mlp": (336, 14, 1024, 4096, 23, 16),  # CLIP ViT-L/14-336, as in LLaVA 1.5
}


def write_projector(path: Path, kind: str, text_width: int) -> Path:
    """A clip file of `kind` in f16 that speaks to a text model of `text_width`; its weights are zeros."""
    size, patch, width, inner, layers, heads = TOWERS[kind]
    writer = gguf.GGUFWriter(None, "clip", use_temp_file=False)
    writer.add_string("general.type", "mmproj")
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_string("clip.projector_type", kind)
    writer.add_bool("clip.use_gelu", True)
    for key, value in {
        "image_size": size, "patch_size": patch, "embedding_length": width, "feed_forward_length": inner,
        "block_count": layers, "attention.head_count": heads, "projection_dim": text_width,
    }.items():  # fmt: skip
        writer.add_uint32(f"clip.vision.{key}", value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-6)
    writer.add_array("clip.vision.image_mean", [0.5, 0.5, 0.5])
    writer.add_array("clip.vision.image_std", [0.5, 0.5, 0.5])
    for name, shape in _tensors(kind, text_width):
        dtype = Type.F16 if len(shape) > 1 and "position" not in name else Type.F32
        length = prod(shape) * (2 if dtype == Type.F16 else 4)
        writer.tensors[-1][name] = TensorInfo(shape=shape, dtype=dtype, nbytes=length)
    write_with_hole(writer, path)
    return path


def _tensors(kind: str, text_width: int) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes, outermost dimension first."""
    size, patch, width, inner, layers, _ = TOWERS[kind]
    patches = (size // patch) ** 2
    made: list[tuple[str, tuple[int, ...]]] = [("v.patch_embd.weight", (width, 3, patch, patch))]
    if kind == "gemma3":
        made += [("v.patch_embd.bias", (width,)), ("v.position_embd.weight", (patches, width))]
        made += [("v.post_ln.weight", (width,)), ("v.post_ln.bias", (width,))]
        made += [("mm.input_projection.weight", (width, text_width)), ("mm.soft_emb_norm.weight", (width,))]
    else:
        made += [("v.class_embd", (width,)), ("v.position_embd.weight", (patches + 1, width))]
        made += [("v.pre_ln.weight", (width,)), ("v.pre_ln.bias", (width,))]
        made += [("mm.0.weight", (text_width, width)), ("mm.0.bias", (text_width,))]
        made += [("mm.2.weight", (text_width, text_width)), ("mm.2.bias", (text_width,))]
    for i in range(layers):
        block = f"v.blk.{i}."
        for part in ("attn_q", "attn_k", "attn_v", "attn_out"):
            made += [(f"{block}{part}.weight", (width, width)), (f"{block}{part}.bias", (width,))]
        made += [(f"{block}ffn_up.weight", (inner, width)), (f"{block}ffn_up.bias", (inner,))]
        made += [(f"{block}ffn_down.weight", (width, inner)), (f"{block}ffn_down.bias", (width,))]
        made += [(f"{block}{ln}.{part}", (width,)) for ln in ("ln1", "ln2") for part in ("weight", "bias")]
    return made
