"""From headers to ModelFacts: the names llama.cpp gives a model's shape (`src/llama-arch.cpp`, build 11434)."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from typing import Literal

from splitter.errors import ModelError
from splitter.model.facts import MetadataValue, ModelFacts, SkippedArray, TensorInfo
from splitter.model.ggml_types import FILE_TYPE_GUESSED, FILE_TYPES, FORK_FILE_TYPES, type_name
from splitter.model.header import Header
from splitter.model.split import stem
from splitter.printable import printable

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS
_ARCHITECTURE = re.compile(r"[\w.-]{1,64}", re.ASCII)

Kind = Literal["model", "mmproj", "adapter", "vocabulary", "imatrix"]


def facts_from_headers(headers: Sequence[Header], path: str, label: str | None = None) -> ModelFacts:
    """The facts of one model from the headers of all its parts, the first part's metadata leading.

    `path` becomes `facts.path`; `label` names the file in messages. Raises ModelError where the metadata contradicts
    itself. Files that are not language models (projectors, adapters, vocabularies, importance matrices) have 0 layers
    unless they say otherwise; `kind_of` tells them apart.
    """
    label = label or printable(path, 200)
    metadata = headers[0].metadata
    tensors = tuple(tensor for header in headers for tensor in header.tensors)
    architecture = _architecture(metadata, label)
    name = metadata.get("general.name")
    return ModelFacts(
        path=path,
        name=(printable(name) if isinstance(name, str) else "") or printable(stem(path)),
        architecture=architecture,
        quantization=_quantization(metadata, tensors),
        file_bytes=sum(header.file_bytes for header in headers),
        layers=_layers(metadata, architecture, tensors, label),
        context_train=_positive(metadata.get(f"{architecture}.context_length")),
        parameters=sum(prod(tensor.shape) for tensor in tensors),
        vocabulary=_vocabulary(metadata, architecture, tensors),
        tensors=tensors,
        metadata=metadata,
    )


def kind_of(facts: ModelFacts) -> Kind:
    """What the file is for; only a "model" can be planned on its own."""
    declared = facts.metadata.get("general.type")
    if facts.architecture == "clip" or declared == "mmproj":
        return "mmproj"
    if declared == "adapter" or facts.architecture == "controlvector":
        return "adapter"
    if declared == "imatrix":
        return "imatrix"
    return "model" if facts.tensors else "vocabulary"


def _architecture(metadata: Mapping[str, MetadataValue], label: str) -> str:
    """general.architecture, or for the few files without one (importance matrices) general.type."""
    value = metadata.get("general.architecture", metadata.get("general.type"))
    if value is None:
        raise ModelError(f"{label} does not name its architecture.", "Give a model made by llama.cpp's converters.")
    if not isinstance(value, str) or not _ARCHITECTURE.fullmatch(value):
        raise ModelError(f"{label} has a damaged general.architecture.", "Download or convert the file again.")
    return value


def _layers(metadata: Mapping[str, MetadataValue], architecture: str, tensors: Sequence[TensorInfo], label: str) -> int:
    key = f"{architecture}.block_count"
    value = metadata.get(key)
    if value is None:
        if metadata.get("general.type", "model") == "model" and any(t.name.startswith("blk.") for t in tensors):
            raise ModelError(f"{label} holds layers but no {key}.", "Download or convert the file again.")
        return 0
    if type(value) is not int or not 0 <= value <= MAX_LAYERS:
        raise ModelError(
            f"{label} has an impossible {key} (llama.cpp loads up to {MAX_LAYERS} layers).",
            "Download or convert the file again.",
        )
    return value


def _quantization(metadata: Mapping[str, MetadataValue], tensors: Iterable[TensorInfo]) -> str | None:
    """general.file_type's name, else the type that holds most bytes."""
    file_type = metadata.get("general.file_type")
    named = FORK_FILE_TYPES | FILE_TYPES
    if isinstance(file_type, int) and (file_type & ~FILE_TYPE_GUESSED) in named:
        return named[file_type & ~FILE_TYPE_GUESSED]
    sizes: Counter[int] = Counter()
    for tensor in tensors:
        sizes[tensor.ggml_type] += tensor.size_bytes
    return type_name(sizes.most_common(1)[0][0]) if sizes else None


def _vocabulary(metadata: Mapping[str, MetadataValue], architecture: str, tensors: Iterable[TensorInfo]) -> int:
    """Tokens in the tokenizer, else what the hyperparameters or the embedding's rows say, else 0."""
    tokens = metadata.get("tokenizer.ggml.tokens")
    if isinstance(tokens, SkippedArray) and tokens.length:
        return tokens.length
    declared = _positive(metadata.get(f"{architecture}.vocab_size"))
    if declared:
        return declared
    rows = {tensor.name: tensor.shape[1] for tensor in tensors if len(tensor.shape) > 1}
    return rows.get("output.weight") or rows.get("token_embd.weight") or 0


def _positive(value: MetadataValue | None) -> int | None:
    return value if type(value) is int and value > 0 else None
