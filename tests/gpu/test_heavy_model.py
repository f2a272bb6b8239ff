"""The models of true size without weights: read by us, loaded and answered from by the real engine."""

from pathlib import Path

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.rig.device import Host, Rig
from splitter.run.endpoint import any_free_port
from splitter.run.supervisor import launch
from tests.engine.oracle import VERSION, engine_dir
from tests.gpu.heavy_model import write_heavy
from tests.gpu.whole_way import MODELS, answer, main


def test_it_costs_no_disk_and_has_the_true_size(tmp_path: Path) -> None:
    path = write_heavy("llama-3.1-8b-q4_k_m", tmp_path)
    facts = load_model(str(path))
    assert 4.5 * 2**30 < path.stat().st_size < 5 * 2**30
    assert path.stat().st_blocks * 512 < 16 * 2**20
    assert (facts.layers, facts.hparam("vocab_size")) == (32, 128256)


@pytest.mark.engine
def test_the_engine_loads_it_and_answers(tmp_path: Path) -> None:
    facts = load_model(str(write_heavy("qwen2.5-0.5b-q8_0", tmp_path)))
    plan = evaluate(facts, Rig("none", Host(), ()), Settings(512, 0, (), parallel=1, ubatch_size=32))
    engine = EngineRef("llama-server", str(engine_dir().binary("llama-server")), VERSION)
    with launch(build_command(plan, engine, Server(port=any_free_port()))) as instance:
        instance.wait_ready()
        assert answer(instance.url, tokens=2) == 2


def test_an_unknown_stage_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--engine", "llama-server", "nonsense"])
    assert "calibrate" in capsys.readouterr().err
    assert len(set(MODELS)) == 6
