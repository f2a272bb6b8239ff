"""Issue 17, Show 3: what a plan over RPC holds, against the engine's own dry run over real workers."""

import random
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import pytest

from splitter.engine.command import EngineRef
from splitter.engine.llama_server.dry_run import dry_run
from splitter.engine.llama_server.dry_run_rows import seen_dry
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.rig.device import Device, Host, Rig
from splitter.rig.nodes import reached_at, with_nodes
from splitter.run.endpoint import any_free_port
from splitter.run.rpc_worker import accepts
from splitter.units import MIB, from_mib
from tests.engine.oracle import RigRow, engine_dir, skeleton

pytestmark = pytest.mark.engine
FAR: dict[str, tuple[RigRow, ...]] = {
    "attic": (("RTX 3060", 12288, 11900, 360), ("RTX 3070", 8192, 7700, 448)),
    "cellar": (("RTX 3090", 24576, 24000, 936),),
}
HERE: tuple[RigRow, ...] = (("RTX 2080", 8192, 7800, 448), ("GTX 1060 6GB", 6144, 5900, 192))
MODELS = (
    "qwen2.5-14b-q4_k_m",
    "llama-3.1-8b-q4_k_m",
    "qwen3-30b-a3b-q4_k_m",
    "gemma-3-27b-q4_k_m",
    "qwen2.5-3b-q4_k_m",
)
CASES = 30


@contextmanager
def workers(rigs: dict[str, tuple[RigRow, ...]]) -> Iterator[dict[str, str]]:
    """A ggml-rpc-server per machine on loopback: node -> endpoint."""
    import os
    import time

    found = {}
    with ExitStack() as stack:
        for name, rig in rigs.items():
            port = any_free_port()
            cards = ",".join(f"CUDA{i}" for i in range(len(rig)))
            argv = [str(engine_dir().binary("ggml-rpc-server")), "-p", str(port), "-d", cards]
            env = {**os.environ, **engine_dir().env(rig, RIG_EMULATOR_EMPTY="1")}
            quiet = subprocess.DEVNULL
            process = stack.enter_context(subprocess.Popen(argv, env=env, stdout=quiet, stderr=quiet))
            stack.callback(process.kill)
            until_s = time.monotonic() + 20
            while not accepts(port):
                assert time.monotonic() < until_s
                time.sleep(0.05)
            found[name] = f"127.0.0.1:{port}"
        yield found


def devices(rig: tuple[RigRow, ...], node: str | None = None) -> tuple[Device, ...]:
    return tuple(
        Device(f"CUDA{i}", name, from_mib(total), from_mib(free), gb * 1e9, node=node)
        for i, (name, total, free, gb) in enumerate(rig)
    )


def the_rig() -> Rig:
    return with_nodes(Rig("lab", Host(), devices(HERE)), [d for name, rig in FAR.items() for d in devices(rig, name)])


def drawn(rng: random.Random, layers: int, rig: Rig) -> Settings:
    """Remote devices first, then local ones; some with layers or experts in RAM."""
    far = [d.id for d in rig.devices if d.node]
    here = [d.id for d in rig.devices if not d.node]
    order = (*sorted(rng.sample(far, rng.randint(1, len(far)))), *sorted(rng.sample(here, rng.randint(1, len(here)))))
    ubatch = rng.choice([128, 256, 512])
    return Settings(
        context_size=rng.choice([2048, 4096, 8192]),
        gpu_layers=rng.choice([layers + 1, layers + 1, rng.randint(len(order), layers)]),
        device_order=order,
        tensor_split=tuple(float(rng.randint(1, 6)) for _ in order),
        ubatch_size=ubatch,
        cache_type_k=rng.choice(["f16", "q8_0"]),
        parallel=1,
        n_cpu_moe=rng.choice([0, 0, 4]),
    )


def test_thirty_random_plans_over_rpc_hold_what_the_engine_says(monkeypatch: pytest.MonkeyPatch) -> None:
    rng, worst = random.Random(17), {"model": 0, "context": 0, "compute": 0}
    for key, value in engine_dir().env(HERE, RIG_EMULATOR_EMPTY="1").items():
        monkeypatch.setenv(key, value)
    engine = EngineRef("llama-server", str(engine_dir().binary("llama-server")), "11434")
    with workers(FAR) as reached:
        rig = reached_at(the_rig(), reached)
        for case in range(CASES):
            facts = load_model(str(skeleton(MODELS[case % len(MODELS)])))
            settings = drawn(rng, facts.layers, rig)
            if "expert_count" not in " ".join(facts.metadata):
                settings = replace(settings, n_cpu_moe=0)
            plan = evaluate(facts, rig, settings, margin_bytes=(0,))
            rows = {row.device: row for row in dry_run(plan, engine)}
            for use, planned in zip(seen_dry(plan).devices, plan.devices, strict=True):
                row = rows[planned.device.id]
                for term, ours, theirs in (
                    ("model", use.model_bytes, row.model_mib),
                    ("context", use.context_bytes, row.context_mib),
                    ("compute", use.compute_bytes, row.compute_mib),
                ):
                    off = abs(ours - from_mib(theirs)) // MIB
                    worst[term] = max(worst[term], off)
                    assert term == "compute" or off == 0, (facts.name, settings, planned.device.id, term, ours, theirs)
                    shown = (facts.name, settings, planned.device.id, term, ours // MIB, theirs)
                    assert -MIB < ours - from_mib(theirs) <= max(MIB, from_mib(theirs) // 10), shown
    print(f"{CASES} plans over RPC, largest difference in MiB: {worst}")


def test_weights_in_ram_are_staged_on_the_first_local_card() -> None:
    facts, rig = load_model(str(skeleton("qwen2.5-14b-q4_k_m"))), the_rig()
    remote = Settings(4096, 40, ("RPC0", "CUDA0"), (1.0, 1.0), parallel=1)
    grown = []
    for order in (("RPC0", "CUDA0"), ("CUDA1", "CUDA0")):
        plan = evaluate(facts, rig, replace(remote, device_order=order), margin_bytes=(0,))
        grown.append([planned.memory.compute_bytes for planned in plan.devices])
    (far, near), (first, second) = grown
    assert far < first
    assert near > second
