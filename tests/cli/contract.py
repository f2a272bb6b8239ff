"""The JSON of design.md 3 as a shape: every key, its type, and whether it may be null."""

from typing import Any

NUMBER = (int, float)

MODEL = {
    "path": str,
    "name": str,
    "architecture": str,
    "quantization": (str, None),
    "file_bytes": int,
    "layers": int,
    "context_train": (int, None),
    "parameters": int,
}
SETTINGS = {
    "gpu_layers": int,
    "tensor_split": [NUMBER],
    "context_size": int,
    "batch_size": int,
    "ubatch_size": int,
    "cache_type_k": str,
    "cache_type_v": str,
    "flash_attention": str,
    "parallel": int,
    "split_mode": str,
    "main_gpu": int,
    "n_cpu_moe": int,
    "override_tensors": [str],
    "device_order": [str],
}
DEVICE = {
    "id": str,
    "name": str,
    "total_bytes": int,
    "free_bytes": int,
    "bandwidth_bytes_per_s": (int, None),
    "layers": [int],
    "holds_output": bool,
    "model_bytes": int,
    "context_bytes": int,
    "compute_bytes": int,
    "overhead_bytes": int,
    "margin_bytes": int,
    "used_bytes": int,
    "headroom_bytes": int,
    "node": (str, None),
}
HOST = {"model_bytes": int, "context_bytes": int, "compute_bytes": int, "ram_free_bytes": (int, None)}
SPEED = {
    "generation_tokens_per_s": (*NUMBER, None),
    "prompt_tokens_per_s": (*NUMBER, None),
    "basis": {"typical", "calibrated", "measured"},
    "bound": ({"generation_tokens_per_s": (*NUMBER, None), "prompt_tokens_per_s": (*NUMBER, None)}, None),
    "turn": (
        {"prompt_tokens": int, "generated_tokens": int, "depth_tokens": int, "seconds": (*NUMBER, None)},
        None,
    ),
}
PLACED = {"settings": SETTINGS, "devices": [DEVICE], "host": HOST, "speed": SPEED}
PLAN = {
    "model": MODEL,
    "engine": {"kind": str, "version": (str, None), "path": (str, None)},
    **PLACED,
    "verified": ({"by": str, "engine_version": str, "max_difference_bytes": int}, None),
    "command": ({"argv": [str], "env": dict, "line": str}, None),
    "reasons": [str],
    "warnings": [{"code": str, "message": str, "hint": str}],
    "alternatives": [{**PLACED, "title": str, "flags": [str]}],
}
ENVELOPE = {"version": int, "command": str, "status": {"ok", "does_not_fit", "error"}, "errors": [
    {"code": str, "message": str, "hint": str}]}  # fmt: skip


def mistakes(value: Any, shape: Any, path: str = "$") -> list[str]:
    """Where `value` departs from `shape`; keys beyond the shape are allowed, bool is no int."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{path} is not an object"]
        missing = [f"{path}.{key} is missing" for key in shape if key not in value]
        return missing + [m for k, s in shape.items() if k in value for m in mistakes(value[k], s, f"{path}.{k}")]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{path} is not a list"]
        return [m for i, item in enumerate(value) for m in mistakes(item, shape[0], f"{path}[{i}]")]
    if isinstance(shape, set):
        return [] if value in shape else [f"{path} is {value!r}"]
    if isinstance(shape, tuple):
        if value is None:
            return [] if None in shape else [f"{path} is null"]
        tried = [mistakes(value, option, path) for option in shape if option is not None]
        return min(tried, key=len)
    good = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    return [] if good else [f"{path} is {value!r}, not {shape.__name__}"]
