"""Where fuzzing starts: a few sound inputs per target, so that mutation begins behind the first check."""

import json
import struct
from collections.abc import Callable
from pathlib import Path

from splitter.bench.records.record import to_dict
from splitter.run.entry import Entry, Reserved, to_json
from tests.bench.make_record import make_point, make_record
from tests.model.gguf_files import ARCHITECTURE, array, pair, raw_file, row, string

ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).parent / "corpus"
LOG = """llama_model_loader: loading model 'm.gguf'
load_tensors: offloaded 33/33 layers to GPU
load_tensors: CUDA0 model buffer size = 100.00 MiB
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 4096.00 MiB on device 1: cudaMalloc failed: out of memory
CUDA error: out of memory
  current device: 0, in function alloc
couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080
llama_model_load: error loading model: missing tensor
error: invalid argument: --foo
server is listening on http://127.0.0.1:8080
"""


ENTRY = to_json(Entry("phoenix", "1a", 41, 1.5e9, "llama-server", "11434", "127.0.0.1", 8080, "http://127.0.0.1:8080",
    "/m/a.gguf", "A", "/l/a.log", ("llama-server", "-m", "/m/a.gguf"), None, 1.5e9,
    (Reserved("CUDA0", "Tesla P100", "GPU-1", 2**33, True),), "ready", 42, 1.5e9, 1, 2.5, 1.5e9))  # fmt: skip
_RECORDS = (make_record(), make_record("plan", "g", (make_point(), make_point(depth=512, concurrency=2))))


def seeds(target: str) -> list[bytes]:
    """Sound inputs for `target`."""
    makers: dict[str, Callable[[], list[bytes]]] = {
        "header": _headers,
        "profile": lambda: _files("profiles/*.yaml"),
        "rig": lambda: _files("examples/rigs/*.yaml"),
        "log": lambda: [LOG.encode(), *(line.encode() for line in LOG.splitlines())],
        "script": lambda: [b"\xff".join(words) for words in _NAMES],
        "command": _commands,
        "entry": lambda: [ENTRY.encode()],
        "record": lambda: [json.dumps(to_dict(found)).encode() for found in _RECORDS],
    }
    return makers[target]()


_NAMES = (
    (b"Tiny", b"C:\\models\\tiny.gguf", b"", b"", b"run"),
    (b"a & b %PATH% ^!", b"/models/a 'b' $(c).gguf", b"/m/p.gguf", rb"blk\.\d+\.ffn_.*=CPU", b"x"),
    (b"n\r\ncalc\r\n", b"hf:a/b/c.gguf", b"", b"", b""),
)


def _files(pattern: str) -> list[bytes]:
    return [path.read_bytes() for path in sorted(ROOT.glob(pattern))]


def _commands() -> list[bytes]:
    scripts = [(b"\x00", "launchers/*.bat"), (b"\x02", "launchers/*.sh")]
    lines = [b"\x05llama-server -m a.gguf -ngl 9 -ts 3,1 -c 4096", b"\x05koboldcpp --model a.gguf --usecuda 0 1"]
    unit = b"\x03[Service]\nEnvironment=A=1\nExecStart=/bin/llama-server -m a.gguf\n"
    kcpps = b'\x04{"model_param": "a.gguf", "gpulayers": 9, "tensor_split": [3, 1]}'
    return [*lines, unit, kcpps, *(kind + text for kind, pattern in scripts for text in _files(pattern))]


def _headers() -> list[bytes]:
    number = struct.pack("<I", 2)
    pairs = [
        ARCHITECTURE,
        pair("general.name", 8, string("Tiny")),
        pair("llama.block_count", 4, number),
        pair("llama.attention.head_count", 9, array(4, 2, number * 2)),
        pair("llama.rope.freq_base", 6, struct.pack("<f", 1e4)),
        pair("tokenizer.ggml.tokens", 9, array(8, 2, string("a") + string("b"))),
        pair("tokenizer.chat_template", 8, string("{{ x }}")),
    ]
    rows = [row("token_embd.weight", [32, 2]), row("blk.0.attn_q.weight", [32, 32], 8, 256)]
    return [raw_file(pairs, rows, data_bytes=2048), raw_file(pairs[:2]), raw_file()]
