"""Tensor overrides: -ot, -cmoe and -ncmoe as an ordered list of patterns (common/arg.cpp, llama.cpp build 11434)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from splitter.errors import UsageError
from splitter.memory.settings import Settings

EXPERTS = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
HOST_BUFFER = "CPU"


@dataclass(frozen=True, slots=True)
class Override:
    """Tensors whose name contains a match of `pattern` live on `device` (index in device_order), None for the host."""

    pattern: re.Pattern[str]
    device: int | None


def read_overrides(settings: Settings) -> tuple[Override, ...]:
    """The overrides in the order of precedence: -cmoe, -ncmoe, then the -ot items as given.

    llama.cpp takes the first that matches in the order of the command line; ours has them in this order.
    Raises UsageError for an item that is not PATTERN=BUFFER, an unknown buffer or a pattern that is no regex.
    """
    items = [Override(re.compile(EXPERTS), None)] if settings.cpu_moe else []
    if settings.n_cpu_moe:
        layers = "|".join(map(str, range(settings.n_cpu_moe)))
        items.append(Override(re.compile(rf"blk\.({layers}){EXPERTS}"), None))
    given = [item for text in settings.override_tensors for item in text.split(",")]
    return (*items, *(_read_item(item, settings.device_order) for item in given))


def _read_item(item: str, devices: Sequence[str]) -> Override:
    pattern, equals, buffer = item.partition("=")
    if not equals:
        raise UsageError(f"-ot '{item}' is not PATTERN=BUFFER", "for example -ot 'ffn_.*_exps=CPU'")
    if buffer != HOST_BUFFER and buffer not in devices:
        raise UsageError(
            f"-ot '{item}' names an unknown buffer '{buffer}'", f"use one of {', '.join((*devices, HOST_BUFFER))}"
        )
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise UsageError(f"-ot '{item}' is not a regular expression: {error}", "check brackets and escapes") from error
    return Override(compiled, devices.index(buffer) if buffer != HOST_BUFFER else None)


def find_override(overrides: Sequence[Override], name: str) -> Override | None:
    """The first override that matches anywhere in the tensor's name, as std::regex_search does."""
    for override in overrides:
        if override.pattern.search(name):
            return override
    return None
