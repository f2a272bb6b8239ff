"""Traps of ik_llama.cpp."""

from collections.abc import Iterator

from splitter.engine.ik_llama.graph_cut import divides
from splitter.engine.reading.case import Case, Trap
from splitter.plan.plan import Notice


def graph_needs_two(case: Case) -> Iterator[Notice]:
    """-sm graph with one device ends in an exception."""
    if case.read.flags.get("split_mode") and len(case.devices) < 2 and not _falls_back(case):
        found = "ik_llama.cpp stops: -sm graph needs at least two devices"
        yield Notice("graph_one_device", found, "leave -sm out, or show it another card")


def _falls_back(case: Case) -> bool:
    return case.plan is not None and not divides(case.plan.facts)


def graph_falls_back(case: Case) -> Iterator[Notice]:
    """An architecture that is not on its list is split by layers, silently."""
    mode = case.read.flags.get("split_mode")
    if mode and _falls_back(case) and case.plan:
        found = f"-sm {mode} does nothing for {case.plan.facts.architecture}: ik_llama.cpp falls back to -sm layer"
        yield Notice("graph_falls_back", found, "write -sm layer")


def fit_refuses(case: Case) -> Iterator[Notice]:
    """--fit and overrides exclude each other."""
    given = [flag for flag, name in (("-ot", "override_tensors"), ("-ncmoe", "n_cpu_moe"), ("-cmoe", "cpu_moe"))
             if case.given(name)]  # fmt: skip
    if "--fit" in case.read.flags and given:
        found = f"ik_llama.cpp stops: {given[0]} cannot be used with --fit"
        yield Notice("fit_refuses", found, "leave one of them out")


def quantised_v_without_flash(case: Case) -> Iterator[Notice]:
    """A quantised V cache needs flash attention."""
    kind = case.settings.cache_type_v
    if kind not in {"f32", "f16", "bf16"} and case.settings.flash_attention == "off":
        found = f"ik_llama.cpp refuses to start: -ctv {kind} needs flash attention"
        yield Notice("quantised_v_without_flash", found, "leave out -no-fa, or write -ctv f16")


def slots_divide(case: Case) -> Iterator[Notice]:
    """The server gives each slot its part of -c, although they share one cache."""
    count, size = case.settings.parallel, case.settings.context_size
    if count > 1:
        found = f"-c {size} is divided by -np {count}: each request gets {size // count} tokens"
        yield Notice("context_divided", found, "raise -c")


IK_LLAMA_TRAPS: tuple[Trap, ...] = (
    graph_needs_two, graph_falls_back, fit_refuses, quantised_v_without_flash, slots_divide,
)  # fmt: skip
