"""A plan as ik_llama.cpp's flags (common/common.cpp, `llama-server --help` of ik-llama-cpp-python 0.1.5)."""

from collections.abc import Callable

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.flags import number, overrides_of, program
from splitter.engine.llama_server.command import device_env
from splitter.errors import UsageError
from splitter.memory.patterns import EXPERTS
from splitter.plan.placement import PIPELINE_OFF
from splitter.plan.plan import Plan

Args = tuple[str, ...]
OUTPUT = r"^output\.weight$"
OUTPUT_ON_HOST = f"{OUTPUT}=CPU"


def ik_llama_command(plan: Plan, engine: EngineRef, server: Server) -> EngineCommand:
    """The command that carries the whole plan. UsageError for what the fork has no words for."""
    path = engine.path or program("llama-server", plan)
    argv = (path, *(argument for group in GROUPS for argument in group(plan)), *_server(server))
    return EngineCommand(engine, argv, device_env(plan), server, plan.facts.path)


def _model(plan: Plan) -> Args:
    return ("-m", plan.facts.path, "-c", str(plan.settings.context_size))


def _devices(plan: Plan) -> Args:
    """Without devices no --device: `none` is no word of it. Its -ngl counts repeating layers; the output layer comes
    with one more than all of them."""
    order, layers = plan.settings.device_order, plan.settings.gpu_layers
    if _partly(plan) and order and _is_graph(plan):
        raise UsageError("-sm graph is planned with all layers on devices", "plan without -ngl, or with -sm layer")
    if not order:
        return ("-ngl", "0")
    return ("-dev", ",".join(order), "-ngl", str(max(layers - 1, 0) if _partly(plan) else layers))


def _partly(plan: Plan) -> bool:
    """Whether some layers stay on the host."""
    return plan.settings.gpu_layers < len(plan.placement.layers)


def _is_graph(plan: Plan) -> bool:
    """Whether each layer is shared by the devices."""
    return plan.settings.split_mode == "tensor" and len(plan.settings.device_order) > 1


def _split(plan: Plan) -> Args:
    settings = plan.settings
    if len(settings.device_order) < 2:
        return ()
    if settings.split_mode == "none":
        return ("-sm", "none", "-mg", str(settings.main_gpu))
    shares = ",".join(number(share) for share in settings.tensor_split)
    return ("-sm", "graph" if _is_graph(plan) else "layer", *(("-ts", shares) if shares else ()))


def _batch(plan: Plan) -> Args:
    return ("-b", str(plan.settings.batch_size), "-ub", str(plan.settings.ubatch_size))


def _cache(plan: Plan) -> Args:
    settings = plan.settings
    if not settings.kv_unified and settings.parallel > 1:
        raise UsageError("ik_llama.cpp keeps one cache for all slots", "plan with -kvu")
    flash = "off" if settings.flash_attention == "off" else "on"
    host = () if settings.kv_offload else ("-nkvo",)
    return ("-ctk", settings.cache_type_k, "-ctv", settings.cache_type_v, "-fa", flash, *host)


def _experts(plan: Plan) -> Args:
    """In -sm layer its -ncmoe spreads the layers over several cards, so there the layers are named."""
    settings = plan.settings
    if settings.cpu_moe:
        return ("-cmoe",)
    if settings.n_cpu_moe and _counts_from_start(plan):
        return ("-ncmoe", str(settings.n_cpu_moe))
    return ()


def _counts_from_start(plan: Plan) -> bool:
    """Whether -ncmoe means the first layers."""
    return len(plan.settings.device_order) < 2 or _is_graph(plan)


def _overrides(plan: Plan) -> Args:
    """The items in the plan's order. The one that only turns llama.cpp's pipeline off says nothing here; with some
    layers on the host the output layer stays there too, unless it is named."""
    settings = plan.settings
    named = [item for item in overrides_of(plan).split(",") if item not in {"", PIPELINE_OFF, OUTPUT_ON_HOST}]
    output = plan.placement.layers[-1]
    if _partly(plan) and output is not None and OUTPUT_ON_HOST not in settings.override_tensors:
        named.append(f"{OUTPUT}={settings.device_order[output]}")
    if settings.n_cpu_moe and not settings.cpu_moe and not _counts_from_start(plan):
        layers = "|".join(map(str, range(settings.n_cpu_moe)))
        named.append(rf"blk\.({layers}){EXPERTS}=CPU")
    return ("-ot", ",".join(named)) if named else ()


def _loading(plan: Plan) -> Args:
    settings = plan.settings
    if not settings.op_offload:
        raise UsageError("ik_llama.cpp has no --no-op-offload", "plan without it")
    mmap = () if settings.mmap else ("--no-mmap",)
    return (*mmap, *(() if settings.threads is None else ("-t", str(settings.threads))))


def _extra_models(plan: Plan) -> Args:
    settings = plan.settings
    named = settings.mmproj_device not in (None, "none", *settings.device_order[:1])
    if settings.mmproj and named:
        raise UsageError("ik_llama.cpp cannot be told a projector's device", "leave out -mmdev")
    projector = ("--mmproj", settings.mmproj) if settings.mmproj else ()
    cpu = ("--no-mmproj-offload",) if settings.mmproj and settings.mmproj_device == "none" else ()
    if settings.draft_model is None:
        return (*projector, *cpu)
    layers = 0 if settings.draft_device_order == () else settings.draft_gpu_layers
    devices = ("-devd", ",".join(settings.draft_device_order)) if settings.draft_device_order else ()
    draft = ("-md", settings.draft_model, *(() if layers is None else ("-ngld", str(layers))), *devices)
    return (*projector, *cpu, *draft)


def _slots(plan: Plan) -> Args:
    return ("-np", str(plan.settings.parallel))


GROUPS: tuple[Callable[[Plan], Args], ...] = (
    _model, _devices, _split, _batch, _cache, _experts, _overrides, _loading, _slots, _extra_models,
)  # fmt: skip


def _server(server: Server) -> Args:
    """An API key only ever as a file's name."""
    key = ("--api-key-file", server.api_key_file) if server.api_key_file else ()
    page = () if server.web_ui else ("--webui", "none")
    return ("--host", server.host, "--port", str(server.port), *page, *key)
