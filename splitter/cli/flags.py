"""Flag values to the settings they fix. A value that cannot be meant is refused with its flag's name."""

from pathlib import Path
from typing import Any

from splitter.app.planning import Wishes
from splitter.cli.options import EngineOptions, FlagOptions, GoalOptions, MarginOptions, RigOptions, ServerOptions
from splitter.errors import UsageError

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")
NO_GOAL, NO_FLAGS, NO_SERVER = GoalOptions(), FlagOptions(), ServerOptions()


def wishes_of(
    model: str | None,
    devices: RigOptions,
    engine: EngineOptions,
    margin: MarginOptions,
    goal: GoalOptions = NO_GOAL,
    flags: FlagOptions = NO_FLAGS,
    server: ServerOptions = NO_SERVER,
) -> Wishes:
    """What the command line asks for, by the profile's dotted keys."""
    given: dict[str, Any] = {
        "model": model or None,
        **rig_values(devices.rig),
        "rig.gpus": tuple(devices.gpus.split(",")) if devices.gpus else None,
        "rig.backend": devices.backend,
        "engine.kind": engine.engine,
        "engine.path": engine.engine_path,
        "engine.version": engine.engine_version,
        "goal": goal.goal,
        "margin_mib": numbers("--margin", margin.margin),
        "server.host": server.host,
        "server.port": server.port,
        "server.api_key_file": server.api_key_file,
        "settings.context_size": "max" if flags.ctx_size == "max" else None,
    }
    settings = {f"settings.{name}": value for name, value in fixed_settings(flags).items()}
    return Wishes({key: value for key, value in given.items() if value is not None} | settings, goal.profile)


def rig_values(named: str | None) -> dict[str, str]:
    """--rig by its profile key: a file, or else the name of a rig."""
    if not named:
        return {}
    return {"rig.file" if Path(named).expanduser().is_file() else "rig.name": named}


def fixed_settings(flags: FlagOptions) -> dict[str, Any]:
    """The fields of `memory.settings.Settings` that the user gave; `-c max` is not among them."""
    values: dict[str, Any] = {
        "context_size": context_size(flags.ctx_size),
        "gpu_layers": gpu_layers(flags.gpu_layers),
        "tensor_split": numbers("-ts", flags.tensor_split),
        "device_order": names(flags.device),
        "split_mode": flags.split_mode,
        "main_gpu": flags.main_gpu,
        "batch_size": flags.batch_size,
        "ubatch_size": flags.ubatch_size,
        "cache_type_k": cache_type("-ctk", flags.cache_type_k),
        "cache_type_v": cache_type("-ctv", flags.cache_type_v),
        "flash_attention": flags.flash_attn,
        "parallel": flags.parallel,
        "n_cpu_moe": flags.n_cpu_moe,
        "cpu_moe": flags.cpu_moe or None,
        "override_tensors": override_tensors(flags.override_tensor),
        "swa_full": flags.swa_full or None,
        "kv_offload": False if flags.no_kv_offload else None,
        "mmap": False if flags.no_mmap else None,
        "threads": flags.threads,
        "mmproj": flags.mmproj,
        "mmproj_device": flags.mmproj_device,
        "draft_model": flags.model_draft,
        "draft_device_order": names(flags.device_draft),
        "draft_gpu_layers": flags.gpu_layers_draft,
    }
    return {name: value for name, value in values.items() if value is not None}


def context_size(text: str | None) -> int | None:
    """Tokens; None for `max` and for silence."""
    if text is None or text == "max":
        return None
    tokens = integer("-c", text)
    if tokens <= 0:
        raise UsageError(f"-c takes a number of tokens above 0, or max, not {text}", "give for example -c 8192")
    return tokens


def gpu_layers(text: str | None) -> int | None:
    """Layers, output included; `all` is every layer, whatever the model has."""
    if text is None:
        return None
    if text == "all":
        return 999
    count = integer("-ngl", text)
    if count < 0:
        raise UsageError(
            f"-ngl takes a number of layers from 0 on, or all, not {text}", "leave -ngl out to have it solved"
        )
    return count


def integer(flag: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(
            f"{flag} takes a whole number, not {text!r}", f"see `splitter plan --help` for {flag}"
        ) from None


def numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    """Shares separated by `,` or `/`, each from 0 on."""
    if text is None:
        return None
    try:
        shares = tuple(float(part) for part in text.replace("/", ",").split(","))
    except ValueError:
        raise UsageError(
            f"{flag} takes numbers separated by commas, not {text!r}", f"for example {flag} 3,6,4"
        ) from None
    if any(not 0 <= share < float("inf") for share in shares):
        raise UsageError(f"{flag} takes shares from 0 on, not {text!r}", f"for example {flag} 3,6,4")
    return shares


def names(text: str | None) -> tuple[str, ...] | None:
    if text is None:
        return None
    return tuple(part.strip() for part in text.split(",") if part.strip())


def cache_type(flag: str, text: str | None) -> str | None:
    if text is not None and text not in CACHE_TYPES:
        raise UsageError(f"{flag} does not know the type {text!r}", f"it takes one of {', '.join(CACHE_TYPES)}")
    return text


def override_tensors(given: list[str] | None) -> tuple[str, ...] | None:
    """The items `PATTERN=BUFFER` of every -ot, in order."""
    if not given:
        return None
    items = tuple(item for text in given for item in text.split(",") if item)
    for item in items:
        if not all(item.partition("=")):
            raise UsageError(f"-ot takes PATTERN=BUFFER, not {item!r}", r"for example -ot 'blk\.3\.ffn_.*_exps=CPU'")
    return items
