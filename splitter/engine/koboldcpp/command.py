"""A plan as koboldcpp's flags, releases 1.60 to 1.123 and newer: one function per group.

Facts: koboldcpp's own argument parser of many releases (1.60 to 1.123, 2026-09). Its device ids (`--usecuda 0 1 2`) do
not choose cards: CUDA_VISIBLE_DEVICES does, in the plan's order, and `--tensor_split` counts within it.
"""

from collections.abc import Callable

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.flags import is_script, overrides_of, program, python_of, split_of
from splitter.engine.koboldcpp.devices import backend_args, device_env
from splitter.engine.koboldcpp.versions import (
    DRAFT_BESIDE_PROJECTOR,
    FLASH_ATTENTION,
    FLASH_ON,
    LOWVRAM,
    MAX_MOECPU,
    MOECPU,
    NEW_BATCH_SIZE,
    NO_MMAP,
    OVERRIDE_TENSORS,
    PIPELINE_ASKED,
    PIPELINE_ON,
    PROJECTOR_ON_CPU,
    QUANTKV_NUMBERS,
    QUANTKV_WORDS,
    SKIPLAUNCHER,
    SLOTS,
    SPLIT_MODE,
    SWA,
    SWA_ON,
    UBATCH,
    USE_MTP,
    Release,
    batch_sizes,
    cache_types,
    koboldcpp_release,
    largest_context,
)
from splitter.errors import UsageError
from splitter.memory.patterns import EXPERTS
from splitter.memory.settings import Settings
from splitter.memory.speculation import MTP
from splitter.plan.placement import PIPELINE_OFF
from splitter.plan.plan import Plan

Args = tuple[str, ...]
OLDEST = (1, 60)


def koboldcpp_command(plan: Plan, engine: EngineRef, server: Server) -> EngineCommand:
    """The koboldcpp command that carries the whole plan. UsageError for what this release cannot express."""
    release = koboldcpp_release(engine.version)
    if release < OLDEST:
        raise UsageError(
            f"koboldcpp {engine.version} is older than 1.60, the oldest release that splitter supports",
            "take a newer koboldcpp",
        )
    arguments = tuple(argument for group in GROUPS for argument in group(plan, release))
    argv = (*start_words(engine.path or program("koboldcpp", plan), plan), *arguments, *_server(server, release))
    env, secrets = device_env(plan), _key_file(server, release)
    return EngineCommand(engine, argv, env, server, plan.facts.path, secrets, plan.settings.device_order)


def start_words(path: str, plan: Plan) -> Args:
    """The words that start the program at `path`."""
    return (python_of(plan.rig.host.os), path) if is_script(path) else (path,)


def refuse(what: str, release: Release, hint: str) -> UsageError:
    """The error for a plan that `release` has no words for."""
    name = "koboldcpp" if release[0] > 1 else f"koboldcpp {'.'.join(map(str, release)).removesuffix('.0')}"
    return UsageError(f"{name} {what}", hint)


def _model(plan: Plan, release: Release) -> Args:  # noqa: ARG001
    return ("--model", plan.facts.path)


def _layers(plan: Plan, release: Release) -> Args:  # noqa: ARG001
    return ("--gpulayers", str(plan.settings.gpu_layers if plan.settings.device_order else 0))


def _split(plan: Plan, release: Release) -> Args:
    settings = plan.settings
    if len(settings.device_order) < 2:
        return ()
    if settings.split_mode == "none":
        raise refuse("has no split mode none", release, "plan with one device (--device) instead of -sm none")
    if settings.split_mode == "tensor" and release < SPLIT_MODE:
        raise refuse("has no split mode tensor", release, "plan with -sm layer, or take koboldcpp 1.113 or newer")
    mode = ("--splitmode", "tensor") if settings.split_mode == "tensor" else ()
    if mode and not settings.tensor_split:
        return mode  # shared by free memory: layer counts would say something else
    return (*mode, "--tensor_split", *split_of(plan))


def _context(plan: Plan, release: Release) -> Args:
    size, largest = plan.settings.context_size, largest_context(release)
    if not 256 <= size <= largest:
        raise refuse(f"takes a context of 256 to {largest}, not {size}", release, f"plan with -c {largest} or less")
    return ("--contextsize", str(size))


