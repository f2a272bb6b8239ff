"""What dry runs taught is kept, grows only, and is nothing when its file is damaged."""

from pathlib import Path

import pytest

from splitter.engine.command import EngineRef
from splitter.engine.learnt import LEARNT, cache_file, learnt_overhead, remember
from splitter.model.load import load_model
from splitter.rig.files import load_rig

TINY = str(Path(__file__).parents[2] / "examples" / "tiny.gguf")
ENGINE = EngineRef("llama-server", "/x/llama-server", "11434")


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def learnt(engine: EngineRef = ENGINE) -> dict[str, int]:
    facts, rig = load_model(TINY), load_rig("phoenix")
    overhead = learnt_overhead(facts, rig, engine)
    return {d.id: dict(overhead(d, rig.host)).get(LEARNT, 0) for d in rig.devices}


def teach(**found: int) -> None:
    remember(load_model(TINY), load_rig("phoenix"), ENGINE, found)


def test_the_largest_shortfall_is_kept() -> None:
    assert learnt() == {"CUDA0": 0, "CUDA1": 0, "CUDA2": 0}
    teach(CUDA1=100)
    teach(CUDA1=40, CUDA2=7)
    assert learnt() == {"CUDA0": 0, "CUDA1": 100, "CUDA2": 7}


def test_another_build_starts_afresh() -> None:
    teach(CUDA1=100)
    assert set(learnt(EngineRef("llama-server", None, "20000")).values()) == {0}


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"x": {"CUDA0": "much"}}', b"\xff\xfe"])
def test_a_damaged_file_is_an_empty_one(damage: bytes) -> None:
    cache_file().parent.mkdir(parents=True)
    cache_file().write_bytes(damage)
    assert set(learnt().values()) == {0}
    teach(CUDA0=5)
    assert learnt()["CUDA0"] == 5
