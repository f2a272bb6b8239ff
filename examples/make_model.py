"""Writes a small GGUF model that engines really load and generate from: `python examples/make_model.py [-o FILE]`.

A llama of a few layers with grouped-query attention, weights in Q8_0 and a byte-level BPE tokenizer ("gpt2", pre
"gpt-2") learnt from tiny_text.txt. The layers' weights are random but fixed: SHAKE-256 of the tensor's name, so the
file is the same to the byte on every machine. The output head is counted, not trained: it points from each token to
the tokens that follow it in the text, so the model babbles words of the text instead of noise. Tokens that the text
does not use, and the ones that would end the answer, are never chosen: a request for n tokens gets n tokens.

examples/tiny.gguf is this script's output with no arguments (tests/engine/test_tiny_model.py compares them).
Only the standard library is used. The format: ggml/docs/gguf.md of llama.cpp, version 3.
"""

import argparse
import hashlib
import re
import struct
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

HERE = Path(__file__).parent
BLOCK = 32  # numbers in one Q8_0 block: an f16 scale and 32 int8
F32, Q8_0 = 0, 8  # ggml_type
MOSTLY_Q8_0 = 7  # general.file_type
ALIGNMENT = 32
END_OF_TEXT, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
NORMAL_TOKEN, CONTROL_TOKEN = 1, 3
CHAT_TEMPLATE = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
# GPT-2's pre-tokenizer for ASCII text, which tiny_text.txt is.
WORDS = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")


@dataclass(frozen=True, slots=True)
class Shape:
    """The hyperparameters; the key and value heads have `embd / heads` numbers each."""

    layers: int = 8
    embd: int = 128
    ffn: int = 256
    heads: int = 4
    kv_heads: int = 2
    context: int = 4096


