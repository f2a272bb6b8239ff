"""A plan as llama-server's flags: one function per group, each a pure table of settings to arguments.

Spellings and meanings: `common/arg.cpp` of build 11434 and `llama-server --help`; older builds as in versions.py.
"""

from collections.abc import Callable

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.flags import overrides_of, program, split_of
from splitter.engine.llama_server.versions import (
    AUTO_SLOTS,
    AUTO_SLOTS_BUILD,
    BF16_CACHE_BUILD,
    CORS_BUILD,
    CPU_MOE_BUILD,
    DEVICE_BUILD,
    FIT_BUILD,
    FLASH_ATTENTION_VALUE_BUILD,
    KV_UNIFIED_BUILD,
    LOAD_MODE_BUILD,
    MMPROJ_BUILD,
    MMPROJ_DEVICE_BUILD,
    MTP_BUILD,
    NO_WEB_UI_BUILD,
    OP_OFFLOAD_BUILD,
    OVERRIDE_TENSOR_BUILD,
    PROMPT_CACHE_BUILD,
    RPC_DEVICES_BUILD,
    SERVER_DRAFT_BUILD,
    SPEC_TYPE_BUILD,
    SWA_FULL_BUILD,
    TENSOR_MODE_BUILD,
    WEB_UI_BUILD,
    llama_build,
)
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.rig.nodes import endpoints

Args = tuple[str, ...]


def llama_server_command(plan: Plan, engine: EngineRef, server: Server) -> EngineCommand:
    """The llama-server command that carries the whole plan. UsageError for what this build cannot express."""
    path = engine.path or program("llama-server", plan)
    argv = (
        path,
        *load_args(plan, engine.version),
        *slot_args(plan, engine.version),
        *server_args(server, engine.version),
    )
    return EngineCommand(
        engine, argv, {**device_env(plan), **projector_env(plan, engine.version)}, server, plan.facts.path
    )


def device_env(plan: Plan) -> dict[str, str]:
    """Without CUDA_DEVICE_ORDER CUDA numbers the fastest card first, and every id of the plan would name another card;
    other backends know no such variable."""
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"} if any(d.device.backend == "CUDA" for d in plan.devices) else {}


def load_args(plan: Plan, version: str | None) -> Args:
    """Everything that decides where memory goes, in the spelling of `version`; llama-fit-params takes it too."""
    build = llama_build(version)
    return tuple(argument for group in GROUPS for argument in group(plan, build))


def require(build: int, oldest: int, what: str, instead: str) -> None:
    """UsageError when `build` is older than the first one that has `what`."""
    if build < oldest:
        hint = f"{instead}, or take build {oldest} or newer"
        raise UsageError(f"llama.cpp build {build} {what}", hint)


