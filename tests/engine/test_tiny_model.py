"""examples/tiny.gguf is what its script writes, is sound for the gguf package, and really talks."""

import json
import subprocess
import sys
from pathlib import Path

import gguf
import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TINY = EXAMPLES / "tiny.gguf"


@pytest.fixture(scope="module")
def reader() -> gguf.GGUFReader:
    return gguf.GGUFReader(TINY)


def test_the_committed_file_is_the_scripts_output(tmp_path: Path) -> None:
    made = tmp_path / "made.gguf"
    subprocess.run([sys.executable, str(EXAMPLES / "make_model.py"), "-o", str(made)], check=True)
    assert made.read_bytes() == TINY.read_bytes()
    assert made.stat().st_size < 2_000_000


def test_other_shapes_can_be_made(tmp_path: Path) -> None:
    made = tmp_path / "made.gguf"
    options = ["--layers", "3", "--embd", "64", "--ffn", "96", "--heads", "2", "--kv-heads", "1", "--context", "512"]
    subprocess.run([sys.executable, str(EXAMPLES / "make_model.py"), "-o", str(made), *options], check=True)
    reader = gguf.GGUFReader(made)
    shapes = {t.name: t.shape.tolist() for t in reader.tensors}
    assert shapes["blk.2.attn_k.weight"] == [64, 32]
    assert shapes["blk.2.ffn_down.weight"] == [96, 64]
    assert "blk.3.attn_k.weight" not in shapes
    assert reader.fields["llama.context_length"].contents() == 512


def test_the_gguf_package_reads_it(reader: gguf.GGUFReader) -> None:
    assert reader.fields["general.architecture"].contents() == "llama"
    assert len(reader.tensors) == 8 * 9 + 3
    names = [t.name for t in reader.tensors]
    assert len(set(names)) == len(names)
    assert {t.tensor_type.name for t in reader.tensors} == {"F32", "Q8_0"}


def test_the_weights_are_finite_and_random(reader: gguf.GGUFReader) -> None:
    up = next(t for t in reader.tensors if t.name == "blk.0.ffn_up.weight")
    values = gguf.quants.dequantize(up.data, up.tensor_type)
    assert values.shape == (256, 128)
    assert abs(float(values.std()) * 128**0.5 - 1) < 0.05
    assert abs(float(values.mean())) < 0.005


def test_tokens_and_merges_belong_together(reader: gguf.GGUFReader) -> None:
    tokens = reader.fields["tokenizer.ggml.tokens"].contents()
    merges = reader.fields["tokenizer.ggml.merges"].contents()
    types = reader.fields["tokenizer.ggml.token_type"].contents()
    assert len(tokens) == len(types) == len(set(tokens)) == 256 + len(merges) + 3
    assert ["".join(merge.split(" ")) for merge in merges] == tokens[256:-3]
    assert [t for t, kind in zip(tokens, types, strict=True) if kind == 3] == tokens[-3:]
    assert tokens[reader.fields["tokenizer.ggml.eos_token_id"].contents()] == "<|im_end|>"


SAY = """
import json, sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.fit_params = sys.argv[1], 512, False
server = xllamacpp.Server(params)
answer = server.handle_completions({"prompt": "A slow card", "n_predict": 40, "max_tokens": 40, "seed": 3})
print(json.dumps(answer))
"""


def test_it_talks() -> None:
    pytest.importorskip("xllamacpp")
    out = subprocess.run([sys.executable, "-c", SAY, str(TINY)], capture_output=True, check=True).stdout
    answer = json.loads(out.decode("utf-8"))
    text = answer["choices"][0]["text"]
    assert answer["usage"]["completion_tokens"] == 40
    known = (EXAMPLES / "tiny_text.txt").read_text(encoding="utf-8").split()
    spoken = text.split()[1:-1]  # the first and last word may be cut
    assert sum(word in known for word in spoken) > len(spoken) / 2, text
