"""Records as a comparison, a tune and a stranger would leave them: the reports of the tests are made from them."""

import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from splitter.bench.records.record import EngineInfo, HostInfo, ModelInfo, Point, Predicted, Record
from splitter.bench.result import RunSample
from splitter.bench.stats import percentiles, spread
from splitter.units import GIB

HOSTILE = "</title></style></svg><script>window.hit=1</script><img src=x onerror=window.hit=1>\"'&\x1b]0;x\x07\u202e`"


def point(generation: float, prompt: float, depth: int = 0, *, seed: int = 1) -> Point:
    dice = random.Random(seed + depth)
    speeds = [(generation * dice.gauss(1, 0.015), prompt * dice.gauss(1, 0.015)) for _ in range(5)]
    samples = tuple(
        RunSample(512, 128, 512 / p, 127 / g, 512 / p + 0.01, 512 / p + 127 / g, "engine", 127) for g, p in speeds
    )
    return Point(
        n_prompt=512,
        n_generate=128,
        depth=depth,
        repetitions=5,
        prompt_tokens_per_s=spread([p for _, p in speeds]),
        generation_tokens_per_s=spread([g for g, _ in speeds]),
        first_token_s=percentiles([sample.first_token_s for sample in samples]),
        inter_token_s=percentiles([1 / g for g, _ in speeds]),
        samples=samples,
        energy_j_per_token=2.1,
        ended_by="spread",
    )


def device(name: str, gib: float, layers: range, model_gib: float, *, output: bool = False) -> dict[str, Any]:
    """One card of a plan; half a GiB of margin, and what belongs to so much model."""
    parts = {"model": model_gib, "context": 0.1 * model_gib, "compute": 0.2, "overhead": 0.35, "margin": 0.5}
    return {
        "id": name.split()[0],
        "name": "NVIDIA GeForce " + name.split(" ", 1)[1],
        "total_bytes": int(gib * GIB),
        "free_bytes": int(gib * GIB * 0.95),
        "layers": list(layers),
        "holds_output": output,
        **{f"{part}_bytes": int(gib_part * GIB) for part, gib_part in parts.items()},
    }


PLAN = (
    device("CUDA1 RTX 2080", 8, range(19, 40), 5.5, output=True),
    device("CUDA2 GTX 1060 6GB", 6, range(4, 19), 4.0),
    device("CUDA0 GTX 1050 Ti", 4, range(4), 2.2),
)
TOO_MUCH = (
    device("CUDA1 RTX 2080", 8, range(22, 40), 4.9, output=True),
    device("CUDA2 GTX 1060 6GB", 6, range(9, 22), 3.4),
    device("CUDA0 GTX 1050 Ti", 4, range(9), 3.4),
)


def card(celsius: int, mhz: int, throttled: tuple[str, ...]) -> Mapping[str, Any]:
    return {"device_id": "CUDA1", "name": "RTX 2080", "temperature_c": celsius, "sm_clock_mhz": mhz, "power_w": 205.0,
            "throttled": list(throttled)}  # fmt: skip


def base(number: int, label: str) -> Record:
    return Record(
        kind="bench",
        engine=EngineInfo("llama-server", "11434", "/opt/llama.cpp/llama-server"),
        model=ModelInfo("/models/some-14b-q4_k_m.gguf", "Some 14B", "qwen2", "Q4_K_M", 8_988_110_000, "9f" * 32),
        created_at=f"2026-01-02T03:{number:02d}:05+00:00",
        id=number,
        label=label,
        argv=("llama-server", "-m", "/models/some-14b-q4_k_m.gguf", "--fit", "off", "-ngl", "41", "-ub", str(number)),
        rig={"name": "phoenix", "devices": [{k: d[k] for k in ("id", "name", "total_bytes")} for d in PLAN]},
        host=HostInfo("linux", "a CPU", 6, 64 * GIB),
        driver_version="550.54",
        cards_before=(card(41, 300, ()),),
        cards_after=(card(71, 1890, ("power cap",)),),
    )


def sweep(generation: float, prompt: float) -> tuple[Point, ...]:
    return tuple(point(generation / (1 + d / 30000), prompt / (1 + d / 20000), d) for d in (0, 2048, 4096, 8192))


def compared() -> tuple[Record, ...]:
    """A plan, two alternatives, and one whose engine died."""
    made = (
        replace(base(1, "plan"), predicted=Predicted(16.1, 450.0), devices=PLAN, points=sweep(15.2, 410)),
        replace(base(2, "--fit on"), points=sweep(12.8, 380)),
        replace(base(3, "by free VRAM"), predicted=Predicted(12.0), devices=TOO_MUCH, points=sweep(11.3, 350)),
        replace(base(4, "given command"), error="out of memory on CUDA0"),
    )
    return tuple(replace(record, kind="compare", group="c") for record in made)


def tuned(count: int = 12) -> tuple[Record, ...]:
    """A tune whose third launch failed and whose last was the best."""
    made = []
    for launch in range(count):
        measured = () if launch == 2 else (point(13 + (launch % 5) * 0.2 + launch * 0.1, 400, seed=launch),)
        error = None if measured else "CUDA1 ran out of memory"
        record = replace(base(10 + launch, f"neighbour {launch}"), points=measured, error=error)
        made.append(replace(record, kind="tune", group="t"))
    return tuple(made)


def hostile() -> tuple[Record, ...]:
    """A plan, a measurement and a tune in which every text is an attack."""
    cards = tuple({**d, "id": HOSTILE, "name": HOSTILE} for d in PLAN)
    evil = replace(
        compared()[0],
        label=HOSTILE,
        engine=EngineInfo(HOSTILE, HOSTILE, HOSTILE),
        model=ModelInfo(HOSTILE, HOSTILE, HOSTILE, HOSTILE, 1, HOSTILE),
        argv=("llama-server", HOSTILE),
        rig={"name": HOSTILE, "devices": [{"id": HOSTILE, "name": HOSTILE, "total_bytes": "many"}, 7]},
        host=HostInfo(HOSTILE, HOSTILE, 1, 1),
        driver_version=HOSTILE,
        cards_before=({"device_id": HOSTILE, "name": HOSTILE, "temperature_c": "hot"},),
        predicted=Predicted(16.0, 450.0, HOSTILE),
        devices=cards,
        note=HOSTILE,
    )
    trials = [replace(trial, label=HOSTILE, group=HOSTILE) for trial in tuned(4)]
    trials[1] = replace(trials[1], points=(), error=HOSTILE)
    return evil, *trials
