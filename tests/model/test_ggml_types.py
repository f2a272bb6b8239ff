import importlib.util
import sys
from types import ModuleType

import gguf
import pytest

from splitter.model.ggml_types import FILE_TYPES, GGML_TYPES, REMOVED_TYPES, type_name
from tests.engine.oracle import engine_dir


def assert_holds(constants: ModuleType) -> None:
    """Every type that gguf's constants know is in our tables with the same name and block."""
    for number, (elements, size) in constants.GGML_QUANT_SIZES.items():
        ours = GGML_TYPES[int(number)]
        assert (ours.name, ours.block_elements) == (number.name, elements)
        assert ours.block_bytes == size or (ours.name, size) == ("Q8_1", 40)  # wrong in gguf up to 0.19
    for file_type in constants.LlamaFileType:
        if file_type.name != "GUESSED":
            assert FILE_TYPES[int(file_type)] == file_type.name.split("_", 1)[1]


def test_tables_match_the_gguf_package() -> None:
    assert_holds(gguf.constants)


@pytest.mark.engine
def test_tables_match_the_pinned_engine_and_hold_nothing_else() -> None:
    path = engine_dir().path / "llama.cpp" / "gguf-py" / "gguf" / "constants.py"
    spec = importlib.util.spec_from_file_location("pinned_gguf_constants", path)
    assert spec
    assert spec.loader
    constants = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = constants
    spec.loader.exec_module(constants)
    assert_holds(constants)
    assert set(GGML_TYPES) == {int(number) for number in constants.GGML_QUANT_SIZES}
    assert set(FILE_TYPES) == {int(t) for t in constants.LlamaFileType if t.name != "GUESSED"}


def test_no_type_is_both_known_and_removed() -> None:
    assert not set(GGML_TYPES) & set(REMOVED_TYPES)


def test_names() -> None:
    assert (type_name(12), type_name(31), type_name(139), type_name(900)) == ("Q4_K", "Q4_0_4_4", "IQ4_K", "type 900")
    assert GGML_TYPES[12].row_bytes(512) == 288
