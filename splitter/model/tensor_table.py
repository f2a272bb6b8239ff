"""The tensor table of a GGUF header, with the checks that llama.cpp makes on it (`ggml/src/gguf.cpp`, build 11434)."""

from dataclasses import dataclass
from math import prod

from splitter.model.cursor import Cursor
from splitter.model.facts import TensorInfo
from splitter.model.ggml_types import ALL_TYPES, REMOVED_TYPES, GgmlType
from splitter.model.metadata import clean_name
from splitter.units import pad

TENSOR_LIMIT = 2**18  # the largest real tables have some 50,000 rows (experts not stacked)
NAME_LIMIT_BYTES = 127  # GGML_MAX_NAME is 64 in llama.cpp and 128 in koboldcpp
MAX_DIMS = 4
MAX_ELEMENTS = 2**63 - 1


@dataclass(frozen=True, slots=True)
class TensorTable:
    """The rows in file order and the size of the data section that they describe, without the padding at its end."""

    tensors: tuple[TensorInfo, ...]
    data_bytes: int


class TensorTableReader:
    """Reads `count` rows from a cursor that stands on the first."""

    def __init__(self, cursor: Cursor, alignment: int, part: int) -> None:
        self._cursor = cursor
        self._alignment = alignment
        self._part = part
        self._dims = cursor.layout("I")
        self._tails = [cursor.layout(f"{n}QIQ") for n in range(MAX_DIMS + 1)]

    def read(self, count: int) -> TensorTable:
        """All rows; names are unique, data lies in file order without gaps or overlaps."""
        if count > TENSOR_LIMIT:
            self._cursor.fail(f"damaged or hostile header, it claims {count} tensors")
        tensors: list[TensorInfo] = []
        names: set[str] = set()
        expected = end = 0
        for _ in range(count):
            tensor = self._row()
            if tensor.name in names:
                self._cursor.fail(f"damaged header, the tensor {tensor.name!r} comes twice")
            if tensor.offset != expected:
                self._cursor.fail(
                    f"damaged header, the tensor {tensor.name!r} starts at byte {tensor.offset} of the data instead of"
                    f" {expected}, so tensors overlap or leave a gap"
                )
            names.add(tensor.name)
            tensors.append(tensor)
            end = expected + tensor.size_bytes
            expected = pad(end, self._alignment)
        return TensorTable(tuple(tensors), end)

    def _row(self) -> TensorInfo:
        name = clean_name(self._cursor, "tensor name", NAME_LIMIT_BYTES)
        n_dims = self._cursor.integer(self._dims)
        if n_dims > MAX_DIMS:
            self._cursor.fail(f"damaged header, the tensor {name!r} claims {n_dims} dimensions")
        *ne, ggml_type, offset = (int(value) for value in self._cursor.unpack(self._tails[n_dims]))
        shape = tuple(ne) or (1,)
        known = ALL_TYPES.get(ggml_type) or self._unknown_type(name, ggml_type)
        return TensorInfo(name, shape, ggml_type, self._size(name, shape, known), offset, self._part)

    def _size(self, name: str, shape: tuple[int, ...], known: GgmlType) -> int:
        elements = prod(shape)
        if elements == 0 or elements > MAX_ELEMENTS:
            self._cursor.fail(f"damaged header, the tensor {name!r} has the impossible shape {shape}")
        if shape[0] % known.block_elements:
            self._cursor.fail(
                f"damaged header, rows of the tensor {name!r} have {shape[0]} elements, which is no multiple of"
                f" {known.name}'s {known.block_elements}"
            )
        return known.tensor_bytes(shape)

    def _unknown_type(self, name: str, ggml_type: int) -> GgmlType:
        if ggml_type in REMOVED_TYPES:
            self._cursor.fail(
                f"the tensor {name!r} has the type {REMOVED_TYPES[ggml_type]}, which llama.cpp no longer reads",
                "Get the model in a current quantisation (Q4_0 instead of the repacked Q4_0_*_*).",
            )
        self._cursor.fail(
            f"the tensor {name!r} has the type number {ggml_type}, which llama.cpp up to build 11434 does not know",
            "It may need a fork (ik_llama.cpp) or a newer llama.cpp: get another quantisation or update splitter.",
        )
