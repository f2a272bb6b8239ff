"""Captured log lines (llama.cpp 11434 on an emulated rig; koboldcpp's from its issues) as events and sentences."""

import pytest

from splitter.engine.koboldcpp.devices import names_in_log
from splitter.engine.log.events import (
    BadModel,
    BufferAllocated,
    Event,
    InvalidArgument,
    LayersOffloaded,
    Loading,
    MissingFile,
    OutOfMemory,
    OwnPlacement,
    PortBusy,
    PortTaken,
    Ready,
    event,
    events,
)
from splitter.engine.log.last_words import last_words
from splitter.units import from_mib


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("0.00.007.231 I srv    load_model: loading model 'examples/tiny.gguf'", Loading("examples/tiny.gguf")),
        ("Loading Text Model: /m/q.gguf", Loading("/m/q.gguf")),
        ("load_tensors: offloaded 41/41 layers to GPU", LayersOffloaded(41, 41)),
        (
            "Autofit Success: 1, Autofit Result: -c 4224 -ngl 43 -ts 8,22,13",
            OwnPlacement("-c 4224 -ngl 43 -ts 8,22,13"),
        ),
        ("Autofit Success: 0, Autofit Result: ", None),
        (
            "0.00.1 T load_tensors:        CUDA0 model buffer size =  6462.50 MiB",
            BufferAllocated("CUDA0", "model", from_mib(6462.5)),
        ),
        (
            "llama_kv_cache:      CUDA1 KV buffer size =   832.00 MiB",
            BufferAllocated("CUDA1", "KV", from_mib(832)),
        ),
        (
            "sched_reserve:  CUDA_Host compute buffer size =    32.02 MiB",
            BufferAllocated("CUDA_Host", "compute", from_mib(32.02)),
        ),
        ("0.00.03 I srv  llama_server: listening on http://127.0.0.1:18972", Ready("http://127.0.0.1:18972")),
        ("main: server is listening on http://127.0.0.1:8080 - starting the main loop", Ready("http://127.0.0.1:8080")),
        ("Please connect to custom endpoint at http://localhost:5001", Ready("http://localhost:5001")),
        (
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 7812.50 MiB on device CUDA0: cudaMalloc failed: "
            "out of memory",
            OutOfMemory("CUDA0", from_mib(7812.5)),
        ),
        (
            "ggml_backend_cuda_buffer_type_alloc_buffer: allocating 6462.87 MiB on device 0: cudaMalloc failed: out of"
            " memory",
            OutOfMemory("CUDA0", from_mib(6462.87)),
        ),
        (
            "0.1 E ggml_backend_buft_alloc_buffer_n_default: failed to allocate CUDA0 buffer of size 8192000000",
            OutOfMemory("CUDA0", 8192000000),
        ),
        ("llama_model_load: error loading model: unable to allocate CUDA1 buffer", OutOfMemory("CUDA1", None)),
        ("CUDA error: out of memory", OutOfMemory(None, None)),
        ("ggml_vulkan: Device memory allocation of size 536870912 failed.", OutOfMemory(None, 536870912)),
        (
            "0.0 E srv         start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 18973",
            PortTaken(18973),
        ),
        ("Warning: Port 5001 already appears to be in use by another program.", PortBusy(5001)),
        ("ERROR: Both IPv4 and IPv6 cannot bind.", PortTaken(None)),
        ("IPv6 Socket Failed to Bind. IPv6 will be unavailable.", None),
        ("IPv4 Socket Failed to Bind.", None),
        (
            "0.0 E llama_model_load: error loading model: tensor 'blk.4.ffn_down.weight' data is not within the file "
            "bounds, model is corrupted or incomplete",
            BadModel(
                "tensor 'blk.4.ffn_down.weight' data is not within the file bounds, model is corrupted or incomplete"
            ),
        ),
        ("Cannot find text model file: /m/none.gguf", MissingFile("/m/none.gguf")),
        ("error: invalid argument: --nonsense", InvalidArgument("--nonsense")),
        (
            "error while handling argument \"-fa\": error: unknown value for --flash-attn: 'maybe'",
            InvalidArgument("\"-fa\": error: unknown value for --flash-attn: 'maybe'"),
        ),
        (
            "koboldcpp.py: error: unrecognized arguments: --usecuda",
            InvalidArgument("--usecuda"),
        ),
        ("llama_context: n_ctx         = 4096", None),
        ("", None),
    ],
)
def test_one_line_one_event(line: str, expected: Event | None) -> None:
    assert event(line) == expected


