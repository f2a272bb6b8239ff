"""The embedded engine's flags mean what llama-server's mean, and its process starts, answers and ends as it should."""

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.embedded.command import embedded_command
from splitter.engine.embedded.flags import read_flags
from splitter.engine.engines import rules_of
from splitter.errors import UsageError
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.rig.device import Host, Rig

xllamacpp = pytest.importorskip("xllamacpp")
TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"
PROGRAM = [sys.executable, "-m", "splitter.engine.embedded.server"]


def read(*argv: str) -> Any:
    return read_flags(["-m", "x.gguf", *argv], xllamacpp.CommonParams())


def test_defaults_are_llama_servers() -> None:
    params = read()
    assert (params.model.path, params.port, params.hostnames) == ("x.gguf", 8080, ["127.0.0.1"])
    assert (params.n_parallel, params.kv_unified) == (4, True)
    assert (params.n_ctx, params.n_batch, params.n_ubatch) == (0, 2048, 512)


def test_every_flag_reaches_its_parameter() -> None:
    line = (
        "-c 4096 -ngl 7 -ts 3,3,2 -sm none -mg 1 -b 256 -ub 64 -ctk q8_0 -ctv q4_0 -fa on -np 2 -no-kvu -t 3 "
        "-ncmoe 2 -ot foo=CPU -mm eyes.gguf -md draft.gguf -ngld 5 --host 0.0.0.0 --port 9000 --fit off "
        "--no-mmap --no-op-offload -nkvo --swa-full --no-warmup --metrics --no-jinja"
    )
    params = read(*line.split())
    assert (params.n_ctx, params.n_gpu_layers, params.main_gpu, params.n_batch, params.n_ubatch) == (
        4096,
        7,
        1,
        256,
        64,
    )
    assert params.tensor_split[:4] == [3, 3, 2, 0]
    assert params.split_mode == xllamacpp.llama_split_mode.LLAMA_SPLIT_MODE_NONE
    assert params.cache_type_k == xllamacpp.ggml_type.GGML_TYPE_Q8_0
    assert params.cache_type_v == xllamacpp.ggml_type.GGML_TYPE_Q4_0
    assert params.flash_attn_type == xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    assert (params.n_parallel, params.kv_unified) == (2, False)
    assert (params.cpuparams.n_threads, params.cpuparams_batch.n_threads) == (3, 3)
    experts = r"\.ffn_(up|down|gate|gate_up)_(ch|)exps"
    assert params.tensor_buft_overrides == rf"blk\.0{experts}=CPU,blk\.1{experts}=CPU,foo=CPU"
    assert params.mmproj.path == "eyes.gguf"
    assert (params.speculative.draft.mparams.path, params.speculative.draft.n_gpu_layers) == ("draft.gguf", 5)
    assert (params.hostnames, params.port, params.fit_params) == (["0.0.0.0"], 9000, False)
    assert params.load_mode == xllamacpp.llama_load_mode.LLAMA_LOAD_MODE_NONE
    assert (params.no_op_offload, params.no_kv_offload, params.swa_full) == (True, True, True)
    assert (params.warmup, params.endpoint_metrics, params.use_jinja) == (False, True, False)


def test_device_none_keeps_everything_on_the_host() -> None:
    params = read("-ngl", "99", "--device", "none")
    assert (params.n_gpu_layers, params.no_op_offload) == (0, True)


