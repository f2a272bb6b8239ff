"""ModelFacts: everything the planner knows about a GGUF model, read from its header alone."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """One row of the tensor table.

    `shape` is in ggml's order (`ne`: the fastest-running dimension first), `ggml_type` the number in the file,
    `size_bytes` the exact size of the data (row size x rows, no padding), `offset` counts from the start of the data
    section of the file `part` (0 for a single file, else the index of the split).
    """

    name: str
    shape: tuple[int, ...]
    ggml_type: int
    size_bytes: int
    offset: int
    part: int = 0


@dataclass(frozen=True, slots=True)
class SkippedArray:
    """An array of the metadata whose values were skipped while reading (token lists, scores, merges)."""

    element_type: str
    length: int


MetadataScalar = str | int | float | bool
MetadataValue = MetadataScalar | tuple[MetadataScalar, ...] | SkippedArray


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """A model as its GGUF header describes it; unknown is None.

    `layers` is `<arch>.block_count`; `metadata` holds the keys as in the file (arrays of up to 1024 numbers as
    tuples, longer ones and string arrays as SkippedArray); `tensors` the whole table over all parts of a split set,
    in file order. `path` is what an engine's -m takes (first part of a split set), or the reference as given when
    nothing is downloaded.
    """

    path: str
    name: str
    architecture: str
    quantization: str | None
    file_bytes: int
    layers: int
    context_train: int | None
    parameters: int
    vocabulary: int
    tensors: tuple[TensorInfo, ...] = field(repr=False)
    metadata: Mapping[str, MetadataValue] = field(repr=False, default_factory=dict)

    def hparam(self, key: str) -> MetadataValue | None:
        """The value of `<architecture>.<key>`, or None where the header is silent."""
        return self.metadata.get(f"{self.architecture}.{key}")