KV_SHORTAGE = """\
0.00.007.294 I srv    load_model: loading model 'examples/tiny.gguf'
ggml_backend_cuda_buffer_type_alloc_buffer: allocating 7812.50 MiB on device CUDA0: cudaMalloc failed: out of memory
0.00.106.329 E ggml_backend_buft_alloc_buffer_n_default: failed to allocate CUDA0 buffer of size 8192000000
0.00.121.603 E llama_init_from_model: failed to initialize the context: failed to allocate buffer for kv cache
0.00.121.760 E cmn  common_init_: failed to create context with model 'examples/tiny.gguf'
0.00.122.378 E srv  llama_server: exiting due to model loading error
"""
BAD_HEADER = """\
0.00.003.713 E gguf_init_from_reader: number of tensors is -1 but must be in [0, 53624256028225440]
0.00.003.731 E gguf_init_from_reader: failed to read header
0.00.003.852 E llama_model_load: error loading model: llama_model_loader: failed to load model from /tmp/bad.gguf
0.00.003.906 E srv    load_model: failed to load model, '/tmp/bad.gguf'
"""


def test_a_shortage_is_told_with_device_and_size() -> None:
    failure = last_words(KV_SHORTAGE.splitlines())
    assert failure is not None
    assert (failure.kind, failure.sentence) == ("out_of_memory", "CUDA0 had no room for another 7.63 GiB")
    assert "--margin" in failure.hint


def test_the_first_complaint_about_a_file_is_the_telling_one() -> None:
    failure = last_words(BAD_HEADER.splitlines())
    assert failure is not None
    assert failure.kind == "bad_model"
    assert "number of tensors is -1" in failure.sentence


@pytest.mark.parametrize(
    ("line", "kind"),
    [
        ("start: couldn't bind HTTP server socket, hostname: 127.0.0.1, port: 8080", "port_taken"),
        ("error: invalid argument: --fit", "invalid_argument"),
        ("CUDA error: out of memory", "out_of_memory"),
    ],
)
def test_other_failures(line: str, kind: str) -> None:
    failure = last_words(["loading model", line, "exiting"])
    assert failure is not None
    assert failure.kind == kind
    assert failure.hint


CUDA_ERROR = """\
CUDA error: out of memory
  current device: 1, in function alloc at ggml/src/ggml-cuda/ggml-cuda.cu:482
  cuMemCreate(&handle, reserve_size, &prop, 0)
"""


@pytest.mark.parametrize(
    ("devices", "device"),
    [
        ((), "CUDA1"),
        (("CUDA2", "CUDA0", "CUDA1"), "CUDA0"),
        (("ROCm1", "ROCm3"), "ROCm3"),
        (("CUDA0",), "CUDA1"),
    ],
)
def test_a_cuda_error_names_its_device_as_the_plan_does(devices: tuple[str, ...], device: str) -> None:
    failure = last_words(CUDA_ERROR.splitlines(), names_in_log(devices))
    assert failure is not None
    assert failure.sentence == f"{device} had no room for more memory"


def test_vulkan_devices_are_counted_among_the_visible_ones() -> None:
    names = names_in_log(("Vulkan2", "Vulkan0"))
    assert names == {"Vulkan0": "Vulkan2", "Vulkan1": "Vulkan0"}


def test_a_log_that_blames_nothing() -> None:
    assert last_words(["loading model 'x'", "all is well"]) is None
    assert list(events(["nothing", "offloaded 3/4 layers to GPU"])) == [LayersOffloaded(3, 4)]
