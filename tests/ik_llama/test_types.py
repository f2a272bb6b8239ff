"""ik_llama.cpp's tensor types: each read, sized, named; refused for engines that cannot read them."""

import ctypes
from dataclasses import replace
from pathlib import Path

import pytest

from splitter.engine.engines import rules_of
from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.model.ggml_types import FORK_FILE_TYPES, FORK_TYPES, GGML_TYPES, GgmlType, fork_types, type_name
from splitter.model.load import load_model
from splitter.model.summary import summarize
from splitter.plan.evaluate import evaluate
from splitter.plan.request import Request
from splitter.plan.solve import solve
from tests.model.gguf_files import pair, raw_file, row, string
from tests.plan.builders import card, model, rig

SHAPES = ((1024, 1), (1024, 7), (2048, 3, 2))
REAL = Path.home() / ".cache" / "splitter-engine" / "ik_llama-0.1.5" / "bin"


def file_of(path: Path, number: int, shape: tuple[int, ...]) -> Path:
    size = FORK_TYPES[number].tensor_bytes(shape)
    keys = [pair("general.architecture", 8, string("llama")), pair("llama.block_count", 4, (1).to_bytes(4, "little"))]
    path.write_bytes(raw_file(keys, [row("blk.0.ffn_up.weight", shape, number)], data_bytes=size + -size % 32))
    return path


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("number", FORK_TYPES, ids=lambda number: FORK_TYPES[number].name)
def test_a_file_of_each_type_is_read(tmp_path: Path, number: int, shape: tuple[int, ...]) -> None:
    facts = load_model(str(file_of(tmp_path / "m.gguf", number, shape)))
    tensor = facts.tensors[0]
    assert (tensor.ggml_type, tensor.size_bytes) == (number, FORK_TYPES[number].tensor_bytes(shape))
    assert type_name(number) == FORK_TYPES[number].name
    assert FORK_TYPES[number].name in {name for name, _ in ((t.name, 0) for t in summarize(facts).types)}


def test_no_number_means_two_things() -> None:
    assert not set(FORK_TYPES) & set(GGML_TYPES)
    assert len({kind.name for kind in FORK_TYPES.values()}) == len(FORK_TYPES)
    assert len(set(FORK_FILE_TYPES.values())) == len(FORK_FILE_TYPES)


@pytest.mark.parametrize(("number", "elements", "size"), [
    (144, 4096, 4 + 16 * 136), (151, 4096, 8 + 128 * 32), (219, 4096, 2 + 128 * 6), (140, 4096, 16 * 176),
])  # fmt: skip
def test_a_row_has_bytes_of_its_own(number: int, elements: int, size: int) -> None:
    assert FORK_TYPES[number].row_bytes(elements) == size
    assert FORK_TYPES[number].tensor_bytes((elements, 10)) == 10 * size


@pytest.mark.ik
@pytest.mark.parametrize("number", FORK_TYPES, ids=lambda number: FORK_TYPES[number].name)
def test_the_forks_own_table_agrees(number: int) -> None:
    library = next(path for path in (*REAL.parent.rglob("libggml.so"), *REAL.parent.rglob("libggml-base.so")))
    ggml, kind = ctypes.CDLL(str(library)), FORK_TYPES[number]
    ggml.ggml_row_size.restype = ggml.ggml_type_size.restype = ctypes.c_size_t
    ggml.ggml_row_size.argtypes = (ctypes.c_int, ctypes.c_int64)
    ggml.ggml_type_name.restype = ctypes.c_char_p
    assert ggml.ggml_type_name(number).decode().lower() == kind.name.lower()
    if kind.name != "I2_S":  # its size is made in ggml_nbytes alone
        assert ggml.ggml_row_size(number, ctypes.c_int64(4096)) == kind.row_bytes(4096)


@pytest.mark.parametrize("engine", ["llama-server", "koboldcpp", "embedded"])
def test_planning_such_a_file_for_another_engine_is_refused(engine: str) -> None:
    plain = model(layers=4)
    tensors = tuple(replace(tensor, ggml_type=144) if "ffn_up" in tensor.name else tensor for tensor in plain.tensors)
    facts = replace(plain, tensors=tensors)
    with pytest.raises(UsageError, match=r"tensors of type IQ4_KS, which .* cannot read") as caught:
        solve(facts, rig(card(0, 4000)), Request(engine=rules_of(engine)))
    assert "--engine ik-llama" in caught.value.hint
    settings = Settings(context_size=256, gpu_layers=0, device_order=())
    checked = evaluate(facts, rig(card(0, 4000)), settings, engine=rules_of(engine))
    assert checked.warnings[0].code == "unreadable_types"
    assert solve(facts, rig(card(0, 4000)), Request(engine=rules_of("ik-llama"))).fits()


def test_only_forks_types_are_named() -> None:
    assert fork_types([0, 12, 144, 144, 39, 137]) == ("IQ4_KS", "IQ2_K")
    assert GgmlType("X", 256, 100, 2, 8).tensor_bytes((512, 3)) == 3 * (2 + 200) + 8
