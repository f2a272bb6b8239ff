"""The values of llama-server's flags -> fields of Settings, read as `common/arg.cpp` of build 11434 reads them."""

import re
from collections.abc import Callable, Mapping
from typing import Any

from splitter.engine.reading.value import Findings
from splitter.errors import UsageError
from splitter.memory.setting_table import CACHE_TYPES

ON = frozenset({"on", "enabled", "true", "1"})
OFF = frozenset({"off", "disabled", "false", "0"})
MAX_SPLIT = 15  # llama_max_devices() is 16 and the list must be shorter
FFN_PATTERN = r"blk\.{}\.ffn_(up|down|gate)\."

Values = dict[str, list[str]]


def llama_settings(values: Values, spelled: Mapping[str, str], findings: Findings) -> dict[str, Any]:
    """Fields of Settings that `values` (by dest) give; `spelled` holds the spelling to name in errors (UsageError)."""
    settings: dict[str, Any] = {}
    for dest, found in values.items():
        if dest in _READERS:
            name, reader = _READERS[dest]
            settings[name] = reader(dest, found[-1], spelled, findings)
    overrides = [item for text in values.get("override_tensor", ()) for item in text.split(",") if item]
    layers = [_count("n_cpu_ffn", text, spelled, findings) for text in values.get("n_cpu_ffn", ())]
    overrides += [FFN_PATTERN.format(layer) + "=CPU" for count in layers for layer in range(min(count, 999))]
    kinds = ",".join(values.get("spec_type", ()))
    settings |= {"spec_type": kinds} if kinds and kinds != "none" else {}
    bad = [item for item in overrides if "=" not in item]
    if bad:
        raise UsageError(f"{bad[0]!r} in -ot is not PATTERN=BUFFER", r"write for example -ot 'blk\.1\.=CPU'")
    return settings | ({"override_tensors": tuple(overrides)} if overrides else {})


Reader = Callable[[str, str, Mapping[str, str], Findings], Any]


def _wrong(dest: str, value: str, spelled: Mapping[str, str], expected: str) -> UsageError:
    name = spelled.get(dest, dest)
    return UsageError(f"{name} takes {expected}, not {value!r}", f"correct the value after {name}")


def integer(dest: str, value: str, spelled: Mapping[str, str], findings: Findings) -> int:
    """C++'s stoi: leading digits count, the rest is silently dropped (`32k` is 32)."""
    match = re.match(r"\s*([+-]?\d{1,9})", value)
    if not match:
        raise _wrong(dest, value, spelled, "a whole number")
    if match.end() != len(value):
        name = spelled.get(dest, dest)
        findings.note(
            "number_cut", f"llama-server reads {value!r} after {name} as {int(match[1])}", "write the whole number"
        )
    return int(match[1])


def _count(dest: str, value: str, spelled: Mapping[str, str], findings: Findings) -> int:
    """A whole number that may not be negative."""
    count = integer(dest, value, spelled, findings)
    if count < 0:
        raise _wrong(dest, value, spelled, "a whole number that is not negative")
    return count


def _slots(dest: str, value: str, spelled: Mapping[str, str], findings: Findings) -> int:
    count = integer(dest, value, spelled, findings)
    if count == 0:
        raise _wrong(dest, value, spelled, "a number of slots, or -1 for auto")
    return count


def _layers(dest: str, value: str, spelled: Mapping[str, str], findings: Findings) -> int:
    words = {"auto": -1, "all": -2}
    if value in words:
        return words[value]
    try:
        return integer(dest, value, spelled, findings)
    except UsageError:
        raise _wrong(dest, value, spelled, "a whole number, auto or all") from None


def _split(dest: str, value: str, spelled: Mapping[str, str], _: Findings) -> tuple[float, ...]:
    """Separated by commas or slashes, in any number (`1,2/3`)."""
    try:
        shares = tuple(float(part) for part in re.split(r"[,/]+", value.rstrip(",/")))
    except ValueError:
        raise _wrong(dest, value, spelled, "numbers separated by commas") from None
    if not all(0 <= share < 1e9 for share in shares):
        raise _wrong(dest, value, spelled, "numbers that are not negative")
    if len(shares) > MAX_SPLIT:
        raise _wrong(dest, value, spelled, f"at most {MAX_SPLIT} numbers")
    return shares