def _batch(plan: Plan, release: Release) -> Args:
    batch, ubatch = plan.settings.batch_size, plan.settings.ubatch_size
    for size in (batch, ubatch):
        if size not in batch_sizes(release):
            allowed = ", ".join(map(str, batch_sizes(release)))
            raise refuse(f"takes batch sizes {allowed}, not {size}", release, "plan with one of those for -b and -ub")
    if release >= UBATCH:
        return ("--batchsize", str(batch), "--ubatchsize", str(ubatch))
    if batch != ubatch:
        hint = f"plan with -b {ubatch} -ub {ubatch}"
        raise refuse(f"has one batch size, but the plan has batch {batch} and micro-batch {ubatch}", release, hint)
    return ("--batchsize" if release >= NEW_BATCH_SIZE else "--blasbatchsize", str(batch))


def _flash_attention(plan: Plan, release: Release) -> Args:
    on = plan.settings.flash_attention != "off"
    if release >= FLASH_ON:
        return () if on else ("--noflashattention",)
    if on and release < FLASH_ATTENTION:
        raise refuse("has no flash attention", release, "plan with -fa off, or take koboldcpp 1.64 or newer")
    return ("--flashattention",) if on else ()


def _cache_type(plan: Plan, release: Release) -> Args:
    kind = plan.settings.cache_type_k
    if kind != plan.settings.cache_type_v:
        both = f"{kind} and {plan.settings.cache_type_v}"
        raise refuse(f"has one cache type for K and V, not {both}", release, f"plan with -ctk {kind} -ctv {kind}")
    if kind == "f16":
        return ()
    if plan.settings.flash_attention == "off":
        raise refuse("quantises V only with flash attention", release, "plan with -fa on, or with -ctk f16 -ctv f16")
    names = cache_types(release)
    if kind not in names:
        known = ", ".join(names)
        raise refuse(f"has cache types {known}, not {kind}", release, "plan with one of those for -ctk and -ctv")
    return ("--quantkv", kind if release >= QUANTKV_WORDS else QUANTKV_NUMBERS[kind])


def _sliding_window(plan: Plan, release: Release) -> Args:
    """SWA is the default since 1.114, opt-in since 1.92 (without context shift), unknown before."""
    if not plan.facts.hparam("attention.sliding_window"):
        return ()
    full = plan.settings.swa_full
    if release >= SWA_ON:
        return ("--noswa",) if full else ()
    if full:
        return ()
    if release < SWA:
        raise refuse("always keeps a full-size cache for sliding-window layers", release, "plan with --swa-full")
    return ("--useswa", "--noshift")


def _slots(plan: Plan, release: Release) -> Args:
    count = plan.settings.parallel
    if count == 1:
        return ()
    if not plan.settings.kv_unified or not 1 <= count <= 32:
        raise refuse(f"cannot give each of {count} slots its own cache", release, "plan with -np 1")
    if release < SLOTS:
        raise refuse(f"serves one request at a time, not {count}", release, "plan with -np 1")
    return ("--parallelrequests", str(count))


def _experts(plan: Plan, release: Release) -> Args:
    count = _expert_layers(plan)
    if not count or release < MOECPU:
        return ()
    if count > MAX_MOECPU:
        raise refuse(f"keeps the experts of at most {MAX_MOECPU} layers on the CPU", release, "plan with fewer")
    return ("--moecpu", str(count))


def _expert_layers(plan: Plan) -> int:
    """The first so many layers keep their experts in RAM."""
    return plan.facts.layers if plan.settings.cpu_moe else plan.settings.n_cpu_moe


def _overrides(plan: Plan, release: Release) -> Args:
    """-ot, and the experts in RAM for releases that have no shorter word for them."""
    given = () if _says_pipeline(release) else (PIPELINE_OFF,)
    items = [item for item in overrides_of(plan).split(",") if item and (item != PIPELINE_OFF or item in given)]
    count = _expert_layers(plan)
    if count and release < MOECPU:
        items.insert(0, rf"blk\.({'|'.join(map(str, range(count)))}){EXPERTS}=CPU")
    if items and release < OVERRIDE_TENSORS:
        raise refuse(
            "has no --overridetensors", release, "plan without -ot and -ncmoe, or take koboldcpp 1.89 or newer"
        )
    return ("--overridetensors", ",".join(items)) if items else ()


def _offload(plan: Plan, release: Release) -> Args:
    if not plan.settings.op_offload:
        raise refuse("has no --no-op-offload", release, "plan without it, or with llama-server")
    return ("--lowvram",) if not plan.settings.kv_offload and release >= LOWVRAM else ()


def _pipeline(plan: Plan, release: Release) -> Args:
    """Pipeline copies are opt-in in 1.104-1.106, opt-out until 1.121, automatic before and after."""
    if len(plan.settings.device_order) < 2 or not _says_pipeline(release):
        return ()
    if release < PIPELINE_ON:
        return ("--pipelineparallel",) if plan.footprint.pipeline else ()
    return () if plan.footprint.pipeline else ("--nopipelineparallel",)


