"""Logs of starts, written in the engines' own line formats from figures that real GPUs printed.

The figures of `REAL` are those of public loads (ik_llama.cpp #500, #384, #437, #514, #596; P100 sweeps of
miminashi/llm-server-ops; ggrun's fixtures); the others fill the same lines with figures of our own.
"""

from dataclasses import dataclass, field, replace

OOM = "cudaMalloc failed: out of memory"


@dataclass(frozen=True)
class Figures:
    """What a log states; sizes in MiB by device."""

    arch: str = "qwen3moe"
    name: str = "Qwen3-30B-A3B"
    quant: str = "Q4_K - Medium"
    size: str = "17.28 GiB"
    layers: int = 48
    train: int = 40960
    context: int = 16384
    batch: int = 2048
    ubatch: int = 512
    flash: str = "1"
    cache: str = "f16"
    cards: tuple[tuple[str, int | None], ...] = ()  # name, free MiB
    model: dict[str, float] = field(default_factory=dict)
    kv: dict[str, float] = field(default_factory=dict)
    compute: dict[str, float] = field(default_factory=dict)


def lines_2024(f: Figures) -> list[str]:
    """llama.cpp before 2025, and ik_llama.cpp."""
    return [
        f"ggml_cuda_init: found {len(f.cards)} CUDA devices:",
        *(f"  Device {i}: {name}, compute capability 8.6, VMM: yes" for i, (name, _) in enumerate(f.cards)),
        f"llama_model_loader: loaded meta data with 40 key-value pairs and 1131 tensors from /models/{f.name}.gguf "
        "(version GGUF V3 (latest))",
        f"llm_load_print_meta: arch             = {f.arch}",
        f"llm_load_print_meta: n_ctx_train      = {f.train}",
        f"llm_load_print_meta: n_layer          = {f.layers}",
        f"llm_load_print_meta: model ftype      = {f.quant}",
        f"llm_load_print_meta: model size       = {f.size} (4.00 BPW)",
        f"llm_load_print_meta: general.name     = {f.name}",
        "llm_load_tensors: offloading non-repeating layers to GPU",
        f"llm_load_tensors: offloaded {f.layers + 1}/{f.layers + 1} layers to GPU",
        *(f"llm_load_tensors: {name:>10} buffer size = {size:.2f} MiB" for name, size in f.model.items()),
        f"llama_new_context_with_model: n_ctx      = {f.context}",
        f"llama_new_context_with_model: n_batch    = {f.batch}",
        f"llama_new_context_with_model: n_ubatch   = {f.ubatch}",
        f"llama_new_context_with_model: flash_attn = {f.flash}",
        *(f"llama_kv_cache_init: {name:>10} KV buffer size = {size:.2f} MiB" for name, size in f.kv.items()),
        f"llama_new_context_with_model: KV self size = 638.00 MiB, K ({f.cache}): 319.00 MiB, V ({f.cache}): 319 MiB",
        *(
            f"llama_new_context_with_model: {name:>10} compute buffer size = {s:.2f} MiB"
            for name, s in f.compute.items()
        ),
    ]


def lines_2025(f: Figures) -> list[str]:
    """llama.cpp of 2025 and 2026."""
    cards = [
        f"llama_model_load_from_file_impl: using device CUDA{i} ({name}) (0000:0{i + 1}:00.0) - {free} MiB free"
        for i, (name, free) in enumerate(f.cards)
        if free is not None
    ]
    return [
        "build: 6327 (4d74393b) with cc (Ubuntu 13.3.0) 13.3.0 for x86_64-linux-gnu",
        *cards,
        f"llama_model_loader: loaded meta data with 35 key-value pairs and 579 tensors from /models/{f.name}.gguf "
        "(version GGUF V3 (latest))",
        f"print_info: file type   = {f.quant}",
        f"print_info: file size   = {f.size} (4.86 BPW)",
        f"print_info: arch             = {f.arch}",
        f"print_info: n_ctx_train      = {f.train}",
        f"print_info: n_layer          = {f.layers}",
        f"print_info: general.name     = {f.name}",
        f"load_tensors: offloaded {f.layers + 1}/{f.layers + 1} layers to GPU",
        *(f"load_tensors: {name:>12} model buffer size = {size:8.2f} MiB" for name, size in f.model.items()),
        f"llama_context: n_ctx         = {f.context}",
        f"llama_context: n_batch       = {f.batch}",
        f"llama_context: n_ubatch      = {f.ubatch}",
        f"llama_context: flash_attn    = {f.flash}",
        *(f"llama_kv_cache_unified: {name:>10} KV buffer size = {size:8.2f} MiB" for name, size in f.kv.items()),
        f"llama_kv_cache_unified: size = 3072.00 MiB ( {f.context} cells,  {f.layers} layers,  1/1 seqs), "
        f"K ({f.cache}): 1536.00 MiB, V ({f.cache}): 1536.00 MiB",
        *(f"llama_context: {name:>10} compute buffer size = {size:8.2f} MiB" for name, size in f.compute.items()),
    ]