def test_keys_come_from_the_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("one\n\n two \n", encoding="utf-8")
    assert read("--api-key-file", str(tmp_path / "keys")).api_keys == ["one", "two"]


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--frobnicate"], "does not know '--frobnicate'"),
        (["-c"], "-c needs a value"),
        (["-c", "many"], "'many' is not a whole number"),
        (["-ctk", "q9"], "'q9' is not one of"),
        (["-ts", "a,b"], "not a list of shares"),
        (["--fit", "maybe"], "neither on nor off"),
        (["--spec-type", "magic"], "'magic' is not a --spec-type"),
        (["--device", "CUDA0,CUDA1"], "cannot use --device CUDA0,CUDA1"),
        (["--api-key-file", "nowhere"], "nowhere cannot be read"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(argv: list[str], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        read(*argv)
    assert caught.value.hint


def test_a_model_is_required() -> None:
    with pytest.raises(UsageError, match="no model"):
        read_flags([], xllamacpp.CommonParams())


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def served(port: int, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    (tmp_path / "key").write_text("secret", encoding="utf-8")
    flags = [
        "-m",
        str(TINY),
        "-c",
        "1024",
        "--port",
        str(port),
        "--fit",
        "off",
        "--api-key-file",
        str(tmp_path / "key"),
    ]
    with subprocess.Popen([*PROGRAM, *flags], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_healthy(port)
            yield process
        finally:
            process.kill()


def wait_until_healthy(port: int) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            get(port, "/health")
        except OSError:
            time.sleep(0.02)
        else:
            return
    raise AssertionError("never healthy")


def get(port: int, path: str, body: object = None, key: str = "secret") -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, {"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def test_it_answers_like_llama_server_and_ends_cleanly(served: subprocess.Popen[bytes], port: int) -> None:
    answer = get(port, "/completion", {"prompt": "The card", "n_predict": 16})
    assert answer["tokens_predicted"] == answer["timings"]["predicted_n"] == 16
    assert get(port, "/props")["default_generation_settings"]["n_ctx"] == 1024
    assert len(get(port, "/tokenize", {"content": "The card"})["tokens"]) == 2
    chat = get(port, "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8})
    assert chat["usage"]["completion_tokens"] == 8
    with pytest.raises(urllib.error.HTTPError, match="401"):
        get(port, "/completion", {"prompt": "The"}, key="wrong")
    served.send_signal(signal.SIGTERM)
    assert served.wait(10) == 0


def ended(*flags: str) -> tuple[int, str]:
    done = subprocess.run([*PROGRAM, *flags], capture_output=True, text=True, timeout=60, check=False)
    return done.returncode, done.stderr


def test_failures_have_their_codes_and_sentences(tmp_path: Path, port: int) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(TINY.read_bytes()[:100_000])
    assert ended("--frob")[0] == 2
    code, said = ended("-m", str(tmp_path / "missing.gguf"))
    assert code == 1
    assert "there is no model file" in said
    code, said = ended("-m", str(broken), "--port", str(port))
    assert code == 1
    assert "could not serve" in said


def test_without_the_wheel_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['xllamacpp'] = None; from splitter.engine.embedded import server;"
        "sys.exit(server.main(['-m', 'x']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "pip install 'tensor-splitter[embedded]'" in done.stderr


@pytest.mark.parametrize(
    "settings",
    [
        Settings(context_size=2048, gpu_layers=0, device_order=()),
        Settings(
            context_size=1024,
            gpu_layers=0,
            device_order=(),
            cache_type_k="q8_0",
            cache_type_v="q5_1",
            flash_attention="on",
            parallel=2,
            kv_unified=False,
            swa_full=True,
            kv_offload=False,
            op_offload=False,
            cpu_moe=True,
            override_tensors=("blk.0=CPU",),
            mmap=False,
            threads=2,
            mmproj="eyes.gguf",
            draft_model="draft.gguf",
            draft_gpu_layers=0,
            draft_device_order=(),
            mmproj_device="none",
        ),
    ],
)
def test_whatever_the_planner_writes_is_understood(settings: Settings) -> None:
    plan = evaluate(load_model(str(TINY)), Rig("none", Host(), ()), settings, engine=rules_of("embedded"))
    command = embedded_command(plan, EngineRef("embedded", sys.executable, "2026.10.11549"), Server())
    params = read_flags(command.argv[3:], xllamacpp.CommonParams())
    assert params.model.path == str(TINY)
    assert params.n_ctx == settings.context_size
    assert (params.n_parallel, params.kv_unified) == (settings.parallel, settings.kv_unified)
    assert params.no_kv_offload is not settings.kv_offload
    assert params.mmproj.path == (settings.mmproj or "")


def test_a_draft_model_is_used(port: int) -> None:
    flags = ["-m", str(TINY), "-md", str(TINY), "--spec-type", "draft-simple", "-c", "512", "-np", "1", "--fit", "off"]
    with subprocess.Popen([*PROGRAM, *flags, "--port", str(port)], stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_healthy(port)
            answer = get(port, "/completion", {"prompt": "The card is", "n_predict": 24, "temperature": 0})
        finally:
            process.kill()
    assert answer["timings"]["draft_n_accepted"] > 0
