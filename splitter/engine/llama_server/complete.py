"""What llama-server fills in where a command says nothing, by build.

`common/arg.cpp`, `tools/server/server.cpp` and `common/fit.cpp` of build 11434.
"""

import re
from typing import Any

from splitter.engine.llama_server.values import OFF
from splitter.engine.llama_server.versions import (
    AUTO_SLOTS,
    AUTO_SLOTS_BUILD,
    FIT_BUILD,
    FIXED_CONTEXT,
    FIXED_CONTEXT_BUILD,
    FLASH_ATTENTION_VALUE_BUILD,
    KV_UNIFIED_BUILD,
    llama_build,
)
from splitter.engine.reading.value import AUTO, Findings, ReadCommand
from splitter.engine.reading.wrappers import program_name
from splitter.errors import UsageError
from splitter.model.facts import ModelFacts


def fill_llama(
    read: ReadCommand, given: dict[str, Any], facts: ModelFacts, version: str | None, findings: Findings
) -> dict[str, Any]:
    """`given` of `read` with llama-server's own values; notes what it decides at start."""
    build = llama_build(version)
    out: dict[str, Any] = {"batch_size": 2048, "ubatch_size": 512, "gpu_layers": AUTO} | _before(build) | given
    if out["ubatch_size"] == 0:
        out["ubatch_size"] = out["batch_size"]
    _llama_slots(read, out, build)
    if FIXED_CONTEXT_BUILD <= build < FIT_BUILD:
        out.setdefault("context_size", FIXED_CONTEXT)
    _llama_context(read, out, facts)
    if fit_decides(read) and out["device_order"] and build >= FIT_BUILD:
        lowers = "layers" if "context_size" in read.settings else "the context, then layers"
        findings.note(
            "fit_decides",
            f"--fit is on and no -ngl is given: where all layers do not fit, llama-server lowers {lowers} by itself; "
            "the figures are those before it does",
            "give -ngl, -ts, -c and --fit off to have exactly one placement",
        )
    return out


def _before(build: int) -> dict[str, Any]:
    """What builds before all layers went to GPUs, with flash attention, did where nothing was said."""
    return {} if build >= FLASH_ATTENTION_VALUE_BUILD else {"gpu_layers": 0, "flash_attention": "off"}


def _llama_slots(read: ReadCommand, out: dict[str, Any], build: int) -> None:
    """Without -np: 4 slots over one cache in llama-server, one sequence in the other programs."""
    count = out.get("parallel", AUTO)
    if re.search(r"cli|completion|fit-params", program_name(read.program)):
        out["parallel"] = max(count, 1)
        out.setdefault("kv_unified", True)
    elif count < 0:
        out |= {"parallel": AUTO_SLOTS if build >= AUTO_SLOTS_BUILD else 1, "kv_unified": True}
    else:
        out.setdefault("kv_unified", build < KV_UNIFIED_BUILD or count == 1)  # one slot shares with nobody


def _llama_context(read: ReadCommand, out: dict[str, Any], facts: ModelFacts) -> None:
    if out.get("context_size", 0) != 0:
        return
    per_slot = str(read.flags.get("kv_unified_per_slot", ""))
    if per_slot.isdigit() and "context_size" not in read.settings and int(per_slot[:9]):
        out["context_size"] = int(per_slot[:9]) * out["parallel"]
    elif facts.context_train:
        out["context_size"] = facts.context_train
    else:
        raise UsageError("no -c is given and the model does not say its context", "give -c TOKENS")


def fit_is_off(read: ReadCommand) -> bool:
    """Whether the command turns llama.cpp's own fit off, which is on by default."""
    return str(read.flags.get("fit", "on")) in OFF


def fit_decides(read: ReadCommand) -> bool:
    """Whether llama.cpp's own fit may still change the placement (it gives up when any of these is given)."""
    decided = {"tensor_split", "override_tensors", "n_cpu_moe", "cpu_moe"} & set(read.settings)
    return not fit_is_off(read) and read.settings.get("gpu_layers", AUTO) == AUTO and not decided