@dataclass(frozen=True, slots=True)
class Vocab:
    """Tokens in id order in GPT-2's byte spelling, their merges, and what the text says follows what."""

    tokens: tuple[str, ...]
    merges: tuple[tuple[str, str], ...]
    follows: frozenset[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor: `shape` in GGUF order (row length first)."""

    name: str
    shape: tuple[int, ...]
    kind: int
    data: bytes


def byte_spelling() -> dict[int, str]:
    """GPT-2's printable character for each byte: itself where printable, else the next one from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {byte: chr(byte) for byte in printable} | {byte: chr(256 + i) for i, byte in enumerate(others)}


def merged(word: tuple[str, ...], pair: tuple[str, str]) -> tuple[str, ...]:
    """`word` with every occurrence of `pair` joined, from the left."""
    out: list[str] = []
    i = 0
    while i < len(word):
        step = 2 if word[i : i + 2] == pair else 1
        out.append("".join(word[i : i + step]))
        i += step
    return tuple(out)


def learn(text: str, n_merges: int) -> Vocab:
    """Byte-pair encoding: joins the most frequent pair `n_merges` times; the smaller pair wins a tie."""
    spelling = byte_spelling()
    spelled = ["".join(spelling[byte] for byte in word.encode()) for word in WORDS.findall(text)]
    words = {word: tuple(word) for word in spelled}
    counts = Counter(spelled)
    merges: list[tuple[str, str]] = []
    for _ in range(n_merges):
        pairs: Counter[tuple[str, str]] = Counter()
        for word, parts in words.items():
            for pair in pairwise(parts):
                pairs[pair] += counts[word]
        if not pairs:
            break
        best = min(pairs, key=lambda pair: (-pairs[pair], pair))
        merges.append(best)
        words = {word: merged(parts, best) for word, parts in words.items()}
    tokens = (*(spelling[byte] for byte in range(256)), *("".join(pair) for pair in merges))
    tokens = (*tokens, END_OF_TEXT, TURN_START, TURN_END)
    ids = {token: i for i, token in enumerate(tokens)}
    stream = [ids[part] for word in spelled for part in words[word]]
    return Vocab(tokens, tuple(merges), frozenset(pairwise(stream)))


def noise(name: str, size: int) -> bytes:
    """`size` bytes that depend on `name` alone."""
    return hashlib.shake_256(name.encode()).digest(size)


def random_matrix(name: str, row: int, rows: int, gain: float, *, silent_row: bool = False) -> Tensor:
    """Uniform random Q8_0 weights with standard deviation gain / sqrt(row); `silent_row`: row 0 is zero."""
    blocks = row * rows // BLOCK
    scale = gain / (74 * row**0.5)  # 74: the standard deviation of a uniform int8
    numbers = bytearray(noise(name, blocks * BLOCK))
    if silent_row:
        numbers[:row] = bytes(row)
    data = bytearray(blocks * (BLOCK + 2))
    data[0 :: BLOCK + 2], data[1 :: BLOCK + 2] = (bytes([half]) * blocks for half in struct.pack("<e", scale))
    for i in range(BLOCK):
        data[2 + i :: BLOCK + 2] = numbers[i::BLOCK]
    return Tensor(name, (row, rows), Q8_0, bytes(data))


def quantized(name: str, rows: Sequence[Sequence[float]]) -> Tensor:
    """`rows` as Q8_0."""
    data = bytearray()
    for row in rows:
        for start in range(0, len(row), BLOCK):
            block = row[start : start + BLOCK]
            scale = struct.unpack("<e", struct.pack("<e", max(map(abs, block)) / 127))[0]
            data += struct.pack("<e32b", scale, *(max(-127, min(127, round(x / scale))) if scale else 0 for x in block))
    return Tensor(name, (len(rows[0]), len(rows)), Q8_0, bytes(data))


def ones(name: str, size: int) -> Tensor:
    """A norm's weights."""
    return Tensor(name, (size,), F32, struct.pack(f"<{size}f", *[1.0] * size))


def embeddings(vocab: Vocab, embd: int) -> list[list[float]]:
    """Random signs per token. Number 0 is 4 for all: the layers never write to it, so the head can rely on it."""
    signs = noise("token_embd", len(vocab.tokens) * embd)
    rows = [[1.0 if b & 1 else -1.0 for b in signs[i * embd : (i + 1) * embd]] for i in range(len(vocab.tokens))]
    return [[4.0, *row[1:]] for row in rows]


def head(vocab: Vocab, embedded: Sequence[Sequence[float]]) -> list[list[float]]:
    """Per token the sum of its predecessors' embeddings; a token that follows none is pushed far down by number 0."""
    embd = len(embedded[0])
    gain = 10 / embd  # higher: surer of itself, and sooner in a loop
    before: dict[int, list[int]] = {}
    for first, second in sorted(vocab.follows):
        before.setdefault(second, []).append(first)
    rows = [
        [gain * sum(column) for column in zip(*(embedded[i] for i in before.get(t, ())), strict=True)]
        for t in range(len(vocab.tokens))
    ]
    return [[0.0, *row[1:]] if row else [-10.0] + [0.0] * (embd - 1) for row in rows]


def layer_tensors(layer: int, s: Shape) -> Iterator[Tensor]:
    """One repeating layer; what writes to the residual stream leaves number 0 alone."""
    name = f"blk.{layer}"
    kv = s.embd // s.heads * s.kv_heads
    quiet = 0.6 / s.layers**0.5  # what all layers add stays well below what the token itself says
    yield ones(f"{name}.attn_norm.weight", s.embd)
    yield random_matrix(f"{name}.attn_q.weight", s.embd, s.embd, 1)
    yield random_matrix(f"{name}.attn_k.weight", s.embd, kv, 1)
    yield random_matrix(f"{name}.attn_v.weight", s.embd, kv, 1)
    yield random_matrix(f"{name}.attn_output.weight", s.embd, s.embd, quiet, silent_row=True)
    yield ones(f"{name}.ffn_norm.weight", s.embd)
    yield random_matrix(f"{name}.ffn_gate.weight", s.embd, s.ffn, 1)
    yield random_matrix(f"{name}.ffn_up.weight", s.embd, s.ffn, 1)
    yield random_matrix(f"{name}.ffn_down.weight", s.ffn, s.embd, quiet, silent_row=True)


def tensors(s: Shape, vocab: Vocab) -> list[Tensor]:
    """All tensors of a llama with an output head of its own, in the order convert_hf_to_gguf.py writes them."""
    embedded = embeddings(vocab, s.embd)
    layers = [tensor for layer in range(s.layers) for tensor in layer_tensors(layer, s)]
    return [
        quantized("token_embd.weight", embedded),
        *layers,
        ones("output_norm.weight", s.embd),
        quantized("output.weight", head(vocab, embedded)),
    ]


def text_bytes(text: str) -> bytes:
    """A GGUF string: uint64 length, then UTF-8."""
    raw = text.encode()
    return struct.pack("<Q", len(raw)) + raw


def value_bytes(value: object) -> bytes:
    """A metadata value with its type: uint32, int32 array, float32, string, bool, or an array of strings."""
    match value:
        case bool():
            return struct.pack("<IB", 7, value)
        case int():
            return struct.pack("<II", 4, value)
        case float():
            return struct.pack("<If", 6, value)
        case str():
            return struct.pack("<I", 8) + text_bytes(value)
        case [int(), *_]:
            return struct.pack(f"<IIQ{len(value)}i", 9, 5, len(value), *value)
        case [str(), *_]:
            return struct.pack("<IIQ", 9, 8, len(value)) + b"".join(text_bytes(str(text)) for text in value)
    raise TypeError(f"no GGUF type for {value!r}")


def metadata(s: Shape, vocab: Vocab) -> dict[str, object]:
    """The key-value section, in file order."""
    special = {END_OF_TEXT, TURN_START, TURN_END}
    return {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": "splitter tiny",
        "general.description": "Babbles words about graphics cards; random layers, made by examples/make_model.py",
        "general.license": "mit",
        "general.file_type": MOSTLY_Q8_0,
        "general.quantization_version": 2,
        "llama.block_count": s.layers,
        "llama.context_length": s.context,
        "llama.embedding_length": s.embd,
        "llama.feed_forward_length": s.ffn,
        "llama.attention.head_count": s.heads,
        "llama.attention.head_count_kv": s.kv_heads,
        "llama.attention.layer_norm_rms_epsilon": 1e-5,
        "llama.rope.dimension_count": s.embd // s.heads,
        "llama.rope.freq_base": 10000.0,
        "llama.vocab_size": len(vocab.tokens),
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        "tokenizer.ggml.tokens": list(vocab.tokens),
        "tokenizer.ggml.token_type": [CONTROL_TOKEN if t in special else NORMAL_TOKEN for t in vocab.tokens],
        "tokenizer.ggml.merges": [" ".join(pair) for pair in vocab.merges],
        "tokenizer.ggml.bos_token_id": vocab.tokens.index(END_OF_TEXT),
        "tokenizer.ggml.eos_token_id": vocab.tokens.index(TURN_END),
        "tokenizer.ggml.eot_token_id": vocab.tokens.index(TURN_END),
        "tokenizer.ggml.padding_token_id": vocab.tokens.index(END_OF_TEXT),
        "tokenizer.ggml.add_bos_token": False,
        "tokenizer.chat_template": CHAT_TEMPLATE,
    }


def gguf_bytes(meta: dict[str, object], contents: Sequence[Tensor]) -> bytes:
    """The whole file: header, metadata, tensor table, then each tensor at a multiple of ALIGNMENT."""
    out = bytearray(struct.pack("<4sIQQ", b"GGUF", 3, len(contents), len(meta)))
    for key, value in meta.items():
        out += text_bytes(key) + value_bytes(value)
    offset = 0
    for t in contents:
        out += text_bytes(t.name) + struct.pack(f"<I{len(t.shape)}QIQ", len(t.shape), *t.shape, t.kind, offset)
        offset += len(t.data) + -len(t.data) % ALIGNMENT
    out += bytes(-len(out) % ALIGNMENT)
    for t in contents:
        out += t.data + bytes(-len(t.data) % ALIGNMENT)
    return bytes(out)


def make_model(shape: Shape, n_merges: int = 512) -> bytes:
    """The bytes of the GGUF file."""
    vocab = learn((HERE / "tiny_text.txt").read_text(encoding="utf-8"), n_merges)
    return gguf_bytes(metadata(shape, vocab), tensors(shape, vocab))


def main() -> None:
    """Reads the options and writes the file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, default=HERE / "tiny.gguf")
    for field, default in (
        ("layers", 8),
        ("embd", 128),
        ("ffn", 256),
        ("heads", 4),
        ("kv-heads", 2),
        ("context", 4096),
    ):
        parser.add_argument(f"--{field}", type=int, default=default)
    a = parser.parse_args()
    a.output.write_bytes(make_model(Shape(a.layers, a.embd, a.ffn, a.heads, a.kv_heads, a.context)))


if __name__ == "__main__":
    main()