def _model(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("-m", plan.facts.path)


def _fit(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("--fit", "off") if build >= FIT_BUILD else ()


def _context(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("-c", str(plan.settings.context_size))


def _devices(plan: Plan, build: int) -> Args:
    """Builds without --device use every card in the driver's order."""
    order = plan.settings.device_order
    layers = ("-ngl", str(plan.settings.gpu_layers if order else 0))
    if order and order != tuple(device.id for device in plan.rig.devices if device.node is None):
        what = f"cannot be told to use {', '.join(order)}"
        require(build, DEVICE_BUILD, what, "plan for all cards in their order")
    return layers if build < DEVICE_BUILD else ("--device", ",".join(order) or "none", *layers)


def _split(plan: Plan, build: int) -> Args:
    settings = plan.settings
    if settings.split_mode == "tensor":
        require(build, TENSOR_MODE_BUILD, "has no split mode tensor", "plan with -sm layer")
    if len(settings.device_order) < 2:
        return ()
    if settings.split_mode == "none":
        return ("-sm", "none", "-mg", str(settings.main_gpu))
    if settings.split_mode == "tensor" and not settings.tensor_split:
        return ("-sm", "tensor")
    return ("-sm", settings.split_mode, "-ts", ",".join(split_of(plan)))


def _batch(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return ("-b", str(plan.settings.batch_size), "-ub", str(plan.settings.ubatch_size))


def _cache_types(plan: Plan, build: int) -> Args:
    if "bf16" in {plan.settings.cache_type_k, plan.settings.cache_type_v}:
        require(build, BF16_CACHE_BUILD, "has no cache type bf16", "plan with -ctk f16 -ctv f16")
    return ("-ctk", plan.settings.cache_type_k, "-ctv", plan.settings.cache_type_v)


def _flash_attention(plan: Plan, build: int) -> Args:
    wanted = plan.settings.flash_attention
    if build >= FLASH_ATTENTION_VALUE_BUILD:
        return ("-fa", wanted)
    return () if wanted == "off" else ("-fa",)


def _cache(plan: Plan, build: int) -> Args:
    return (*_sliding_window(plan, build), *(() if plan.settings.kv_offload else ("-nkvo",)))


def _sliding_window(plan: Plan, build: int) -> Args:
    """Builds before --swa-full keep the full cache, unasked."""
    if plan.settings.swa_full:
        return ("--swa-full",) if build >= SWA_FULL_BUILD else ()
    if plan.facts.hparam("attention.sliding_window"):
        what = "always keeps a full-size cache for sliding-window layers"
        require(build, SWA_FULL_BUILD, what, "plan with --swa-full")
    return ()


def _experts(plan: Plan, build: int) -> Args:
    settings = plan.settings
    if settings.cpu_moe or settings.n_cpu_moe:
        require(
            build, CPU_MOE_BUILD, "has no -ncmoe and -cmoe", r"name the experts with -ot 'blk\.\d+\.ffn_.*_exps=CPU'"
        )
    everywhere = ("-cmoe",) if settings.cpu_moe else ()
    return (*everywhere, *(("-ncmoe", str(settings.n_cpu_moe)) if settings.n_cpu_moe else ()))


def _overrides(plan: Plan, build: int) -> Args:
    if not plan.settings.override_tensors:
        return ()
    require(build, OVERRIDE_TENSOR_BUILD, "has no -ot", "plan without it")
    return ("-ot", overrides_of(plan))


def _offload(plan: Plan, build: int) -> Args:
    if plan.settings.op_offload:
        return ()
    require(build, OP_OFFLOAD_BUILD, "has no --no-op-offload", "plan without it")
    return ("--no-op-offload",)


def _mmap(plan: Plan, build: int) -> Args:
    if plan.settings.mmap:
        return ()
    return ("--load-mode", "none") if build >= LOAD_MODE_BUILD else ("--no-mmap",)


def _threads(plan: Plan, build: int) -> Args:  # noqa: ARG001
    return () if plan.settings.threads is None else ("-t", str(plan.settings.threads))


def _workers(plan: Plan, build: int) -> Args:
    """Where the workers of other machines are reached; before --device, which is read with what is known by then."""
    order = (*plan.settings.device_order, *(plan.settings.draft_device_order or ()), plan.settings.mmproj_device)
    if not any(device.node and device.id in order for device in plan.rig.devices):
        return ()
    require(build, RPC_DEVICES_BUILD, "has no RPC0, RPC1 as names of remote devices", "plan without --nodes")
    return ("--rpc", ",".join(endpoints(plan.rig).values()))


GROUPS: tuple[Callable[[Plan, int], Args], ...] = (
    _model, _fit, _context, _workers, _devices, _split, _batch, _cache_types, _flash_attention, _cache, _experts,
    _overrides, _offload, _mmap, _threads,
)  # fmt: skip


def slot_args(plan: Plan, version: str | None) -> Args:
    """Slots, projector and draft model: what the server knows and llama-fit-params does not."""
    build = llama_build(version)
    return (*_slots(plan, build), *_projector(plan, build), *_draft(plan, build), *_host_ram(plan, build))


def _slots(plan: Plan, build: int) -> Args:
    """The server's own default is left unsaid: its flags are unknown to llama-fit-params and llama-bench."""
    settings = plan.settings
    if build >= AUTO_SLOTS_BUILD and settings.kv_unified and settings.parallel == AUTO_SLOTS:
        return ()
    if settings.parallel == 1:
        return ("-np", "1")
    if build >= KV_UNIFIED_BUILD:
        return ("-np", str(settings.parallel), *(("-kvu",) if settings.kv_unified else ()))
    if settings.parallel > 1 and not settings.kv_unified:
        raise UsageError(
            f"llama.cpp build {build} cannot give each of {settings.parallel} slots its own cache",
            "plan with a unified cache (-kvu), one slot (-np 1), or a newer llama-server",
        )
    return ("-np", str(settings.parallel))


def _host_ram(plan: Plan, build: int) -> Args:
    """The cache of old prompts and the checkpoints, where they are not left to the server."""
    limit, most = plan.settings.cache_ram_mib, plan.settings.ctx_checkpoints
    if limit is not None or most is not None:
        require(build, PROMPT_CACHE_BUILD, "has no --cache-ram and --ctx-checkpoints", "plan without them")
    cache = () if limit is None else ("--cache-ram", str(limit))
    return (*cache, *(() if most is None else ("--ctx-checkpoints", str(most))))


def _projector(plan: Plan, build: int) -> Args:
    """The short -mm came later than --mmproj."""
    settings = plan.settings
    if settings.mmproj is None:
        return ()
    require(build, MMPROJ_BUILD, "serves no projector (--mmproj)", "plan without -mm")
    if settings.mmproj_device == "none":
        return ("--mmproj", settings.mmproj, "--no-mmproj-offload")
    named = settings.mmproj_device is not None and build >= MMPROJ_DEVICE_BUILD
    return ("--mmproj", settings.mmproj, *(("-mmdev", str(settings.mmproj_device)) if named else ()))


def projector_env(plan: Plan, version: str | None) -> dict[str, str]:
    """The projector's device for builds without -mmdev."""
    device, build = plan.settings.mmproj_device, llama_build(version)
    if plan.settings.mmproj is None or device in (None, "none") or build >= MMPROJ_DEVICE_BUILD:
        return {}
    return {"MTMD_BACKEND_DEVICE": str(device)}


def _draft(plan: Plan, build: int) -> Args:
    settings = plan.settings
    if settings.draft_model is None:
        return _speculation(plan, build)
    require(build, SERVER_DRAFT_BUILD, "serves no draft model", "plan without -md")
    kind = _speculation(plan, build, "draft-simple" if build >= SPEC_TYPE_BUILD else None)
    layers = () if settings.draft_gpu_layers is None else ("-ngld", str(settings.draft_gpu_layers))
    order = settings.draft_device_order
    devices = () if order is None else ("-devd", ",".join(order) or "none")
    return ("-md", settings.draft_model, *kind, *layers, *devices)


def _speculation(plan: Plan, build: int, default: str | None = None) -> Args:
    """--spec-type and what goes with it; MTP came with its own flags (build 9246)."""
    settings = plan.settings
    kind = settings.spec_type or default
    if kind is None:
        return () if settings.spec_draft_n_max is None else ("--draft-max", str(settings.spec_draft_n_max))
    require(build, MTP_BUILD if "mtp" in kind else SPEC_TYPE_BUILD, f"has no --spec-type {kind}", "plan without it")
    most = settings.spec_draft_n_max
    kinds = (("-ctkd", settings.draft_cache_type_k), ("-ctvd", settings.draft_cache_type_v))
    types = tuple(word for pair in kinds if pair[1] != "f16" for word in pair)
    return ("--spec-type", kind, *(() if most is None else ("--spec-draft-n-max", str(most))), *types)


def server_args(server: Server, version: str | None) -> Args:
    """Where the server listens, who may ask and what it shows; an API key only ever as a file's name."""
    build = llama_build(version)
    key = ("--api-key-file", server.api_key_file) if server.api_key_file else ()
    origins = ("--cors-origins", server.cors_origins) if build >= CORS_BUILD else ()
    return ("--host", server.host, "--port", str(server.port), *_web_ui(server, build), *origins, *key)


def _web_ui(server: Server, build: int) -> Args:
    """Builds without --webui show it unasked."""
    if server.web_ui:
        return ("--webui",) if build >= WEB_UI_BUILD else ()
    require(build, NO_WEB_UI_BUILD, "always serves its web UI", "leave server.web_ui on")
    return ("--no-webui",)