def _devices(_: str, value: str, spelled: Mapping[str, str], findings: Findings) -> tuple[str, ...]:  # noqa: ARG001
    return () if value == "none" else tuple(name for name in value.split(",") if name)


def _switch(dest: str, value: str, spelled: Mapping[str, str], _: Findings) -> bool:
    if value not in ON | OFF:
        raise _wrong(dest, value, spelled, "on or off")
    return value in ON


def _flash(dest: str, value: str, spelled: Mapping[str, str], _: Findings) -> str:
    if value in ON | OFF | {"bare"}:
        return "off" if value in OFF else "on"
    if value in {"auto", "-1"}:
        return "auto"
    raise _wrong(dest, value, spelled, "on, off or auto")


def _one_of(*words: str) -> Reader:
    def read(dest: str, value: str, spelled: Mapping[str, str], _: Findings) -> str:
        if value not in words:
            raise _wrong(dest, value, spelled, "one of " + ", ".join(words))
        return value

    return read


def _split_mode(dest: str, value: str, spelled: Mapping[str, str], findings: Findings) -> str:
    if value == "row":
        findings.refuse(
            "split_mode_row",
            "the split mode row is gone: the engine stops with 'does not support split buffers'",
            "use -sm layer, or -sm tensor where the architecture allows it",
        )
        return "layer"
    return str(_one_of("none", "layer", "tensor")(dest, value, spelled, findings))


def _load_mode(dest: str, value: str, spelled: Mapping[str, str], findings: Findings) -> bool:
    modes = ("auto", "none", "mmap", "mlock", "mmap+mlock", "dio")
    return _one_of(*modes)(dest, value, spelled, findings) in {"auto", "mmap", "mmap+mlock"}


def _text(_: str, value: str, spelled: Mapping[str, str], findings: Findings) -> str:  # noqa: ARG001
    return value


def _offloaded(dest: str, value: str, spelled: Mapping[str, str], findings: Findings) -> str | None:
    """--no-mmproj-offload keeps the projector on the CPU; --mmproj-offload, the default, names no device."""
    return None if _switch(dest, value, spelled, findings) else "none"


_CACHE_TYPE = _one_of(*CACHE_TYPES)
_READERS: Mapping[str, tuple[str, Reader]] = {
    "ctx_size": ("context_size", integer),
    "gpu_layers": ("gpu_layers", _layers),
    "device": ("device_order", _devices),
    "tensor_split": ("tensor_split", _split),
    "split_mode": ("split_mode", _split_mode),
    "main_gpu": ("main_gpu", integer),
    "batch_size": ("batch_size", integer),
    "ubatch_size": ("ubatch_size", integer),
    "cache_type_k": ("cache_type_k", _CACHE_TYPE),
    "cache_type_v": ("cache_type_v", _CACHE_TYPE),
    "flash_attn": ("flash_attention", _flash),
    "parallel": ("parallel", _slots),
    "kv_unified": ("kv_unified", _switch),
    "swa_full": ("swa_full", _switch),
    "kv_offload": ("kv_offload", _switch),
    "op_offload": ("op_offload", _switch),
    "n_cpu_moe": ("n_cpu_moe", _count),
    "cpu_moe": ("cpu_moe", _switch),
    "mmap": ("mmap", _switch),
    "load_mode": ("mmap", _load_mode),
    "threads": ("threads", integer),
    "mmproj": ("mmproj", _text),
    "draft_model": ("draft_model", _text),
    "draft_gpu_layers": ("draft_gpu_layers", _layers),
    "draft_device": ("draft_device_order", _devices),
    "spec_draft_n_max": ("spec_draft_n_max", _count),
    "draft_cache_type_k": ("draft_cache_type_k", _CACHE_TYPE),
    "draft_cache_type_v": ("draft_cache_type_v", _CACHE_TYPE),
    "cache_ram": ("cache_ram_mib", integer),
    "ctx_checkpoints": ("ctx_checkpoints", integer),
    "mmproj_device": ("mmproj_device", _text),
    "mmproj_offload": ("mmproj_device", _offloaded),
}
