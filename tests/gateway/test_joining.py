"""`splitter launch --join`: an engine enters a gateway, leaves it, and is found again by one that restarted."""

import os
import subprocess
import sys
import time
from pathlib import Path

from splitter.run.endpoint import any_free_port
from tests.gateway.scene import TINY, ask, end, gateway, get, wait_up


def test_an_engine_enters_and_a_restarted_gateway_finds_it_again(tmp_path: Path) -> None:
    door_port, port = any_free_port(), any_free_port()
    env = {**os.environ, **{f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CONFIG", "STATE", "DATA")}}
    with gateway(tmp_path, port=door_port) as door:
        words = [sys.executable, "-m", "splitter", "launch", str(TINY), "--engine", "embedded", "--port", str(port)]
        with (tmp_path / "launch.log").open("wb") as log:
            launched = subprocess.Popen(
                [*words, "-c", "2048", "--join", door.url, "--quiet"], env=env, stdout=log, stderr=log
            )
        try:
            (node,) = wait_up(door.url, 1)
            assert (node["origin"], node["kind"]) == ("joined", "llama-server")
            assert any("tiny" in name for name in node["models"])
            assert node["facts"]["engine"] == "embedded"
            assert node["generation_tokens_per_s"] is not None
            assert "api_key" not in str(node)
            body = {"model": "tiny", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}
            assert ask(f"{door.url}/v1/chat/completions", body)[0] == 200
            door.process.kill()
            door.process.wait()
            with gateway(tmp_path, port=door_port, name="again") as again:
                assert wait_up(again.url, 1)[0]["origin"] == "joined"
                end(launched)
                until_s = time.monotonic() + 5
                while get(f"{again.url}/health/nodes")["data"]["nodes"]:
                    assert time.monotonic() < until_s
                    time.sleep(0.1)
        finally:
            end(launched)
    assert "entered the gateway" in (tmp_path / "launch.log").read_text()


def test_this_machines_instances_are_found(tmp_path: Path) -> None:
    port = any_free_port()
    env = {**os.environ, **{f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CONFIG", "STATE", "DATA")}}
    words = [sys.executable, "-m", "splitter", "launch", str(TINY), "--engine", "embedded", "--port", str(port)]
    with gateway(tmp_path, settings="found: true") as door, (tmp_path / "launch.log").open("wb") as log:
        launched = subprocess.Popen(
            [*words, "-c", "2048", "--quiet", "--name", "mine"], env=env, stdout=log, stderr=log
        )
        try:
            (node,) = wait_up(door.url, 1)
            assert (node["name"], node["origin"]) == ("mine", "found")
        finally:
            end(launched)
