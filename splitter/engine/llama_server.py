"""A plan as llama-server's flags: one function per group, each a pure table of settings to arguments.

Spellings and meanings: `common/arg.cpp` of build 11434 and `llama-server --help`; older builds as in versions.py.
"""

from collections.abc import Callable

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.flags import overrides_of, program, split_of
from splitter.engine.versions import (
    AUTO_SLOTS,
    AUTO_SLOTS_BUILD,
    FIT_BUILD,
    FLASH_ATTENTION_VALUE_BUILD,
    KV_UNIFIED_BUILD,
    LOAD_MODE_BUILD,
    SPEC_TYPE_BUILD,
    llama_build,
)
from splitter.errors import UsageError
from splitter.plan.plan import Plan

Args = tuple[str, ...]


def llama_server_command(plan: Plan, engine: EngineRef, server: Server) -> EngineCommand:
    """The llama-server command that carries the whole plan. UsageError for what this build cannot express."""
    path = engine.path or program("llama-server", plan)
    argv = (path, *load_args(plan, engine.version), *slot_args(plan, engine.version), *server_args(server))
    return EngineCommand(engine, argv, ENV, server, plan.facts.path)


# Without it CUDA numbers the fastest card first, and every id of the plan would name another card.
ENV = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}


def load_args(plan: Plan, version: str | None) -> Args:
    """Everything that decides where memory goes, in the spelling of `version`; llama-fit-params takes it too."""
    build = llama_build(version)
    return tuple(argument for group in GROUPS for argument in group(plan, build))


def _model(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("-m", plan.facts.path)


def _fit(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("--fit", "off") if build >= FIT_BUILD else ()


def _context(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("-c", str(plan.settings.context_size))


def _devices(plan: Plan, build: int) -> Args:  # noqa: ARG001
    settings = plan.settings
    if not settings.device_order:
        return ("--device", "none", "-ngl", "0")
    return ("--device", ",".join(settings.device_order), "-ngl", str(settings.gpu_layers))


def _split(plan: Plan, build: int) -> Args:  # noqa: ARG001
    settings = plan.settings
    if len(settings.device_order) < 2:
        return ()
    if settings.split_mode == "none":
        return ("-sm", "none", "-mg", str(settings.main_gpu))
    if settings.split_mode == "tensor" and not settings.tensor_split:
        return ("-sm", "tensor")
    return ("-sm", settings.split_mode, "-ts", ",".join(split_of(plan)))


def _batch(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("-b", str(plan.settings.batch_size), "-ub", str(plan.settings.ubatch_size))


def _cache_types(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("-ctk", plan.settings.cache_type_k, "-ctv", plan.settings.cache_type_v)


def _flash_attention(plan: Plan, build: int) -> Args:
    wanted = plan.settings.flash_attention
    if build >= FLASH_ATTENTION_VALUE_BUILD:
        return ("-fa", wanted)
    return () if wanted == "off" else ("-fa",)


def _cache(plan: Plan, build: int) -> Args:  # noqa: ARG001
    settings = plan.settings
    return (*(("--swa-full",) if settings.swa_full else ()), *(() if settings.kv_offload else ("-nkvo",)))


def _experts(plan: Plan, build: int) -> Args:  # noqa: ARG001
    settings = plan.settings
    everywhere = ("-cmoe",) if settings.cpu_moe else ()
    return (*everywhere, *(("-ncmoe", str(settings.n_cpu_moe)) if settings.n_cpu_moe else ()))


def _overrides(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("-ot", overrides_of(plan)) if plan.settings.override_tensors else ()


def _offload(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return () if plan.settings.op_offload else ("--no-op-offload",)


def _mmap(plan: Plan, build: int) -> Args:
    if plan.settings.mmap:
        return ()
    return ("--load-mode", "none") if build >= LOAD_MODE_BUILD else ("--no-mmap",)


def _threads(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return () if plan.settings.threads is None else ("-t", str(plan.settings.threads))


GROUPS: tuple[Callable[[Plan, int], Args], ...] = (
    _model, _fit, _context, _devices, _split, _batch, _cache_types, _flash_attention, _cache, _experts, _overrides,
    _offload, _mmap, _threads,
)  # fmt: skip


def slot_args(plan: Plan, version: str | None) -> Args:
    """Slots, projector and draft model: what the server knows and llama-fit-params does not."""
    build = llama_build(version)
    return (*_slots(plan, build), *_projector(plan), *_draft(plan, build))


def _slots(plan: Plan, build: int) -> Args:
    """The server's own default is left unsaid: its flags are unknown to llama-fit-params and llama-bench."""
    settings = plan.settings
    if build >= AUTO_SLOTS_BUILD and settings.kv_unified and settings.parallel == AUTO_SLOTS:
        return ()
    if build >= KV_UNIFIED_BUILD:
        return ("-np", str(settings.parallel), *(("-kvu",) if settings.kv_unified else ()))
    if settings.parallel > 1 and not settings.kv_unified:
        raise UsageError(
            f"llama.cpp build {build} cannot give each of {settings.parallel} slots a cache of its own",
            "plan with a unified cache (-kvu), one slot (-np 1), or a newer llama-server",
        )
    return ("-np", str(settings.parallel))


def _projector(plan: Plan) -> Args:
    return () if plan.settings.mmproj is None else ("-mm", plan.settings.mmproj)


def _draft(plan: Plan, build: int) -> Args:
    settings = plan.settings
    if settings.draft_model is None:
        return ()
    kind = ("--spec-type", "draft-simple") if build >= SPEC_TYPE_BUILD else ()
    layers = () if settings.draft_gpu_layers is None else ("-ngld", str(settings.draft_gpu_layers))
    return ("-md", settings.draft_model, *kind, *layers)


def server_args(server: Server) -> Args:
    """Where the server listens; an API key only ever as a file's name."""
    key = ("--api-key-file", server.api_key_file) if server.api_key_file else ()
    return ("--host", server.host, "--port", str(server.port), *key)
