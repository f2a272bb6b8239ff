"""Quality classes of quantisations: one table, by what the quantisation costs in perplexity.

Source: the perplexities that llama.cpp's tools/quantize/quantize.cpp (build 11434) prints for Llama-3-8B, as increase
over F16: Q8_0 0.003, Q6_K 0.02 | Q5_K_M 0.06, Q5_K_S 0.10, Q5_1 0.11, Q5_0 0.13, Q4_K_M 0.18, Q4_K_S 0.27, Q4_1 0.45,
Q4_0 0.47 | Q3_K_L 0.56, Q3_K_M 0.66, Q3_K_S 1.6 | Q2_K_S 3.2, Q2_K 3.5. Types without a figure there (IQ*, NVFP4,
MXFP4) stand with those of their bits per weight, which the same table gives.
"""

from typing import Literal

from splitter.model.facts import ModelFacts

Quality = Literal["near-lossless", "good", "usable", "degraded"]
QUALITIES: tuple[Quality, ...] = ("near-lossless", "good", "usable", "degraded")

# Class by the first letters of the quantisation's name, the first hit counts.
BY_NAME: tuple[tuple[Quality, tuple[str, ...]], ...] = (
    ("near-lossless", ("F32", "F16", "BF16", "Q8_", "Q6_")),
    ("good", ("Q5_", "Q4_", "IQ4_", "MXFP4", "NVFP4")),
    ("usable", ("Q3_", "IQ3_")),
    ("degraded", ("Q2_", "IQ2_", "IQ1_", "Q1_", "TQ1_", "TQ2_")),
)
# For files that do not name their quantisation: the least bits per weight of a class.
BY_BITS: tuple[tuple[Quality, float], ...] = (("near-lossless", 6.5), ("good", 4.2), ("usable", 3.0), ("degraded", 0.0))
# Trained at this precision: nothing was lost by quantising (gpt-oss in MXFP4, BitNet in ternary).
NATIVE: dict[str, tuple[str, ...]] = {"gpt-oss": ("MXFP4",), "bitnet": ("TQ1_", "TQ2_")}


def bits_per_weight(facts: ModelFacts) -> float | None:
    """Mean bits per weight over all tensors; None for a file without any."""
    size = sum(tensor.size_bytes for tensor in facts.tensors)
    return size * 8 / facts.parameters if facts.parameters else None


def quality_of(facts: ModelFacts) -> Quality | None:
    """The class of a file: by its quantisation's name, else by its bits per weight; None where neither is known."""
    name = (facts.quantization or "").upper()
    if name and name.startswith(NATIVE.get(facts.architecture, ("-",))):
        return "near-lossless"
    named = next((quality for quality, starts in BY_NAME if name.startswith(starts)), None)
    bits = bits_per_weight(facts)
    if named or bits is None:
        return named
    return next(quality for quality, least in BY_BITS if bits >= least)