def refused(device: str, mib: float, *, stage: str, style: str = "2025") -> list[str]:
    """The lines of an allocation that failed."""
    number = device.removeprefix("CUDA").removeprefix("ROCm")
    size = int(mib * 2**20)
    first = f"ggml_backend_cuda_buffer_type_alloc_buffer: allocating {mib:.2f} MiB on device {number}: {OOM}"
    if stage == "model":
        return [
            first,
            f"alloc_tensor_range: failed to allocate {device} buffer of size {size}",
            f"llama_model_load: error loading model: unable to allocate {device} buffer",
            "llama_model_load_from_file_impl: failed to load model",
        ]
    if stage == "context":
        return [
            first,
            f"alloc_tensor_range: failed to allocate {device} buffer of size {size}",
            "llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache",
        ]
    where = "llama_new_context_with_model" if style == "2024" else "graph_reserve"
    return [
        first,
        f"ggml_gallocr_reserve_n: failed to allocate {device} buffer of size {size}",
        f"{where}: failed to allocate compute buffers",
    ]


def crashed(number: int) -> list[str]:
    """CUDA ran out while a prompt was worked on."""
    return [
        "main: server is listening on http://127.0.0.1:8080 - starting the main loop",
        "srv  params_from_: Chat format: Content-only",
        "slot launch_slot_: id  0 | task 0 | processing task",
        "CUDA error: out of memory",
        f"  current device: {number}, in function alloc at ggml/src/ggml-cuda/ggml-cuda.cu:384",
        "  cuMemCreate(&handle, reserve_size, &prop, 0)",
    ]


def stamped(lines: list[str], stamp: str) -> list[str]:
    return [f"{stamp}{line}" for line in lines]


KOBOLD = [
    "***", "Welcome to KoboldCpp - Version 1.117", "For command line arguments, please refer to --help", "***",
    "Namespace(model='/models/m.gguf', gpulayers=49, contextsize=16384, tensor_split=None, usecuda=['normal'])",
    "==========", "Loading Text Model: /models/m.gguf",
]  # fmt: skip
OLLAMA = [
    'time=2025-10-02T19:11:03.511+02:00 level=INFO source=types.go:131 msg="inference compute" id=GPU-5f filter_id="" '
    'library=CUDA compute=8.6 name="NVIDIA GeForce RTX 3060" driver=12.4 pci_id=01:00.0 type=discrete '
    'total="11.6 GiB" available="11.2 GiB"',
    'time=2025-10-02T19:11:20.100+02:00 level=INFO source=server.go:431 msg="starting llama server" '
    'cmd="/usr/bin/ollama runner --model /root/.ollama/models/blobs/sha256-aa --ctx-size 16384 --batch-size 512 '
    '--n-gpu-layers 49 --threads 8 --parallel 1 --port 42345"',
]
OLLAMA_END = [
    'time=2025-10-02T19:11:30.020+02:00 level=ERROR source=server.go:472 msg="llama runner terminated" error="exit 2"',
    'time=2025-10-02T19:11:30.120+02:00 level=INFO source=sched.go:470 msg="Load failed" '
    'error="llama runner process has terminated: cudaMalloc failed: out of memory"',
]
STUDIO = ["[2025-08-11 12:00:00][INFO][LM STUDIO SERVER] Loading model qwen3-30b-a3b..."]
WEBUI = [
    '12:00:01-123456 INFO     Loading "Qwen3-30B-A3B.gguf"',
    '12:00:01-223456 INFO     llama.cpp weights detected: "user_data/models/Qwen3-30B-A3B.gguf"',
    "12:00:01-323456 INFO     Using gpu_layers=49 | ctx_size=16384 | cache_type=fp16",
]


@dataclass(frozen=True)
class Logged:
    """A log with what must be found in it."""

    id: str
    text: str
    engine: str
    device: str | None
    size_mib: float | None
    stage: str | None
    layers: int | None = 48


