"""A record with every field filled."""

from splitter.bench.records.record import EngineInfo, HostInfo, ModelInfo, Point, Predicted, Record
from splitter.bench.result import RunSample
from splitter.bench.stats import percentiles, spread


def make_point(speeds: tuple[float, ...] = (50.0, 51.0, 49.0), depth: int = 0, concurrency: int = 1) -> Point:
    samples = tuple(RunSample(512, 128, 0.5, 127 / speed, 0.51, 0.6 + 127 / speed, "engine", 127) for speed in speeds)
    return Point(
        n_prompt=512,
        n_generate=128,
        depth=depth,
        concurrency=concurrency,
        repetitions=len(speeds),
        prompt_tokens_per_s=spread([1024.0] * len(speeds)),
        generation_tokens_per_s=spread(speeds),
        first_token_s=percentiles([0.51] * len(speeds)),
        inter_token_s=percentiles([1 / speed for speed in speeds]),
        samples=samples,
        energy_j_per_token=2.5,
        energy_from="counter",
        ended_by="spread",
    )


def make_record(label: str = "", group: str = "", points: tuple[Point, ...] = (make_point(),)) -> Record:
    return Record(
        kind="bench",
        engine=EngineInfo("llama-server", "11434", "/opt/llama-server"),
        model=ModelInfo("/m/x.gguf", "X", "llama", "Q4_K_M", 4_000_000_000, "ab" * 32),
        created_at="2026-01-02T03:04:05+00:00",
        label=label,
        group=group,
        url="http://127.0.0.1:8080",
        argv=("llama-server", "-m", "/m/x.gguf"),
        argv_sha256="cd" * 32,
        settings={"gpu_layers": 33, "tensor_split": [3, 2]},
        rig={"name": "r", "devices": [{"id": "CUDA0"}]},
        host=HostInfo("linux", "a CPU", 6, 64_000_000_000),
        driver_version="550.54",
        cards_before=({"device_id": "CUDA0", "power_w": 20.5},),
        predicted=Predicted(48.0, 900.0, "roofline"),
        devices=({"id": "CUDA0", "used_bytes": 5},),
        points=points,
        note="a note",
    )
