"""The numbers a GGUF file uses for tensor types and file types.

Source: llama.cpp build 11434: `ggml/include/ggml.h` (ggml_type), `include/llama.h` (llama_ftype) and
`gguf-py/gguf/constants.py` (GGML_QUANT_SIZES). tests/model/test_ggml_types.py compares them with the `gguf` package
and, where the engine is built, with that build's own gguf-py.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import prod


@dataclass(frozen=True, slots=True)
class GgmlType:
    """A tensor type: `block_elements` neighbouring elements of a row are stored in `block_bytes` bytes, each row has
    `row_bytes_more` of its own and each tensor `tensor_bytes_more`."""

    name: str
    block_elements: int
    block_bytes: int
    row_bytes_more: int = 0
    tensor_bytes_more: int = 0

    def row_bytes(self, elements: int) -> int:
        """Bytes of a row of `elements` (a multiple of the block), as ggml_row_size."""
        return self.row_bytes_more + elements // self.block_elements * self.block_bytes

    def tensor_bytes(self, shape: tuple[int, ...]) -> int:
        """Bytes of a tensor of this shape, as ggml_nbytes."""
        rows = prod(shape[1:])
        return (
            rows * self.row_bytes_more + prod(shape) // self.block_elements * self.block_bytes + self.tensor_bytes_more
        )


GGML_TYPES: dict[int, GgmlType] = {
    0: GgmlType("F32", 1, 4),
    1: GgmlType("F16", 1, 2),
    2: GgmlType("Q4_0", 32, 18),
    3: GgmlType("Q4_1", 32, 20),
    6: GgmlType("Q5_0", 32, 22),
    7: GgmlType("Q5_1", 32, 24),
    8: GgmlType("Q8_0", 32, 34),
    9: GgmlType("Q8_1", 32, 36),  # as ggml-common.h has it; gguf 0.19 says 40; never stored in files
    10: GgmlType("Q2_K", 256, 84),
    11: GgmlType("Q3_K", 256, 110),
    12: GgmlType("Q4_K", 256, 144),
    13: GgmlType("Q5_K", 256, 176),
    14: GgmlType("Q6_K", 256, 210),
    15: GgmlType("Q8_K", 256, 292),
    16: GgmlType("IQ2_XXS", 256, 66),
    17: GgmlType("IQ2_XS", 256, 74),
    18: GgmlType("IQ3_XXS", 256, 98),
    19: GgmlType("IQ1_S", 256, 50),
    20: GgmlType("IQ4_NL", 32, 18),
    21: GgmlType("IQ3_S", 256, 110),
    22: GgmlType("IQ2_S", 256, 82),
    23: GgmlType("IQ4_XS", 256, 136),
    24: GgmlType("I8", 1, 1),
    25: GgmlType("I16", 1, 2),
    26: GgmlType("I32", 1, 4),
    27: GgmlType("I64", 1, 8),
    28: GgmlType("F64", 1, 8),
    29: GgmlType("IQ1_M", 256, 56),
    30: GgmlType("BF16", 1, 2),
    34: GgmlType("TQ1_0", 256, 54),
    35: GgmlType("TQ2_0", 256, 66),
    39: GgmlType("MXFP4", 32, 17),
    40: GgmlType("NVFP4", 64, 36),
    41: GgmlType("Q1_0", 128, 18),
    42: GgmlType("Q2_0", 64, 18),
}

# Types that only ik_llama.cpp reads (its ggml/include/ggml.h and ggml/src/ggml-common.h, ik-llama-cpp-python 0.1.5).
FORK_TYPES: dict[int, GgmlType] = {
    36: GgmlType("I2_S", 4, 1, tensor_bytes_more=32),
    133: GgmlType("Q6_0", 32, 26),
    134: GgmlType("IQ1_BN", 64, 13, 2),
    135: GgmlType("IQ2_BN", 64, 16, 4),
    137: GgmlType("IQ2_K", 256, 76),
    138: GgmlType("IQ3_K", 256, 110),
    139: GgmlType("IQ4_K", 256, 144),
    140: GgmlType("IQ5_K", 256, 176),
    141: GgmlType("IQ6_K", 256, 212),
    144: GgmlType("IQ4_KS", 256, 136, 4),
    145: GgmlType("IQ2_KS", 256, 70, 2),
    146: GgmlType("IQ4_KSS", 256, 128, 4),
    151: GgmlType("Q8_KV", 32, 32, 8),
    152: GgmlType("IQ5_KS", 256, 168, 4),
    153: GgmlType("IQ2_KT", 256, 68, 4),
    154: GgmlType("IQ3_KT", 256, 100, 4),
    155: GgmlType("IQ4_KT", 256, 128, 4),
    156: GgmlType("IQ3_KS", 256, 102, 2),
    157: GgmlType("IQ2_KL", 256, 86, 2),
    158: GgmlType("IQ1_KT", 256, 56, 4),
    202: GgmlType("Q4_0_R8", 32, 18),
    206: GgmlType("Q5_0_R4", 32, 22),
    208: GgmlType("Q8_0_R8", 32, 34),
    210: GgmlType("Q2_K_R4", 256, 84),
    211: GgmlType("Q3_K_R4", 256, 110),
    212: GgmlType("Q4_K_R4", 256, 144),
    213: GgmlType("Q5_K_R4", 256, 176),
    214: GgmlType("Q6_K_R4", 256, 210),
    216: GgmlType("IQ2_XXS_R4", 256, 66),
    217: GgmlType("IQ2_XS_R4", 256, 74),
    218: GgmlType("IQ3_XXS_R4", 256, 98),
    219: GgmlType("IQ1_S_R4", 32, 6, 2),
    220: GgmlType("IQ4_NL_R4", 32, 18),
    221: GgmlType("IQ3_S_R4", 256, 110),
    222: GgmlType("IQ2_S_R4", 256, 82),
    223: GgmlType("IQ4_XS_R8", 256, 136),
    229: GgmlType("IQ1_M_R4", 32, 7, 2),
    230: GgmlType("BF16_R16", 1, 2),
    233: GgmlType("Q6_0_R4", 32, 26),
    335: GgmlType("IQ2_BN_R4", 64, 16, 4),
    337: GgmlType("IQ2_K_R4", 256, 76),
    338: GgmlType("IQ3_K_R4", 256, 110),
    339: GgmlType("IQ4_K_R4", 256, 144),
    340: GgmlType("IQ5_K_R4", 256, 176),
    344: GgmlType("IQ4_KS_R4", 256, 136, 4),
    352: GgmlType("IQ5_KS_R4", 256, 168, 4),
    397: GgmlType("Q8_K_R16", 256, 258),
    398: GgmlType("Q8_KV_R8", 32, 32, 4),
    399: GgmlType("Q8_K_R8", 256, 258),
}
ALL_TYPES: dict[int, GgmlType] = FORK_TYPES | GGML_TYPES

REMOVED_TYPES: dict[int, str] = {
    4: "Q4_2",
    5: "Q4_3",
    31: "Q4_0_4_4",
    32: "Q4_0_4_8",
    33: "Q4_0_8_8",
    37: "IQ4_NL_4_8",
    38: "IQ4_NL_8_8",
}

FILE_TYPE_GUESSED = 1024  # a flag on general.file_type: "not specified in the model file"

FILE_TYPES: dict[int, str] = {
    0: "F32",
    1: "F16",
    2: "Q4_0",
    3: "Q4_1",
    7: "Q8_0",
    8: "Q5_0",
    9: "Q5_1",
    10: "Q2_K",
    11: "Q3_K_S",
    12: "Q3_K_M",
    13: "Q3_K_L",
    14: "Q4_K_S",
    15: "Q4_K_M",
    16: "Q5_K_S",
    17: "Q5_K_M",
    18: "Q6_K",
    19: "IQ2_XXS",
    20: "IQ2_XS",
    21: "Q2_K_S",
    22: "IQ3_XS",
    23: "IQ3_XXS",
    24: "IQ1_S",
    25: "IQ4_NL",
    26: "IQ3_S",
    27: "IQ3_M",
    28: "IQ2_S",
    29: "IQ2_M",
    30: "IQ4_XS",
    31: "IQ1_M",
    32: "BF16",
    36: "TQ1_0",
    37: "TQ2_0",
    38: "MXFP4_MOE",
    39: "NVFP4",
    40: "Q1_0",
    41: "Q2_0",
}

# File types of ik_llama.cpp (its include/llama.h).
FORK_FILE_TYPES: dict[int, str] = {
    135: "Q6_0", 136: "IQ1_BN", 137: "IQ2_BN", 138: "IQ2_K", 139: "IQ3_K", 140: "IQ4_K", 141: "IQ5_K", 142: "IQ6_K",
    145: "IQ4_KS", 146: "IQ3_KL", 147: "IQ2_KS", 148: "IQ4_KSS", 149: "Q8_KV", 150: "IQ5_KS", 151: "IQ2_KT",
    152: "IQ3_KT", 153: "IQ4_KT", 154: "IQ3_KS", 155: "IQ2_KL", 156: "IQ1_KT", 202: "Q4_0_R8", 207: "Q8_0_R8",
    208: "Q5_0_R4", 210: "Q2_K_R4", 211: "Q3_K_R4", 214: "Q4_K_R4", 216: "Q5_K_R4", 218: "Q6_K_R4", 219: "IQ2_XXS_R4",
    220: "IQ2_XS_R4", 223: "IQ3_XXS_R4", 224: "IQ1_S_R4", 225: "IQ4_NL_R4", 226: "IQ3_S_R4", 229: "IQ2_M_R4",
    230: "IQ4_XS_R8", 231: "IQ1_M_R4", 232: "BF16_R16", 335: "Q6_0_R4", 337: "IQ2_BN_R4", 338: "IQ2_K_R4",
    339: "IQ3_K_R4", 340: "IQ4_K_R4", 341: "IQ5_K_R4", 345: "IQ4_KS_R4", 350: "IQ5_KS_R4", 398: "Q8_KV_R8",
    399: "Q8_K_R8",
}  # fmt: skip


def type_name(ggml_type: int) -> str:
    """The type's name, or "type 139" for a number this build does not know."""
    known = ALL_TYPES.get(ggml_type)
    return known.name if known else REMOVED_TYPES.get(ggml_type, f"type {ggml_type}")


def fork_types(types: Iterable[int]) -> tuple[str, ...]:
    """The names of those of `types` that only ik_llama.cpp reads, each once."""
    return tuple(dict.fromkeys(FORK_TYPES[number].name for number in types if number in FORK_TYPES))
