"""Card families: which cards share their reached shares of bandwidth and throughput, and what stands for a new one.

A family is a maker's architecture, told apart where the catalog's FP16 peak is counted differently (GeForce and
workstation cards) or the silicon differs (GA100, GP100, Turing without tensor cores).
"""

from dataclasses import dataclass

from splitter.model.ggml_types import GGML_TYPES
from splitter.rig.device import Device


@dataclass(frozen=True, slots=True)
class CardFamily:
    """`old`: no fast integer dot products for K-quants (before Turing, GCN).

    `int8` is the card's peak of 8-bit integer products over the catalog's FP16 peak: no prompt is faster than that.
    """

    name: str
    vendor: str
    int8: float = 1.0
    old: bool = False


UNKNOWN_FAMILY = CardFamily("unknown", "unknown")
# By words of the catalog's family, the first hit counts.
BY_CATALOG: tuple[tuple[str, CardFamily], ...] = (
    ("Radeon Vega (integrated)", CardFamily("amd-integrated", "amd", 2)),
    ("RDNA 2 (integrated)", CardFamily("amd-integrated", "amd", 2)),
    ("RDNA 3 (integrated)", CardFamily("amd-integrated", "amd", 1)),
    ("Xe (integrated)", CardFamily("intel-integrated", "intel", 2)),
    ("UHD", CardFamily("intel-integrated", "intel", 2)),
    ("Arc Xe", CardFamily("intel-integrated", "intel", 2)),
    ("GP100", CardFamily("gp100", "nvidia", 1, old=True)),
    ("without tensor cores", CardFamily("turing-16", "nvidia", 2)),
    ("Kepler", CardFamily("maxwell", "nvidia", 1, old=True)),
    ("Maxwell", CardFamily("maxwell", "nvidia", 1, old=True)),
    ("Pascal", CardFamily("pascal", "nvidia", 4, old=True)),
    ("Volta", CardFamily("volta", "nvidia", 1)),
    ("GA100", CardFamily("ga100", "nvidia", 2)),
    ("RTX A and A series", CardFamily("ampere-pro", "nvidia", 2)),
    ("TITAN RTX", CardFamily("turing-pro", "nvidia", 2)),
    ("RTX 20", CardFamily("turing", "nvidia", 4)),
    ("RTX 30", CardFamily("ampere", "nvidia", 4)),
    ("Hopper", CardFamily("hopper", "nvidia", 2)),
    ("L series", CardFamily("ada-pro", "nvidia", 2)),
    ("RTX 40", CardFamily("ada", "nvidia", 4)),
    ("RTX 50", CardFamily("blackwell", "nvidia", 4)),
    ("RTX PRO", CardFamily("blackwell-pro", "nvidia", 2)),
    ("GB10", CardFamily("blackwell-pro", "nvidia", 2)),
    ("Blackwell", CardFamily("blackwell-dc", "nvidia", 2)),
    ("Polaris", CardFamily("polaris", "amd", 1, old=True)),
    ("Vega", CardFamily("vega", "amd", 2, old=True)),
    ("RDNA 1", CardFamily("rdna1", "amd", 2)),
    ("RDNA 2", CardFamily("rdna2", "amd", 2)),
    ("RDNA 3", CardFamily("rdna3", "amd", 1)),
    ("RDNA 4", CardFamily("rdna4", "amd", 2)),
    ("CDNA", CardFamily("cdna", "amd", 2, old=True)),
    ("Arc A", CardFamily("arc-a", "intel", 2)),
    ("Arc B", CardFamily("arc-b", "intel", 2)),
    ("Battlemage", CardFamily("arc-b", "intel", 2)),
    ("Apple", CardFamily("apple", "apple", 1)),
    ("Mining cards (Turing)", CardFamily("turing", "nvidia", 4)),
    ("Mining cards (Ampere)", CardFamily("ampere", "nvidia", 4)),
    ("Jetson Thor", CardFamily("blackwell-pro", "nvidia", 2)),
    ("Jetson Orin", CardFamily("ampere-pro", "nvidia", 2)),
    ("Jetson Xavier", CardFamily("volta", "nvidia", 1)),
    ("Jetson", CardFamily("maxwell", "nvidia", 1, old=True)),
    ("GCN", CardFamily("polaris", "amd", 1, old=True)),
    ("Ponte Vecchio", CardFamily("arc-b", "intel", 2)),
)
# By compute capability, for NVIDIA cards that the catalog does not know.
BY_CAPABILITY: tuple[tuple[float, str], ...] = (
    (12.0, "RTX 50"),
    (10.0, "Blackwell"),
    (9.0, "Hopper"),
    (8.9, "RTX 40"),
    (8.6, "RTX 30"),
    (8.0, "GA100"),
    (7.5, "RTX 20"),
    (7.0, "Volta"),
    (6.1, "Pascal"),
    (6.0, "GP100"),
    (0.0, "Maxwell"),
)
NAMES: dict[str, CardFamily] = {family.name: family for _, family in BY_CATALOG}

# Classes of GGML types that are unpacked alike: each has one factor per byte and per weight.
PLAIN, K, LOW_K, IQ, FLOAT, MXFP4 = "plain", "k", "low_k", "iq", "float", "mxfp4"
CLASSES = (PLAIN, K, LOW_K, IQ, FLOAT, MXFP4)
BY_TYPE: dict[str, str] = {
    **dict.fromkeys(("Q4_K", "Q5_K", "Q6_K", "Q8_K"), K),
    **dict.fromkeys(("Q2_K", "Q3_K"), LOW_K),
    **dict.fromkeys((t.name for t in GGML_TYPES.values() if t.name.startswith(("IQ1", "IQ2", "IQ3", "TQ"))), IQ),
    **dict.fromkeys(("F32", "F16", "BF16", "F64"), FLOAT),
    **dict.fromkeys(("MXFP4", "NVFP4"), MXFP4),
}


def type_class(ggml_type: str) -> str:
    """The class of a GGML type's name; what is not listed counts as plain blocks of 32 (Q4_0, Q8_0, IQ4_NL)."""
    return BY_TYPE.get(ggml_type, PLAIN)


def family_of(device: Device) -> CardFamily:
    """By the catalog's family, else the compute capability; UNKNOWN_FAMILY where neither is known."""
    words = device.family or ""
    found = next((family for word, family in BY_CATALOG if word in words), None)
    if found is None and device.compute_capability:
        capability = float(device.compute_capability)
        word = next(word for least, word in BY_CAPABILITY if capability >= least)
        found = next(family for known, family in BY_CATALOG if known == word)
    return found or UNKNOWN_FAMILY
