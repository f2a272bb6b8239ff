"""True shapes cut to few layers: what a model of many layers shows in buffers, without its size.

`cut` keeps the first and last repeating layers and the MTP layers of a model, `write_facts` writes a header with a hole
for the weights, as skeletons.py does.
"""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import gguf
from gguf import GGMLQuantizationType as Type
from gguf import GGUFValueType
from gguf.gguf_writer import TensorInfo as Row

from splitter.model.facts import ModelFacts, SkippedArray, TensorInfo
from splitter.model.hparams import integer
from tests.engine.skeletons import write_with_hole

BLOCK = re.compile(r"blk\.(\d+)\.(.*)")
SIGNED = ("sections", "adapters", "target_")


def cut(facts: ModelFacts, layers: int) -> ModelFacts:
    """`facts` with its first `layers` trunk layers and all its MTP layers; per-layer arrays are cut alike."""
    nextn = integer(facts, "nextn_predict_layers")
    trunk = facts.layers - nextn
    if trunk <= layers:
        return facts
    kept = [*range(layers), *range(trunk, facts.layers)]
    new = {old: i for i, old in enumerate(kept)}
    renamed = (_renamed(tensor, new) for tensor in facts.tensors)
    metadata = {key: _cut_array(value, facts.layers, trunk, kept) for key, value in facts.metadata.items()}
    metadata[f"{facts.architecture}.block_count"] = len(kept)
    tensors = tuple(tensor for tensor in renamed if tensor is not None)
    return replace(facts, layers=len(kept), tensors=tensors, metadata=metadata)


def _renamed(tensor: TensorInfo, new: dict[int, int]) -> TensorInfo | None:
    match = BLOCK.fullmatch(tensor.name)
    if match is None:
        return tensor
    index = new.get(int(match[1]))
    return None if index is None else replace(tensor, name=f"blk.{index}.{match[2]}")


def _cut_array(value: Any, layers: int, trunk: int, kept: Sequence[int]) -> Any:
    if not isinstance(value, tuple) or len(value) not in (layers, trunk):
        return value
    return tuple(value[i] for i in kept if i < len(value))


def write_facts(path: Path, facts: ModelFacts) -> Path:
    """The header of `facts`, and a hole as long as its weights; the tokenizer is left out."""
    writer = gguf.GGUFWriter(None, facts.architecture, use_temp_file=False)
    writer.add_string("general.name", path.stem)
    writer.add_string("tokenizer.ggml.model", "none")
    writer.add_uint32(f"{facts.architecture}.vocab_size", facts.vocabulary)
    for key, value in facts.metadata.items():
        if not key.startswith(("general.", "tokenizer.", f"{facts.architecture}.vocab_size", "split.")):
            _add(writer, key, value)
    token_types = facts.metadata.get("tokenizer.ggml.token_type_count")
    if isinstance(token_types, int):
        writer.add_uint32("tokenizer.ggml.token_type_count", token_types)
    for tensor in facts.tensors:
        shape = tuple(reversed(tensor.shape))
        writer.tensors[-1][tensor.name] = Row(shape=shape, dtype=Type(tensor.ggml_type), nbytes=tensor.size_bytes)
    write_with_hole(writer, path)
    return path


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, SkippedArray) or value == ():
        return
    if isinstance(value, tuple):
        writer.add_key_value(key, list(value), GGUFValueType.ARRAY, sub_type=_kind(key, value))
    else:
        writer.add_key_value(key, value, _kind(key, (value,)))


def _kind(key: str, values: Sequence[Any]) -> GGUFValueType:
    scalars = {bool: GGUFValueType.BOOL, float: GGUFValueType.FLOAT32, str: GGUFValueType.STRING}
    first = type(values[0])
    if first in scalars:
        return scalars[first]
    if ".ple." in key and not key.endswith("layers") and len(values) > 1:
        return GGUFValueType.UINT64
    signed = any(word in key for word in SIGNED) or any(value < 0 for value in values)
    return GGUFValueType.INT32 if signed else GGUFValueType.UINT32
