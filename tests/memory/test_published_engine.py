"""The `now*` columns of published-p100x4.csv are what build 11434 says: a sample of them asked again."""

from pathlib import Path

import pytest

from tests.engine.oracle import dry_run
from tests.memory.published_models import MODELS
from tests.memory.test_published_p100 import DEVICES, FREE_MIB, MODEL, Row, usable

RIG = (("Tesla P100-PCIE-16GB", 16269, FREE_MIB, 732),) * DEVICES


def flags(row: Row) -> list[str]:
    """The flags of the load that decide memory."""
    pairs = {"-c": "c", "-b": "b", "-ub": "ub", "-fa": "fa", "-ctk": "kv", "-ctv": "kv", "-ot": "ot"}
    split = ["-ts", row["ts"]] if row["ts"] else []
    return ["-ngl", "999", "-np", "1", *split, *(word for flag, key in pairs.items() for word in (flag, row[key]))]


@pytest.mark.engine
def test_the_recorded_dry_runs_are_those_of_the_pinned_build(tmp_path: Path) -> None:
    model = MODELS[MODEL](MODEL).write(tmp_path)
    for row in usable()[::16]:
        held = dry_run(model, RIG, flags(row))
        recorded = [*(row[f"now{i}"] for i in range(DEVICES)), row["now_host"]]
        assert [str(one.compute_mib) for one in held] == recorded
        assert [one.model_mib for one in held[:-1]] == [int(float(row[f"model{i}"])) for i in range(DEVICES)]
