"""The real llama-server on an emulated rig: launched, ready, asked, measured, stopped; and every way it can fail."""

import http.client
import json
import re
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from splitter.bench.measure import measure
from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.supervision import UNSUPERVISED
from splitter.errors import EngineError
from splitter.run.endpoint import any_free_port, is_free
from splitter.run.log_file import LogFile
from splitter.run.supervisor import Instance, launch
from tests.engine.oracle import RIGS, RigRow, engine_dir

pytestmark = [pytest.mark.engine, pytest.mark.usefixtures("no_process_left")]

TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"


def command(
    rig: Sequence[RigRow], *flags: str, model: Path = TINY, port: int | None = None, key: Path | None = None
) -> EngineCommand:
    """What the planner would write, by hand: every device of `rig`, nothing left to the engine."""
    engine = engine_dir()
    server = Server(port=port or any_free_port(), api_key_file=str(key) if key else None)
    argv = (
        str(engine.binary("llama-server")),
        *("-m", str(model), "--device", ",".join(f"CUDA{i}" for i in range(len(rig))), "-ngl", "99", "--fit", "off"),
        *("--host", server.host, "--port", str(server.port)),
        *(("--api-key-file", str(key)) if key else ()),
        *flags,
    )
    return EngineCommand(EngineRef("llama-server", argv[0]), argv, engine.env(rig), server, str(model))


def post(instance: Instance, path: str, body: object) -> Any:
    request = urllib.request.Request(
        instance.url + path, json.dumps(body).encode(), {"Authorization": f"Bearer {instance.api_key}"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_the_whole_way_on_phoenix(tmp_path: Path) -> None:
    log = tmp_path / "engine.log"
    planned = command(RIGS["phoenix"], "-ts", "3,3,3", "-c", "2048", "-lv", "4")
    with launch(planned, on_log=LogFile(log).write) as instance:
        instance.wait_ready()
        answer = post(
            instance, "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 24}
        )
        result = measure(instance.url, n_prompt=64, n_generate=16, repetitions=2)
        pid = instance.pid
    assert answer["usage"]["completion_tokens"] == 24
    assert answer["choices"][0]["message"]["content"].replace("\n", " ").isprintable()
    assert [(run.prompt_tokens, run.generated_tokens, run.timed_by) for run in result.runs] == [(64, 16, "engine")] * 2
    assert result.model.endswith("tiny.gguf")
    assert (instance.phase, instance.exit_code) == ("exited", 0)
    assert not psutil.pid_exists(pid)
    assert is_free(planned.server.host, planned.server.port)
    written = log.read_text(encoding="utf-8")
    for device in ("CUDA0", "CUDA1", "CUDA2"):
        assert f"{device} model buffer size" in written


def test_with_a_key(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a-secret\n", encoding="utf-8")
    with launch(command(RIGS["single-3060"], "-c", "512", key=key)) as instance:
        instance.wait_ready()
        assert post(instance, "/tokenize", {"content": "a card"})["tokens"]
        with pytest.raises(EngineError, match="needs an API key"):
            measure(instance.url, n_prompt=8, n_generate=8)
        assert measure(instance.url, api_key=instance.api_key, n_prompt=8, n_generate=8, repetitions=1).runs
    assert "a-secret" not in " ".join([*instance.command.argv, *instance.lines])


def failure(planned: EngineCommand) -> EngineError:
    """The error of a launch that must fail, with the engine gone and its port free."""
    with pytest.raises(EngineError) as caught, launch(planned) as instance:
        instance.wait_ready()
    assert caught.value.exit_code == 4
    assert caught.value.hint
    return caught.value


def test_no_memory_for_the_cache_names_the_device() -> None:
    rig = (("Small", 64, 3, 10), ("Large", 8192, 8000, 400))
    error = failure(command(rig, "-ts", "1,1", "-c", "65536"))
    assert re.fullmatch(r"llama-server ended while it loaded: CUDA0 had no room for another \d+ MiB", error.message)
    assert "--margin" in error.hint


def test_no_memory_for_the_weights_names_the_device() -> None:
    rig = (("Large", 8192, 8000, 400), ("Small", 64, 0, 10))
    error = failure(command(rig, "-ts", "1,7", "-c", "512"))
    assert "CUDA1 had no room for another" in error.message


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    assert "nowhere.gguf" in failure(command(RIGS["single-3060"], model=tmp_path / "nowhere.gguf")).message


def test_a_truncated_model(tmp_path: Path) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(TINY.read_bytes()[:60_000])
    assert "corrupted or incomplete" in failure(command(RIGS["single-3060"], model=broken)).message


def test_a_flag_the_engine_does_not_know() -> None:
    assert "--bogus" in failure(command(RIGS["single-3060"], "--bogus")).message


def test_a_port_that_another_program_holds() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        error = failure(command(RIGS["single-3060"], port=port))
    assert f"port {port} on 127.0.0.1 is already used" in error.message


def test_stopped_while_it_loads() -> None:
    with launch(command(RIGS["phoenix"], "-c", "2048")) as instance:
        pass
    assert instance.phase == "exited"


def test_killed_by_somebody_else() -> None:
    with launch(command(RIGS["single-3060"], "-c", "512")) as instance:
        instance.wait_ready()
        psutil.Process(instance.pid).kill()
        with pytest.raises(EngineError, match="killed by SIGKILL"):
            instance.wait(20)


def test_it_dies_while_it_is_measured() -> None:
    with launch(command(RIGS["single-3060"], "-c", "4096")) as instance:
        instance.wait_ready()

        def kill_after_warm_up(done: int, _all: int) -> None:
            if done == 1:
                psutil.Process(instance.pid).kill()

        with pytest.raises(EngineError, match=r"broke off|nothing listens"):
            measure(instance.url, n_prompt=16, n_generate=8, repetitions=3, on_progress=kill_after_warm_up)


def test_a_request_in_flight_does_not_keep_it_alive() -> None:
    """llama-server b11434 often hangs after one SIGINT while it streams, and leaves with 1 on the next signal."""
    with launch(
        command(RIGS["single-3060"], "-c", "4096"),
        supervision=replace(UNSUPERVISED, terminate_after_s=0.5, stop_timeout_s=5.5),
    ) as instance:
        instance.wait_ready()
        connection = http.client.HTTPConnection("127.0.0.1", instance.command.server.port)
        body = json.dumps({"prompt": "The card", "n_predict": 4000, "stream": True})
        connection.request("POST", "/completion", body, {"Content-Type": "application/json"})
        connection.getresponse().readline()
    assert instance.phase == "exited"
    assert instance.exit_code in {0, 1}
    connection.close()


def test_the_example_model_spreads_over_three_cards_when_made_larger(tmp_path: Path) -> None:
    larger = tmp_path / "larger.gguf"
    script = TINY.with_name("make_model.py")
    subprocess.run([sys.executable, str(script), "-o", str(larger), "--layers", "11", "--embd", "256"], check=True)
    planned = command(RIGS["phoenix"], "-ts", "4,4,4", "-c", "512", "-lv", "4", model=larger)
    with launch(planned) as instance:
        instance.wait_ready()
        assert len(post(instance, "/completion", {"prompt": "A", "n_predict": 4})["content"]) > 0
    assert sum("model buffer size" in line and "CUDA" in line for line in instance.lines) == 3
