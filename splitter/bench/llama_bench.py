"""llama-bench, llama.cpp's own benchmark: a plan as its flags, and its JSON as points. Pure.

Facts: tools/llama-bench of b11434. A comma separates values to measure, so the devices' shares are separated by `/`. It
has no -c: the context is as large as a test needs. A test reads a prompt or generates, never both.
"""

from collections.abc import Sequence
from typing import Any

from splitter.bench.points import Shape
from splitter.bench.records.record import Point
from splitter.bench.result import RunSample
from splitter.bench.stats import spread
from splitter.bench.stopping import half_width
from splitter.engine.flags import split_of
from splitter.errors import EngineError, UsageError
from splitter.plan.plan import Plan


def llama_bench_args(plan: Plan, shapes: Sequence[Shape], repetitions: int) -> tuple[str, ...]:
    """The flags that measure `plan` at `shapes`. UsageError for what llama-bench cannot do."""
    if any(shape.concurrency > 1 for shape in shapes):
        raise UsageError("llama-bench sends one request at a time", "leave out --concurrency or --llama-bench")
    if plan.settings.cpu_moe:
        raise UsageError("llama-bench has no -cmoe", "plan with -ncmoe, or measure without --llama-bench")
    depths = ",".join(dict.fromkeys(str(shape.depth) for shape in shapes))
    asked = ("-p", str(shapes[0].n_prompt), "-n", str(shapes[0].n_generate), "-d", depths)
    return ("-m", plan.facts.path, *placed(plan), *tuned(plan), *asked, "-r", str(repetitions), "-o", "json")


def placed(plan: Plan) -> tuple[str, ...]:
    """Where the layers go."""
    settings, order = plan.settings, plan.settings.device_order
    words = ["-dev", "/".join(order) or "none", "-ngl", str(settings.gpu_layers if order else 0)]
    if len(order) > 1:
        words += ["-sm", settings.split_mode]
        words += ["-mg", str(settings.main_gpu)] if settings.split_mode == "none" else []
        words += ["-ts", "/".join(split_of(plan))] if settings.split_mode != "none" else []
    words += ["-ncmoe", str(settings.n_cpu_moe)] if settings.n_cpu_moe else []
    words += ["-ot", ";".join(settings.override_tensors)] if settings.override_tensors else []
    return tuple(words)


def tuned(plan: Plan) -> tuple[str, ...]:
    """Batches, cache, attention, threads."""
    settings = plan.settings
    words = ["-b", str(settings.batch_size), "-ub", str(settings.ubatch_size), "-fa", settings.flash_attention]
    words += ["-ctk", settings.cache_type_k, "-ctv", settings.cache_type_v]
    words += [] if settings.kv_offload else ["-nkvo", "1"]
    words += [] if settings.op_offload else ["-nopo", "1"]
    words += [] if settings.mmap else ["-lm", "none"]
    words += [] if settings.threads is None else ["-t", str(settings.threads)]
    return tuple(words)


def llama_bench_points(rows: Any, shapes: Sequence[Shape]) -> tuple[Point, ...]:
    """The points in llama-bench's JSON. EngineError when it is not what llama-bench writes."""
    try:
        return tuple(_point(rows, shape) for shape in shapes)
    except (KeyError, TypeError, IndexError, AttributeError, ValueError, ZeroDivisionError):
        raise EngineError("llama-bench wrote something else than its JSON", "measure without --llama-bench") from None


def _point(rows: Any, shape: Shape) -> Point:
    at = [row for row in rows if row.get("n_depth", 0) == shape.depth]
    prompt = [row for row in at if row["n_prompt"] and not row["n_gen"]][0]["samples_ts"]  # noqa: RUF015
    generation = [row for row in at if row["n_gen"] and not row["n_prompt"]][0]["samples_ts"]  # noqa: RUF015
    pairs = zip(prompt, generation, strict=True)
    return Point(
        n_prompt=shape.n_prompt,
        n_generate=shape.n_generate,
        depth=shape.depth,
        repetitions=len(generation),
        prompt_tokens_per_s=spread(prompt),
        generation_tokens_per_s=spread(generation),
        samples=tuple(_sample(shape, *pair) for pair in pairs),
        ended_by="repetitions",
        half_width=half_width(generation),
        depth_cached=True if shape.depth else None,
    )


def _sample(shape: Shape, prompt_per_s: float, generation_per_s: float) -> RunSample:
    """Every generated token is timed: none comes from a prompt."""
    prompt_s, generation_s = shape.n_prompt / prompt_per_s, shape.n_generate / generation_per_s
    first_s = prompt_s + 1 / generation_per_s
    counts = (shape.n_prompt, shape.n_generate)
    return RunSample(*counts, prompt_s, generation_s, first_s, prompt_s + generation_s, "engine", shape.n_generate)
