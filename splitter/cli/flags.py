"""Flag values to the settings they fix. A value that cannot be meant is refused with its flag's name."""

from typing import Any

from splitter.cli.options import FlagOptions
from splitter.errors import UsageError
from splitter.units import from_mib

CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q4_0", "q4_1", "iq4_nl", "q5_0", "q5_1")


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


def margins_mib(text: str | None) -> tuple[float, ...] | None:
    """MiB kept free per device, from `MIB[,MIB...]`; None when silent."""
    return numbers("--margin", text)


def margins(text: str | None) -> tuple[int, ...]:
    """The same in bytes; () when silent."""
    return tuple(from_mib(mib) for mib in margins_mib(text) or ())
