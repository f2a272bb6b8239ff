"""The embedded server understands every flag we write for it."""

import random
import sys

import xllamacpp

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.embedded.flags import read_flags
from tests.commands.plans import facts, plan
from tests.commands.random_plans import llama_settings

# The wheel computes on the CPU: nothing else is planned for it.
AT_HOME = {"draft_device_order": (), "mmproj_device": "none"}


def test_two_hundred_random_cpu_plans_are_understood() -> None:
    rng = random.Random(3)
    for _ in range(200):
        settings = {**llama_settings(rng, 5), "device_order": (), "gpu_layers": 0, "tensor_split": (), **AT_HOME}
        made = plan(model=facts(layers=5), engine="embedded", **settings)
        command = build_command(made, EngineRef("embedded", sys.executable, "2026.10.11549"), Server(port=8099))
        params = read_flags(command.argv[3:], xllamacpp.CommonParams())
        assert (params.n_ctx, params.n_batch, params.n_ubatch) == (
            made.settings.context_size,
            made.settings.batch_size,
            made.settings.ubatch_size,
        )
        assert (params.port, params.n_parallel, params.kv_unified) == (
            8099,
            made.settings.parallel,
            made.settings.kv_unified and made.settings.parallel > 1,  # one slot shares with nobody
        )
