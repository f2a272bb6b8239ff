"""Reads ik_llama.cpp's arguments: its own flags by themselves, the rest as llama-server's."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from splitter.engine.ik_llama.command import OUTPUT, OUTPUT_ON_HOST
from splitter.engine.ik_llama.flags import MISSING, OWN_SWITCHES, OWN_VALUES, UNJUDGED
from splitter.engine.ik_llama.graph_cut import divides
from splitter.engine.ik_llama.latent import Latent
from splitter.engine.ik_llama.placement import ByBytes, experts_in_ram
from splitter.engine.ik_llama.rules import OWN_CACHE_TYPES
from splitter.engine.llama_server.read import read_llama
from splitter.engine.reading.value import AUTO, Findings, ReadCommand
from splitter.errors import UsageError
from splitter.masking import masked_argv
from splitter.memory.patterns import EXPERTS
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts

# Refusals of llama-server that are none here: a bare -fa and other flags come and go from build to build of the fork.
NOT_ITS = frozenset({"flag_removed", "fit_value", "flash_attention_value", "unknown_flag"})
SPLIT_MODES = {"graph": "tensor", "attn": "layer"}
CACHE_FLAGS = {"-ctk": "cache_type_k", "--cache-type-k": "cache_type_k", "-ctv": "cache_type_v",
               "--cache-type-v": "cache_type_v"}  # fmt: skip


def read_ik_llama(program: str, args: Sequence[str], env: Mapping[str, str], version: str | None = None) -> ReadCommand:
    """The command `program args` as ik_llama.cpp reads it. UsageError for a value that cannot be read."""
    findings, own = Findings(), dict[str, Any]()
    settings: dict[str, Any] = {}
    rest = _without_own(list(args), own, settings, findings)
    read = read_llama(program, rest, {name: text for name, text in env.items() if not name.startswith("LLAMA_ARG")})
    refusals = [notice for notice in read.refusals if notice.code not in NOT_ITS]
    _note_own(own, read.unknown, findings)
    settings = {**read.settings, **settings}
    if "-rtr" in own or "--run-time-repack" in own:
        settings["mmap"] = False
    findings.refusals += refusals
    findings.notices += read.notices
    return replace(
        read,
        kind="ik-llama",
        fork="ik_llama.cpp",
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
            own["split_mode"], settings["split_mode"] = value, SPLIT_MODES[value]
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
    return rest


def _note_own(own: Mapping[str, Any], unknown: Sequence[str], findings: Findings) -> None:
    """What only this fork knows, by name, and what of it the figures leave out; `unknown` may be of another build."""
    mode = own.get("split_mode")
    spelled = [flag if value is True else f"{flag} {value}" for flag, value in own.items() if flag != "split_mode"]
    spelled = [f"-sm {mode}"] * bool(mode) + spelled
    left_out = [text for flag, text in UNJUDGED.items() if flag in own]
    if mode == "attn":
        left_out.insert(0, "-sm attn divides the attention among the cards (counted here as -sm layer)")
    said = f" with {', '.join(spelled)} of its own" if spelled else ""
    left_out += [f"{word}, which the build that splitter knows does not have" for word in unknown]
    doubt = f"; the figures leave out: {'; '.join(left_out)}" if left_out else ""
    findings.note("fork", f"this line is for ik_llama.cpp{said}{doubt}", "keep a larger --margin" if doubt else "")
    for flag in ("-fmoe", "--fused-moe"):
        if flag in own:
            findings.note("flag_default", f"newer builds have no {flag}: it is their default", "leave it out")


def fill_ik_llama(read: ReadCommand, given: dict[str, Any], facts: ModelFacts, findings: Findings) -> dict[str, Any]:
    """`given` of `read` with its own values: one slot, flash attention on, one cache for all slots, all layers."""
    out: dict[str, Any] = {
        "batch_size": 2048, "ubatch_size": 512, "gpu_layers": AUTO, "flash_attention": "on", "swa_full": True,
    } | given  # fmt: skip
    if out.get("split_mode") == "tensor" and not divides(facts):
        out["split_mode"] = "layer"
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


def latent_of(read: ReadCommand) -> Latent:
    """What a command says of -mla and -amb. UsageError for what is no number."""
    plain = Latent()
    mla = _number(read, ("-mla", "--mla-use"), plain.mla)
    return Latent(mla, _number(read, ("-amb", "--attention-max-batch"), plain.batch_mib))


def _number(read: ReadCommand, names: Sequence[str], otherwise: int) -> int:
    text = next((str(read.flags[name]) for name in names if name in read.flags), str(otherwise))
    if not re.fullmatch(r"\d{1,9}", text):
        raise UsageError(f"{names[0]} takes a number, not {text[:40]!r}", f"correct the value after {names[0]}")
    return int(text)


def settled(settings: Settings, facts: ModelFacts, free_bytes: Sequence[int]) -> Settings:
    """-ncmoe on several cards by the layers that it means: of each card's the last, unless -sm graph divides them or
    it takes all."""
    devices, layers = len(settings.device_order), placed_layers(facts)
    if devices < 2 or settings.split_mode != "layer" or not 0 < settings.n_cpu_moe < layers:
        return settings
    owners = ByBytes().place(facts, settings, free_bytes).layers[:-1]
    moved = "|".join(map(str, experts_in_ram(owners, settings.n_cpu_moe, devices)))
    overrides = (*settings.override_tensors, rf"blk\.({moved}){EXPERTS}=CPU")
    return replace(settings, n_cpu_moe=0, override_tensors=overrides)


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