TWO_4090 = (("NVIDIA GeForce RTX 4090", None),) * 2
TWO_3090 = (("NVIDIA GeForce RTX 3090", None),) * 2
P100 = (("Tesla P100-PCIE-16GB", 16013),) * 4
QWEN_235 = Figures(name="Qwen3 235B A22B", quant="IQ3_K - 3.4325 bpw", size="106.830 GiB", layers=94)
R1 = Figures("deepseek2", "DeepSeek R1 0528", "IQ3_K_R4 - 3.4325 bpw", "300.938 GiB", layers=61)
QWEN_122 = Figures("qwen35moe", "Qwen3.5-122B-A10B", size="71.27 GiB", train=262144)
SMALL = Figures(
    cards=(("NVIDIA GeForce RTX 4090", 9862), ("NVIDIA GeForce RTX 5090", 31518)),
    model={"CPU_Mapped": 17447.91, "CUDA0": 135.76, "CUDA1": 648.66},
    kv={"CUDA0": 384.0, "CUDA1": 1152.0},
    compute={"CUDA0": 1080.0, "CUDA1": 1080.0, "CUDA_Host": 36.01},
    flash="0",
)


def bare(figures: Figures) -> Figures:
    """Before anything was allocated."""
    return replace(figures, model={}, kv={}, compute={})


F_500 = replace(
    QWEN_235, context=32768, cache="q8_0", cards=TWO_3090, kv={"CUDA0": 1632.02, "CUDA1": 1564.02},
    model={"CPU": 89709.28, "CUDA_Host": 630.59, "CUDA0": 15831.98, "CUDA1": 3221.75},
)  # fmt: skip
F_384 = replace(F_500, context=8192, kv={"CUDA0": 768.0, "CUDA1": 736.0})
F_437 = replace(
    QWEN_235, context=65536, batch=4096, ubatch=4096, cache="q8_0", cards=TWO_4090,
    kv={"CUDA0": 3196.02, "CUDA1": 3196.02},
    model={"CPU": 92021.73, "CUDA0": 19102.05, "CUDA1": 14312.97},
)  # fmt: skip
F_R1 = replace(
    R1, context=65536, batch=4096, ubatch=4096, cards=TWO_4090, kv={"CUDA0": 1185.77, "CUDA1": 1147.52},
    model={"CPU": 300312.01, "CUDA0": 13995.99, "CUDA1": 13730.03},
)  # fmt: skip
F_RUN = replace(F_R1, context=61440, compute={"CUDA0": 7272.02, "CUDA1": 6632.03})
F_FA0 = replace(
    QWEN_122, context=16384, batch=8192, ubatch=8192, flash="disabled", cards=P100,
    model={"CPU_Mapped": 63315.41, "CUDA0": 1301.21, "CUDA1": 9550.77, "CUDA2": 9550.77, "CUDA3": 1693.13},
    kv=dict.fromkeys(("CUDA0", "CUDA1", "CUDA2", "CUDA3"), 96.0),
)  # fmt: skip
F_TS = replace(
    QWEN_122, context=131072, batch=256, ubatch=256, flash="enabled", cache="q8_0", cards=P100,
    model={"CPU_Mapped": 48401.5, "CUDA0": 13634.49, "CUDA1": 15313.49, "CUDA2": 9755.64, "CUDA3": 14016.26},
    kv={"CUDA0": 272.0, "CUDA1": 544.0, "CUDA2": 408.0, "CUDA3": 408.0},
)  # fmt: skip
GGRUN = bare(replace(SMALL, cards=(("RTX 3090 Ti", 23830), ("RTX 3060", 11790), ("RTX 4070", 11704))))
LOADED = replace(SMALL, kv={}, compute={})
CACHED = replace(SMALL, compute={})
ONE_3060 = (("NVIDIA GeForce RTX 3060", 11469),)
ONE_580 = bare(replace(SMALL, cards=(("AMD Radeon RX 580", 8000),)))
IK = ["/home/me/ik_llama.cpp/build/bin/llama-server"]
NO_VULKAN = [
    "ggml_vulkan: Device memory allocation of size 8934400000 failed.",
    "ggml_vulkan: vk::Device::allocateMemory: ErrorOutOfDeviceMemory",
    "alloc_tensor_range: failed to allocate Vulkan0 buffer of size 8934400000",
    "llama_model_load: error loading model: unable to allocate Vulkan0 buffer",
]
VULKAN = [
    "ggml_vulkan: Found 1 Vulkan devices:",
    "ggml_vulkan: 0 = AMD Radeon RX 580 (RADV POLARIS10) (radv) | uma: 0 | fp16: 0",
]
LATEST = stamped([*lines_2025(F_TS), *refused("CUDA1", 121.27, stage="compute")], "0.12.345.678 I ")
STAMPED = stamped([*lines_2025(LOADED), *refused("CUDA0", 9984.0, stage="context")], "[2025-08-11 12:00:05][DEBUG] ")
READY = ["main: server is listening on http://127.0.0.1:8080"]
KOBOLD_READY = ["Please connect to custom endpoint at http://localhost:5001"]
KOBOLD_FAILED = ["Load Text Model OK: False", "Could not load text model: /models/m.gguf"]
WEBUI_FAILED = ["12:00:09-000000 ERROR    Failed to load the model."]
UNKNOWN = [
    "llama_model_loader: loaded meta data with 30 key-value pairs and 2 tensors from m.gguf (version GGUF V3)",
    "llama_model_load: error loading model: unknown model architecture: 'newest'",
]


