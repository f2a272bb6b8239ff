"""Reads ik_llama.cpp's arguments: its own flags by themselves, the rest as llama-server's."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from splitter.engine.ik_llama.command import OUTPUT, OUTPUT_ON_HOST
from splitter.engine.ik_llama.flags import MISSING, OWN_SWITCHES, OWN_VALUES, UNJUDGED
from splitter.engine.ik_llama.rules import OWN_CACHE_TYPES
from splitter.engine.llama_server.read import read_llama
from splitter.engine.reading.value import AUTO, Findings, ReadCommand
from splitter.errors import UsageError
from splitter.masking import masked_argv
from splitter.model.facts import ModelFacts
from splitter.plan.plan import Notice

SPLIT_MODES = {"graph": "layer", "attn": "layer"}
CACHE_FLAGS = {"-ctk": "cache_type_k", "--cache-type-k": "cache_type_k", "-ctv": "cache_type_v",
               "--cache-type-v": "cache_type_v"}  # fmt: skip


def read_ik_llama(program: str, args: Sequence[str], env: Mapping[str, str], version: str | None = None) -> ReadCommand:
    """The command `program args` as ik_llama.cpp reads it. UsageError for a value that cannot be read."""
    findings, own = Findings(), dict[str, Any]()
    settings: dict[str, Any] = {}
    rest = _without_own(list(args), own, settings, findings)
    read = read_llama(program, rest, {name: text for name, text in env.items() if not name.startswith("LLAMA_ARG")})
    refusals = [notice for notice in read.refusals if notice.code not in {"flag_removed", "fit_value"}]
    settings = {**read.settings, **settings}
    if "-rtr" in own or "--run-time-repack" in own:
        settings["mmap"] = False
    findings.refusals += refusals
    findings.notices += read.notices
    return replace(
        read,
        kind="ik-llama",
        argv=masked_argv((program, *args)),
        settings=settings,
        flags={**read.flags, **own},
        version=version,
        notices=tuple(notice for notice in findings.notices if notice.code != "flag_removed"),
        refusals=tuple(findings.refusals),
    )


def _without_own(args: list[str], own: dict[str, Any], settings: dict[str, Any], findings: Findings) -> list[str]:
    """`args` less what only this fork knows, which goes into `own` and `settings`; notes what the figures leave out."""
    rest: list[str] = []
    at = 0
    while at < len(args):
        word, value = args[at], args[at + 1] if at + 1 < len(args) else None
        if word in OWN_VALUES and value is None:
            raise UsageError(f"{word} has no value", f"write {word} VALUE")
        if word in {"-sm", "--split-mode"} and value in {"row", "tensor"}:
            findings.refuse("split_mode", f"ik_llama.cpp has no split mode {value}", "use -sm layer, or -sm graph")
            at += 2
        elif word in {"-sm", "--split-mode"} and value in SPLIT_MODES:
            own["split_mode"] = value
            at += 2
        elif word in CACHE_FLAGS and value in OWN_CACHE_TYPES:
            settings[CACHE_FLAGS[word]] = value
            at += 2
        elif word in {"-no-fa", "--no-flash-attn"}:
            settings["flash_attention"], at = "off", at + 1
        elif word in OWN_SWITCHES:
            own[word], at = True, at + 1
        elif word in OWN_VALUES:
            own[word], at = value, at + 2
        elif word in MISSING:
            findings.refuse("unknown_flag", f"ik_llama.cpp has no flag {word}", MISSING[word])
            at += 1 + (value is not None and not value.startswith("-"))
        else:
            rest.append(word)
            at += 1
    _note_unjudged(own, findings)
    return rest


def _note_unjudged(own: Mapping[str, Any], findings: Findings) -> None:
    mode = own.get("split_mode")
    if mode:
        found = f"-sm {mode} divides every layer among the cards; the figures are those of -sm layer"
        findings.note("split_mode_graph", found, "expect all cards to hold a part of every layer")
    for flag in ("-fmoe", "--fused-moe"):
        if flag in own:
            findings.note("flag_default", f"{flag} is the default of newer builds and unknown to them", "leave it out")
    named = [text for flag, text in UNJUDGED.items() if flag in own]
    if named:
        findings.notices.append(
            Notice("not_modelled", f"the figures leave out: {'; '.join(named)}", "keep a larger --margin")
        )


def fill_ik_llama(read: ReadCommand, given: dict[str, Any], facts: ModelFacts, findings: Findings) -> dict[str, Any]:
    """`given` of `read` with its own values: one slot, flash attention on, one cache for all slots, all layers."""
    out: dict[str, Any] = {
        "batch_size": 2048, "ubatch_size": 512, "gpu_layers": AUTO, "flash_attention": "on", "swa_full": True,
    } | given  # fmt: skip
    out |= {"parallel": max(out.get("parallel", 1), 1), "kv_unified": True}
    if out["flash_attention"] == "auto":
        out["flash_attention"] = "on"
    if out.get("context_size", 0) == 0:
        if not facts.context_train:
            raise UsageError("no -c is given and the model does not say its context", "give -c TOKENS")
        out["context_size"] = facts.context_train
    if 0 <= out["gpu_layers"] <= facts.layers and "--fit" not in read.flags:
        out |= _layers(out)
    if "--fit" in read.flags:
        found = "--fit moves experts or layers to the CPU where they do not fit; the figures are those before it does"
        findings.note("fit_decides", found, "give -ngl, -ts and -ncmoe instead to have exactly one placement")
        out["gpu_layers"] = AUTO
    return out


def _layers(out: Mapping[str, Any]) -> dict[str, Any]:
    """Its -ngl counts repeating layers alone: the output layer stays on the host unless -ot names it."""
    if out["gpu_layers"] == 0:
        return {}
    overrides = tuple(out.get("override_tensors", ()))
    named = [item for item in overrides if item.startswith(f"{OUTPUT}=")]
    others = tuple(item for item in overrides if item not in named)
    return {
        "gpu_layers": out["gpu_layers"] + 1,
        "override_tensors": others if named else (*others, OUTPUT_ON_HOST),
    }
