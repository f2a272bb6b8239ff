"""Show 7's command without a GPU: its reading of logs, its verdict, and the whole way on the emulated rig."""

from dataclasses import replace
from pathlib import Path

import pytest

from splitter.model.load import load_model
from splitter.plan.overhead import no_overhead
from splitter.units import MIB
from tests.gpu.plans import ten_plans
from tests.gpu.real_loads import Printed, emulated_rig, excess, main, printed, write_model

LOG = """load_tensors:        CUDA0 model buffer size =  1301.21 MiB
llama_kv_cache:      CUDA0 KV buffer size =   384.00 MiB
llama_memory_recurrent:      CUDA0 RS buffer size =    41.41 MiB
sched_reserve:      CUDA0 compute buffer size =   966.50 MiB
sched_reserve:      CUDA0 compute buffer size =   960.00 MiB
sched_reserve:  CUDA_Host compute buffer size =   140.02 MiB
"""


def test_reads_what_a_real_card_printed() -> None:
    found = printed(LOG.splitlines())
    assert {name: (p.model / MIB, p.context / MIB, p.compute / MIB) for name, p in found.items()} == {
        "CUDA0": pytest.approx((1301.21, 425.41, 966.5)),
        "CUDA_Host": pytest.approx((0, 0, 140.02)),
    }


def test_more_than_estimated_is_named(tmp_path: Path) -> None:
    facts = load_model(str(write_model(tmp_path / "small.gguf", small=True)))
    plans = ten_plans(facts, emulated_rig(), no_overhead)
    assert len(plans) == 10
    plan = plans["even, f16 cache"]
    real = {
        device: Printed(use.model_bytes, use.context_bytes, use.compute_bytes)
        for device, use in zip(plan.settings.device_order, plan.footprint.devices, strict=True)
    }
    assert excess(plan, real) == []
    real["CUDA1"] = replace(real["CUDA1"], context=real["CUDA1"].context + 2 * MIB)
    real["CUDA3"] = replace(real["CUDA3"], compute=real["CUDA3"].compute + 17 * MIB)
    assert excess(plan, real) == ["CUDA1 context +2.0 MiB", "CUDA3 compute +17.0 MiB"]


@pytest.mark.engine
def test_ten_plans_on_the_emulated_rig(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["--emulate", "--folder", str(tmp_path), "--longest-prompt", "300"])
    out = capsys.readouterr().out
    print(out)
    assert code == 0
    assert "10 of 10 plans within the estimate" in out
