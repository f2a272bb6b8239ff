"""What a multimodal projector (-mm, a GGUF of architecture clip) holds: its weights exactly, its buffers estimated.

Source: tools/mtmd/clip.cpp and clip-model.h of llama.cpp build 11434. All tensors go to one device; the compute buffer
is that of one image (or one audio chunk), reserved at load for a warm-up size and grown for larger ones.
"""

from math import prod

from splitter.memory.footprint import MemoryUse
from splitter.memory.weights import DEVICE_ALIGNMENT
from splitter.model.facts import MetadataValue, ModelFacts
from splitter.units import pad

F32_BYTES = 4
AUDIO_FRAMES, AUDIO_MELS = 3000, 128  # 30 s in steps of 10 ms, the chunk of Whisper-like encoders
# Most tokens of one image by projector type, where the image's size is not fixed (set_limit_image_tokens).
MOST_TOKENS = {
    "qwen2vl_merger": 4096,
    "qwen2.5vl_merger": 4096,
    "qwen3vl_merger": 4096,
    "glm4v": 4096,
    "gemma4v": 1120,
    "pixtral": 1024,
    "kimivl": 1024,
    "lfm2": 256,
}
MERGES = {"gemma4v": 3, "pixtral": 1}  # patches per token and side where the header is silent; else 2


def projector_use(facts: ModelFacts, *, flash: bool = True) -> MemoryUse:
    """Bytes of the projector on its device. `compute_bytes` is a bound for the largest image that it takes."""
    weights = sum(pad(tensor.size_bytes, DEVICE_ALIGNMENT) for tensor in facts.tensors)
    return MemoryUse(model_bytes=weights, compute_bytes=sum(_compute(facts, kind, flash) for kind in _kinds(facts)))


def flops_per_image(facts: ModelFacts) -> float:
    """Multiplications and additions for one image of the largest size (or one audio chunk)."""
    positions = max((_positions(facts, kind) for kind in _kinds(facts)), default=0)
    return 2.0 * positions * sum(prod(tensor.shape) for tensor in facts.tensors)


def _kinds(facts: ModelFacts) -> tuple[str, ...]:
    """The encoders in the file; one without the header's flags is a vision encoder."""
    named = tuple(kind for kind in ("vision", "audio") if facts.metadata.get(f"clip.has_{kind}_encoder") is True)
    return named or ("vision",)


def _positions(facts: ModelFacts, kind: str) -> int:
    """Patches of the largest image, or frames after the encoder's halving convolution."""
    if kind == "audio":
        return AUDIO_FRAMES // 2
    name = facts.metadata.get("clip.vision.projector_type") or facts.metadata.get("clip.projector_type")
    merge = _whole(facts.metadata.get("clip.vision.spatial_merge_size")) or MERGES.get(str(name), 2)
    side = _number(facts, kind, "image_size") // (_number(facts, kind, "patch_size") or 14)
    return max(side * side, MOST_TOKENS.get(str(name), 0) * merge * merge) + 1


def _compute(facts: ModelFacts, kind: str, flash: bool) -> int:
    """The widest moment of one layer, all in f32, with the image: the FFN, or without flash attention the scores.

    Measured (tests/engine/test_extra_models.py): exact for LLaVA's ViT-L at 336 pixels, 22 % above for gemma-3's tower.
    """
    width, inner = _number(facts, kind, "embedding_length"), _number(facts, kind, "feed_forward_length")
    heads, positions = _number(facts, kind, "attention.head_count"), _positions(facts, kind)
    gated = any(".ffn_gate" in tensor.name for tensor in facts.tensors)
    row = max(inner * (3 if gated else 1) + 4 * width, 0 if flash else heads * positions + 6 * width)
    patch = _number(facts, kind, "patch_size") or 1
    pixels = 3 * patch * patch if kind == "vision" else AUDIO_MELS
    return F32_BYTES * positions * (row + pixels)


def _number(facts: ModelFacts, kind: str, key: str) -> int:
    return _whole(facts.metadata.get(f"clip.{kind}.{key}")) or 0


def _whole(value: MetadataValue | None) -> int | None:
    return value if type(value) is int and value > 0 else None
