"""Traps of llama-server: a fit that gives up, cache types that need flash attention, slots that share a context."""

from collections.abc import Iterator

from splitter.engine.llama_server.complete import fit_is_off
from splitter.engine.llama_server.uncounted import uncounted
from splitter.engine.llama_server.versions import FIT_BUILD, SPEC_TYPE_BUILD
from splitter.engine.reading.case import Case, Trap
from splitter.memory.speculation import MTP, kinds, uses_mtp
from splitter.model.hparams import has_mtp
from splitter.plan.placement import in_ram
from splitter.plan.plan import Notice

NOT_MODELLED = ("draft-eagle3", "draft-dflash", "draft-dspark")


def fit_gives_up(case: Case) -> Iterator[Notice]:
    """--fit is on by default, and gives up where a split or an override is given (common/fit.cpp)."""
    blocking = [
        flag
        for flag, name in (("-ts", "tensor_split"), ("-ot", "override_tensors"), ("-sm tensor", "split_mode"))
        if case.given(name) and (name != "split_mode" or case.settings.split_mode == "tensor")
    ]
    if fit_is_off(case.read) or not blocking or case.build < FIT_BUILD:
        return
    rest = "" if case.read.settings.get("context_size") else "; it may still lower the context, because -c is missing"
    yield Notice(
        "fit_gives_up",
        f"--fit is on, but gives up because {blocking[0]} is given: nothing keeps a card from being overfilled{rest}",
        "add --fit off and an explicit -c, after checking the figures here",
    )


def quantised_v_without_flash(case: Case) -> Iterator[Notice]:
    """llama.cpp creates no context for a quantised V cache without flash attention."""
    kind = case.settings.cache_type_v
    if kind not in {"f32", "f16", "bf16"} and case.settings.flash_attention == "off":
        yield Notice(
            "quantised_v_without_flash",
            f"llama-server refuses to start: -ctv {kind} needs flash attention, and -fa is off",
            "write -fa on, or -ctv f16",
        )


def tensor_needs(case: Case) -> Iterator[Notice]:
    """-sm tensor works with flash attention only."""
    if case.settings.split_mode == "tensor" and case.settings.flash_attention == "off":
        yield Notice("tensor_without_flash", "llama-server refuses -sm tensor with -fa off", "write -fa on")


def _needed(case: Case) -> bool:
    """Whether what the overrides keep in RAM would not fit the devices: then they cost no pipeline."""
    if case.plan is None or not case.plan.fits() or not in_ram(case.settings, case.plan.placement):
        return False
    return case.plan.footprint.host.model_bytes > sum(max(d.headroom_bytes(), 0) for d in case.plan.devices)


def override_stops_pipeline(case: Case) -> Iterator[Notice]:
    """Any override keeps llama.cpp from working on several batches at once; prompts suffer, generation does not."""
    settings = case.settings
    overrides = settings.override_tensors or settings.n_cpu_moe or settings.cpu_moe
    would_run = len(case.devices) > 1 and settings.split_mode == "layer" and settings.kv_offload
    everything = case.plan is not None and settings.gpu_layers > case.plan.facts.layers
    if overrides and would_run and everything and not _needed(case):
        flag = "-ot" if settings.override_tensors else "-ncmoe" if settings.n_cpu_moe else "-cmoe"
        yield Notice(
            "override_stops_pipeline",
            f"{flag} turns pipeline parallelism off: long prompts are read more slowly (and less memory is needed)",
            "no change is needed unless prompt speed matters",
        )


def context_divided(case: Case) -> Iterator[Notice]:
    """Slots without a unified cache each get their part of -c."""
    settings = case.settings
    if settings.parallel > 1 and not settings.kv_unified and case.given("parallel"):
        each = settings.context_size // settings.parallel
        yield Notice(
            "context_divided",
            f"-c {settings.context_size} is divided by -np {settings.parallel}: each request gets {each} tokens",
            "add -kvu to share one cache, or raise -c",
        )


def ubatch_clipped(case: Case) -> Iterator[Notice]:
    """A physical batch is never larger than the logical one."""
    given = case.read.settings.get("ubatch_size", 0)
    if given > case.settings.batch_size:
        yield Notice(
            "ubatch_clipped",
            f"-ub {given} is cut to -b {case.settings.batch_size}",
            f"raise -b to {given} too",
        )


def projector_comes_along(case: Case) -> Iterator[Notice]:
    """-hf also fetches and loads a projector that nobody named."""
    off = case.read.flags.get("mmproj_auto") == "off"
    if "hf_repo" in case.read.flags and "model" not in case.read.flags and not off and not case.settings.mmproj:
        yield Notice(
            "mmproj_auto",
            "-hf also loads the repository's multimodal projector, if there is one; the figures leave it out",
            "add --no-mmproj, or name it with -mm",
        )


def draft_without_type(case: Case) -> Iterator[Notice]:
    """A draft model needs --spec-type since build 9297."""
    if case.settings.draft_model and "spec_type" not in case.read.flags and case.build >= SPEC_TYPE_BUILD:
        yield Notice(
            "draft_without_type",
            "the draft model is loaded but does nothing without --spec-type",
            "add --spec-type draft-simple, or remove -md",
        )


def mtp_without_layers(case: Case) -> Iterator[Notice]:
    """The server stops where it is told to draft by MTP and the model has no such layers."""
    plan = case.plan
    if plan is not None and uses_mtp(case.settings) and not has_mtp(plan.facts):
        yield Notice(
            "mtp_without_layers",
            f"llama-server refuses to start: --spec-type draft-mtp, and {plan.facts.name} has no MTP layers",
            "remove --spec-type, or take a file that was converted with its MTP layers",
        )


def draft_not_modelled(case: Case) -> Iterator[Notice]:
    """Kinds of drafting whose contexts differ from that of a plain draft model."""
    named = [
        kind for kind in kinds(case.settings) if kind in NOT_MODELLED or (kind == MTP and case.settings.draft_model)
    ]
    if named:
        yield Notice(
            "not_counted",
            f"--spec-type {named[0]} with a model of its own is counted as a plain draft model: its context may differ",
            "keep some memory free: --margin MIB",
        )


LLAMA_TRAPS: tuple[Trap, ...] = (
    fit_gives_up, quantised_v_without_flash, tensor_needs, override_stops_pipeline, context_divided, ubatch_clipped,
    projector_comes_along, draft_without_type, mtp_without_layers, draft_not_modelled, uncounted,
)  # fmt: skip
