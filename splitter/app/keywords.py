"""Python's keyword arguments to what is asked for: the profile's own keys by their short names, and a few aliases."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypedDict

from splitter.app.wishes import Wishes
from splitter.errors import ProfileError, UsageError
from splitter.profile.keys import BY_PATH, SYNONYMS, nearest
from splitter.profile.schema import check_value

Text = str | Path
SHORT_SECTIONS = ("settings", "server", "supervision")  # their keys need no section: context_size, port, max_restarts
ALIASES: Mapping[str, str] = {
    "engine": "engine.kind",
    "rig": "rig.name",
    "gpus": "rig.gpus",
    "backend": "rig.backend",
    "nodes": "rig.nodes",
    "margin": "margin_mib",
    "context": "settings.context_size",
}
EVERY_LAYER = 999  # of any model: what `all` means until the model is read


class Keywords(TypedDict, total=False):
    """The keyword arguments that `plan`, `check`, `rank`, `launch` and `bench` share: the profile's keys."""

    goal: Literal["speed", "context", "balanced"]
    workload: str
    margin: float | Sequence[float]
    margin_mib: float | Sequence[float]
    rig: Text
    rig_name: str
    rig_file: Text
    rig_gpus: str | Sequence[str]
    rig_backend: str
    rig_nodes: str | Sequence[str]
    nodes: str | Sequence[str]
    gpus: str | Sequence[str]
    backend: str
    engine: str
    engine_kind: str
    engine_path: Text
    engine_version: str
    context: int | Literal["max"]
    context_size: int | Literal["max"]
    gpu_layers: int | Literal["all"]
    tensor_split: Sequence[float]
    device_order: Sequence[str]
    split_mode: str
    main_gpu: int
    batch_size: int
    ubatch_size: int
    cache_type_k: str
    cache_type_v: str
    flash_attention: Literal["on", "off", "auto"]
    parallel: int
    kv_unified: bool
    n_cpu_moe: int
    cpu_moe: bool
    override_tensors: Sequence[str]
    swa_full: bool
    kv_offload: bool
    op_offload: bool
    mmap: bool
    threads: int
    mmproj: Text
    mmproj_device: str
    draft_model: Text
    draft_device_order: Sequence[str]
    draft_gpu_layers: int
    draft_cache_type_k: str
    draft_cache_type_v: str
    spec_type: str
    spec_draft_n_max: int
    cache_ram_mib: int
    ctx_checkpoints: int
    host: str
    port: int
    api_key_file: Text
    web_ui: bool
    cors_origins: str
    restart: Literal["never", "on-failure", "always"]
    max_restarts: int
    backoff_s: float
    backoff_max_s: float
    ready_timeout_s: float
    stop_timeout_s: float
    terminate_after_s: float
    kill_timeout_s: float
    health_interval_s: float
    health_failures: int
    restart_degraded_s: float
    healthy_after_s: float
    oom_replans: int
    log_max_mib: float
    log_files: int


def wishes_of(model: Text | None, profile: Text | None, keywords: Mapping[str, Any]) -> Wishes:
    """What `keywords` ask for; None says nothing. UsageError names the nearest keyword for one that is unknown."""
    given = {"model": model, **keywords}
    values = {
        path: _plain(path, value)
        for name, value in given.items()
        if value is not None
        for path in (path_of(name, value),)
    }
    return Wishes(values, None if profile is None else str(profile))


def checked_wishes(model: Text | None, profile: Text | None, keywords: Mapping[str, Any]) -> Wishes:
    """`wishes_of`, each value looked at. ProfileError in the words of somebody who wrote `name=value`."""
    wishes = wishes_of(model, profile, keywords)
    for name, value in keywords.items():
        if value is not None:
            path = path_of(name, value)
            _check(name, path, wishes.values[path])
    return wishes


def _check(name: str, path: str, value: Any) -> None:
    try:
        check_value(path, value, name)
    except ProfileError as error:
        key = path.rpartition(".")[2]
        said = name if name == key else f"{name} ({key})"
        raise ProfileError(error.message.replace(f"{name}: {path}", said, 1), error.hint) from None


def path_of(name: str, value: Any) -> str:
    """The profile's key of a keyword. UsageError names the nearest for one that is unknown."""
    if name == "rig" and Path(value).expanduser().is_file():
        return "rig.file"
    sections = (name, ALIASES.get(name, ""), name.replace("_", ".", 1), *(f"{part}.{name}" for part in SHORT_SECTIONS))
    found = next((path for path in sections if path in BY_PATH), None) or SYNONYMS.get(name)
    if found is None:
        best = nearest(name, "settings")
        hint = f"did you mean {best.rpartition('.')[2]}?" if best else "see docs/python.md for the names"
        raise UsageError(f"there is no keyword {name!r}", hint)
    return found


def _plain(path: str, value: Any) -> Any:
    """A value as a profile has it."""
    if path == "settings.gpu_layers" and value == "all":
        return EVERY_LAYER
    if isinstance(value, Path):
        return str(value)
    if BY_PATH[path].kind == "texts" and isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return tuple(value) if isinstance(value, Iterable) and not isinstance(value, str | bytes) else value
