import os
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import gguf
import pytest

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.load import is_remote, load_model
from splitter.model.source import open_local
from splitter.model.split import SplitName, parse_split_name, stem
from tests.engine.oracle import skeleton
from tests.model.gguf_files import ARCHITECTURE, TINY, pair, raw_file, write_model

PARTS = ["m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf"]


def split_set(folder: Path) -> Path:
    """Three parts, written by GGUFWriter; returns the first."""
    write_model(folder / "m.gguf", split_max_tensors=3)
    assert sorted(path.name for path in folder.glob("*.gguf")) == PARTS
    return folder / PARTS[0]


def test_single_file(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf")
    facts = load_model(str(path))
    assert (facts.path, facts.name, facts.architecture) == (str(path), "Tiny Test", "llama")
    assert (facts.layers, facts.context_train, facts.vocabulary, facts.quantization) == (2, 4096, 32, "Q8_0")
    assert facts.file_bytes == path.stat().st_size
    assert facts.parameters == 2 * 256 * 256 + 2 * 32 * 256 + 3 * 256
    assert facts.hparam("attention.head_count_kv") == 2
    assert facts.hparam("attention.absent") is None


def test_tilde_expands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    path = write_model(tmp_path / "tiny.gguf")
    assert load_model("~/tiny.gguf").path == str(path)


def test_first_part_loads_the_whole_set(tmp_path: Path) -> None:
    first = split_set(tmp_path)
    facts = load_model(str(first))
    assert [tensor.name for tensor in facts.tensors] == list(TINY)
    assert [tensor.part for tensor in facts.tensors] == [0, 0, 0, 1, 1, 1, 2]
    assert next(tensor.offset for tensor in facts.tensors if tensor.part == 1) == 0
    assert facts.file_bytes == sum((tmp_path / name).stat().st_size for name in PARTS)
    whole = load_model(str(write_model(tmp_path / "whole.gguf")))
    assert (facts.parameters, facts.layers, facts.vocabulary) == (whole.parameters, whole.layers, whole.vocabulary)
    assert facts.path == str(first)


def test_another_part_names_the_first(tmp_path: Path) -> None:
    split_set(tmp_path)
    with pytest.raises(ModelError, match="is part 2 of a model split into 3") as caught:
        load_model(str(tmp_path / PARTS[1]))
    assert str(tmp_path / PARTS[0]) in caught.value.hint


def test_missing_part(tmp_path: Path) -> None:
    first = split_set(tmp_path)
    (tmp_path / PARTS[2]).unlink()
    with pytest.raises(ModelNotFoundError, match=r"Part 3 of 3 .* is missing: .*m-00003-of-00003\.gguf"):
        load_model(str(first))


def test_renamed_first_part(tmp_path: Path) -> None:
    first = split_set(tmp_path).rename(tmp_path / "renamed.gguf")
    with pytest.raises(ModelError, match=r"its name does not end in -00001-of-00003\.gguf"):
        load_model(str(first))


def test_swapped_parts(tmp_path: Path) -> None:
    first = split_set(tmp_path)
    shutil.copy(tmp_path / PARTS[2], tmp_path / PARTS[1])
    with pytest.raises(ModelError, match="is named part 2 but says it is part 3"):
        load_model(str(first))


def test_parts_of_different_models(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = split_set(tmp_path)
    other = {f"{name}.x": shape for name, shape in TINY.items() if name.startswith("blk")}
    write_model(
        tmp_path / "other" / "m.gguf", split_max_tensors=2, tensors={**other, "output.weight": (32, 256), **TINY}
    )
    part = next(path for path in (tmp_path / "other").iterdir() if path.name.startswith("m-00002-of"))
    shutil.copy(part, tmp_path / PARTS[1])
    with pytest.raises(ModelError, match="the parts do not belong together"):
        load_model(str(first))


def test_part_cut_short_is_named(tmp_path: Path) -> None:
    first = split_set(tmp_path)
    second = tmp_path / PARTS[1]
    os.truncate(second, second.stat().st_size - 10_000)
    with pytest.raises(ModelError, match=r"m-00002-of-00003\.gguf is cut short: \d+ bytes \(10 KiB of"):
        load_model(str(first))


@pytest.mark.parametrize(
    ("value_type", "count", "words"),
    [
        (2, struct.pack("<H", 65535), "Part 2 of 65535 of the split model is missing"),
        (5, struct.pack("<i", -3), r"split\.count is not a count"),
        (6, struct.pack("<f", 3.0), r"split\.count is not a count"),
    ],
)
def test_hostile_split_counts(tmp_path: Path, value_type: int, count: bytes, words: str) -> None:
    path = tmp_path / "x-00001-of-65535.gguf"
    path.write_bytes(raw_file([ARCHITECTURE, pair("split.count", value_type, count)]))
    with pytest.raises(ModelError, match=words):
        load_model(str(path))


def test_missing_file_names_the_nearest(tmp_path: Path) -> None:
    write_model(tmp_path / "Qwen2.5-32B-Q4_K_M.gguf")
    write_model(tmp_path / "zephyr.gguf")
    with pytest.raises(ModelNotFoundError, match="There is no file ") as caught:
        load_model(str(tmp_path / "qwen2.5-32b-q4_k_s.gguf"))
    assert caught.value.hint == "Nearest there: Qwen2.5-32B-Q4_K_M.gguf."
    with pytest.raises(ModelNotFoundError) as caught:
        load_model(str(tmp_path / "1.bin"))
    assert caught.value.hint == "GGUF files there: Qwen2.5-32B-Q4_K_M.gguf, zephyr.gguf."
    with pytest.raises(ModelNotFoundError) as caught:
        load_model(str(tmp_path / "no" / "where.gguf"))
    assert caught.value.hint.endswith("does not exist either.")
    with pytest.raises(ModelNotFoundError):
        load_model(str(tmp_path / "zephyr.gguf" / "below.gguf"))


def test_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is a folder") as caught:
        load_model(str(tmp_path))
    assert "no .gguf file" in caught.value.hint
    for i in range(7):
        (tmp_path / f"{i}.gguf").touch()
    with pytest.raises(ModelError, match="is a folder") as caught:
        load_model(str(tmp_path))
    assert "0.gguf, 1.gguf, 2.gguf, 3.gguf, 4.gguf and 2 more" in caught.value.hint


@pytest.mark.parametrize("name", ["", "  ", "a\0b", "x" * 5000])
def test_unusable_names(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(name)
    assert caught.value.message.isprintable()


@pytest.mark.skipif(sys.platform == "win32", reason="no FIFOs")
def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    with pytest.raises(ModelError, match="not a regular file"):
        load_model(str(tmp_path / "pipe.gguf"))


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf")
    path.chmod(0)
    with pytest.raises(ModelError, match="cannot be read: Permission denied"):
        load_model(str(path))


def test_sparse_file_is_whole(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf")
    header = path.read_bytes()[:2048]
    size = path.stat().st_size
    path.write_bytes(header)
    os.truncate(path, size)
    assert load_model(str(path)).layers == 2


def test_names_of_split_sets() -> None:
    name = parse_split_name("dir/m-Q4-00002-of-00010.gguf")
    assert name == SplitName("dir/m-Q4", 2, 10)
    assert name.part(10) == "dir/m-Q4-00010-of-00010.gguf"
    url = parse_split_name("https://h/m-00001-of-00002.gguf?download=true")
    assert url
    assert url.part(2) == "https://h/m-00002-of-00002.gguf?download=true"
    assert parse_split_name("m-1-of-2.gguf") is None
    assert [stem("a/b-00001-of-00002.gguf"), stem("C:\\x\\y.gguf"), stem("z")] == ["b", "y", "z"]


def test_remote_references() -> None:
    assert [is_remote(r) for r in ("hf:a/b", "HTTPS://x", "http://x", "C:\\m.gguf", "hf", "./hf:x")] == [True] * 3 + [
        False
    ] * 3


def test_loading_a_local_file_imports_no_network(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf")
    code = (
        "import sys; from splitter.model.load import load_model; load_model(sys.argv[1]);"
        "print(*{'gguf', 'numpy', 'huggingface_hub', 'urllib.request', 'ssl'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


@pytest.mark.engine
def test_skeleton_of_a_32b_model() -> None:
    path = skeleton("qwen2.5-32b-q4_k_m")
    facts = load_model(str(path))
    assert (facts.layers, facts.vocabulary, len(facts.tensors)) == (64, 152064, 771)
    theirs = {tensor.name: int(tensor.n_bytes) for tensor in gguf.GGUFReader(path).tensors}
    assert {tensor.name: tensor.size_bytes for tensor in facts.tensors} == theirs


def test_a_file_that_vanishes_while_read(tmp_path: Path) -> None:
    path = write_model(tmp_path / "tiny.gguf")
    source = open_local(str(path))
    path.unlink()
    with pytest.raises(ModelError, match="cannot be read: No such file"):
        source.read(0, 10)
