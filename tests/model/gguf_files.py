"""GGUF files for tests: written by the gguf package (the oracle) or, where it refuses to lie, byte by byte."""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import gguf
import numpy as np


@dataclass(frozen=True, slots=True)
class BytesSource:
    """A header in memory; `size_bytes` may claim more than there is."""

    data: bytes
    label: str = "test.gguf"
    claimed_bytes: int | None = None

    @property
    def size_bytes(self) -> int:
        return len(self.data) if self.claimed_bytes is None else self.claimed_bytes

    def read(self, offset: int, size: int) -> bytes:
        return self.data[offset : offset + size]


def string(text: str | bytes, order: str = "<") -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return struct.pack(order + "Q", len(raw)) + raw


def pair(key: str | bytes, value_type: int, payload: bytes, order: str = "<") -> bytes:
    return string(key, order) + struct.pack(order + "I", value_type) + payload


def array(element_type: int, length: int, payload: bytes = b"") -> bytes:
    return struct.pack("<IQ", element_type, length) + payload


def row(name: str | bytes, shape: Sequence[int], ggml_type: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, ggml_type, offset)


def raw_file(
    pairs: Sequence[bytes] = (),
    rows: Sequence[bytes] = (),
    *,
    data_bytes: int = 0,
    version: int = 3,
    counts: tuple[int, int] | None = None,
    alignment: int = 32,
) -> bytes:
    """A little-endian GGUF file from ready-made pairs and rows; `counts` (tensors, keys) may lie."""
    n_tensors, n_keys = counts or (len(rows), len(pairs))
    header = b"GGUF" + struct.pack("<IQQ", version, n_tensors, n_keys) + b"".join(pairs) + b"".join(rows)
    return header + bytes(-len(header) % alignment) + bytes(data_bytes)


ARCHITECTURE = pair("general.architecture", 8, string("llama"))

TINY: Mapping[str, tuple[int, ...]] = {
    "token_embd.weight": (32, 256),
    "blk.0.attn_q.weight": (256, 256),
    "blk.0.ffn_norm.weight": (256,),
    "blk.1.attn_q.weight": (256, 256),
    "blk.1.ffn_norm.weight": (256,),
    "output_norm.weight": (256,),
    "output.weight": (32, 256),
}


def write_model(
    path: Path,
    *,
    arch: str = "llama",
    tensors: Mapping[str, tuple[int, ...]] = TINY,
    extra: Callable[[gguf.GGUFWriter], None] | None = None,
    endian: gguf.GGUFEndian = gguf.GGUFEndian.LITTLE,
    split_max_tensors: int = 0,
) -> Path:
    """A small model by GGUFWriter: two layers, 32 tokens. Shapes are numpy's, matrices are Q8_0, vectors F32."""
    writer = gguf.GGUFWriter(path, arch, endianess=endian, split_max_tensors=split_max_tensors)
    writer.add_name("Tiny Test")
    writer.add_block_count(2)
    writer.add_context_length(4096)
    writer.add_head_count(8)
    writer.add_head_count_kv(2)
    writer.add_token_list([f"token{i}" for i in range(32)])
    writer.add_file_type(7)
    if extra:
        extra(writer)
    for name, shape in tensors.items():
        if len(shape) > 1:
            data = np.zeros((*shape[:-1], shape[-1] // 32 * 34), dtype=np.uint8)
            writer.add_tensor(name, data, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
        else:
            writer.add_tensor(name, np.zeros(shape, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def as_version_2(path: Path) -> Path:
    """Rewrites the version field; the layout of version 2 is that of 3."""
    data = bytearray(path.read_bytes())
    data[4:8] = struct.pack("<I", 2)
    path.write_bytes(data)
    return path