def _says_pipeline(release: Release) -> bool:
    """Whether a flag turns the pipeline on or off; else an override of no tensor does."""
    return PIPELINE_ASKED <= release < UBATCH


def _mmap(plan: Plan, release: Release) -> Args:
    if release >= NO_MMAP:
        return ("--usemmap",) if plan.settings.mmap else ()
    return () if plan.settings.mmap else ("--nommap",)


def _threads(plan: Plan, release: Release) -> Args:  # noqa: ARG001
    """Its own default is half of the processors: on a host without hyper-threading half of the cores idle."""
    count = plan.settings.threads or plan.rig.host.cores
    return () if count is None else ("--threads", str(count))


def _extra_models(plan: Plan, release: Release) -> Args:
    settings = plan.settings
    if settings.mmproj and settings.draft_model and release < DRAFT_BESIDE_PROJECTOR:
        raise refuse("cannot use a draft model together with a projector", release, "plan with one of -md and -mm")
    if settings.mmproj and release < (1, 61):
        raise refuse("has no --mmproj", release, "take koboldcpp 1.61 or newer")
    projector = _projector(plan, release) if settings.mmproj else ()
    if settings.draft_model is None:
        return (*projector, *_mtp(settings, release))
    if release < (1, 80):
        raise refuse("cannot place a draft model", release, "plan without -md, or take koboldcpp 1.80 or newer")
    layers = 0 if settings.draft_device_order == () else settings.draft_gpu_layers
    return (
        *projector,
        *("--draftmodel", settings.draft_model),
        *(() if layers is None else ("--draftgpulayers", str(layers))),
        *_draft_split(plan, release),
    )


def _mtp(settings: Settings, release: Release) -> Args:
    """The model's own MTP layers draft; no other kind of speculative decoding has a flag."""
    if settings.spec_type is None:
        return ()
    if settings.spec_type != MTP:
        raise refuse(f"has no --spec-type {settings.spec_type}", release, "plan without it, or with draft-mtp")
    if release < USE_MTP:
        raise refuse("has no --usemtp", release, "plan without --spec-type, or take koboldcpp 1.115 or newer")
    most = settings.spec_draft_n_max
    return ("--usemtp", *(() if most is None else ("--draftamount", str(most))))


def _projector(plan: Plan, release: Release) -> Args:
    """A projector lies on the first device or, told so, on the CPU."""
    settings = plan.settings
    if settings.mmproj_device not in (None, "none", *settings.device_order[:1]):
        raise refuse("puts a projector on its first device only", release, "leave out -mmdev, or name --device first")
    if settings.mmproj_device == "none" and release < PROJECTOR_ON_CPU:
        raise refuse("has no --mmprojcpu", release, "take koboldcpp 1.89 or newer")
    cpu = ("--mmprojcpu",) if settings.mmproj_device == "none" else ()
    return ("--mmproj", str(settings.mmproj), *cpu)


def _draft_split(plan: Plan, release: Release) -> Args:
    """-devd as shares: everything on the named ones of the plan's devices."""
    wanted, order = plan.settings.draft_device_order, plan.settings.device_order
    if not wanted or len(order) < 2:
        return ()
    strange = [name for name in wanted if name not in order]
    if strange:
        raise refuse(f"cannot put a draft model on {strange[0]} alone", release, "name a device of --device in -devd")
    return ("--draftgpusplit", *("1" if name in wanted else "0" for name in order))


GROUPS: tuple[Callable[[Plan, Release], Args], ...] = (
    _model, backend_args, _layers, _split, _context, _batch, _flash_attention, _cache_type, _sliding_window, _slots,
    _experts, _overrides, _offload, _pipeline, _mmap, _threads, _extra_models,
)  # fmt: skip


def _server(server: Server, release: Release) -> Args:
    """Without --host it would listen on all interfaces; without --skiplauncher a window could open (since 1.75).

    Without --quiet its log would hold every prompt and answer; the timing lines stay.
    """
    launcher = ("--skiplauncher",) if release >= SKIPLAUNCHER else ()
    return ("--host", server.host, "--port", str(server.port), *launcher, "--quiet")


def _key_file(server: Server, release: Release) -> dict[str, str]:
    if not server.api_key_file:
        return {}
    if release < (1, 111, 1):
        hint = "take koboldcpp 1.111.1 or newer, or serve without a key"
        raise refuse("takes its password only on the command line, where others can read it", release, hint)
    return {"KCPP_PASSWORD": server.api_key_file}