def old(device: str, mib: float) -> list[str]:
    return refused(device, mib, stage="compute", style="2024")


def compute(device: str, mib: float) -> list[str]:
    return refused(device, mib, stage="compute")


def cache(device: str, mib: float) -> list[str]:
    return refused(device, mib, stage="context")


def weights(device: str, mib: float) -> list[str]:
    return refused(device, mib, stage="model")


def ollama(figures: Figures) -> list[str]:
    return lines_2025(replace(figures, cards=ONE_3060))


ON_VULKAN = [line.replace("CUDA", "Vulkan") for line in lines_2025(ONE_580)]
GIVEN: tuple[tuple[str, str, list[str], str | None, float | None, str | None], ...] = (
    ("ik500", "ik_llama.cpp", IK + lines_2024(F_500) + old("CUDA0", 360757.13), "CUDA0", 360757.13, "compute"),
    ("ik384", "ik_llama.cpp", IK + lines_2024(F_384) + old("CUDA0", 167771.94), "CUDA0", 167771.94, "compute"),
    ("ik437-r1", "ik_llama.cpp", IK + lines_2024(F_R1) + old("CUDA0", 7688.02), "CUDA0", 7688.02, "compute"),
    ("ik437-running", "llama-server", lines_2024(F_RUN) + crashed(0), "CUDA0", None, "running"),
    ("ik437-qwen", "llama-server", lines_2024(F_437) + old("CUDA0", 2432.02), "CUDA0", 2432.02, "compute"),
    ("p100-fa0", "llama-server", lines_2025(F_FA0) + compute("CUDA0", 18176.0), "CUDA0", 18176.0, "compute"),
    ("p100-ts", "llama-server", lines_2025(F_TS) + compute("CUDA1", 121.27), "CUDA1", 121.27, "compute"),
    ("weights", "llama-server", lines_2025(GGRUN) + weights("CUDA1", 16442.0), "CUDA1", 16442.0, "model"),
    ("cache", "llama-server", lines_2025(LOADED) + cache("CUDA1", 33280.0), "CUDA1", 33280.0, "context"),
    ("newest", "llama-server", LATEST, "CUDA1", 121.27, "compute"),
    ("kobold-weights", "koboldcpp", KOBOLD + lines_2025(GGRUN) + weights("CUDA2", 16442.0), "CUDA2", 16442.0, "model"),
    ("kobold-cache", "koboldcpp", KOBOLD + lines_2025(LOADED) + cache("CUDA0", 9728.0) + KOBOLD_FAILED, "CUDA0", 9728.0,
     "context"),
    ("kobold-running", "koboldcpp", KOBOLD + lines_2025(SMALL) + KOBOLD_READY + crashed(1)[3:], "CUDA1", None,
     "running"),
    ("ollama-compute", "Ollama", OLLAMA + ollama(CACHED) + compute("CUDA0", 11204.02) + OLLAMA_END, "CUDA0", 11204.02,
     "compute"),
    ("ollama-weights", "Ollama", OLLAMA + ollama(bare(SMALL)) + weights("CUDA0", 12208.5) + OLLAMA_END, "CUDA0",
     12208.5, "model"),
    ("lm-studio", "LM Studio", STUDIO + STAMPED, "CUDA0", 9984.0, "context"),
    ("webui", "text-generation-webui", WEBUI + lines_2025(CACHED) + compute("CUDA0", 9464.5) + WEBUI_FAILED, "CUDA0",
     9464.5, "compute"),
    ("vulkan", "llama-server", VULKAN + ON_VULKAN + NO_VULKAN, "Vulkan0", 8934400000 / 2**20, "model"),
    ("started", "llama-server", lines_2025(SMALL) + READY, None, None, None),
    ("bad-model", "llama-server", UNKNOWN, None, None, None),
)  # fmt: skip
LAYERS = {"ik500": 94, "ik384": 94, "ik437-r1": 61, "ik437-running": 61, "ik437-qwen": 94, "bad-model": None}
LOGS: tuple[Logged, ...] = tuple(
    Logged(name, "\n".join(lines) + "\n", engine, device, size, stage, LAYERS.get(name, 48))
    for name, engine, lines, device, size, stage in GIVEN
)
