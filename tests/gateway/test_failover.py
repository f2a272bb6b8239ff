"""Backends die, stop and come back under load: nothing is lost before its first byte, no stream ends in silence."""

import json
import signal
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from splitter.run.endpoint import any_free_port
from tests.gateway import storm
from tests.gateway.scene import ask, emulated, gateway, get, llama_server, opened, wait_up

CHAT = {"model": "emulated-7b", "max_tokens": 4, "messages": [{"role": "user", "content": "hi"}]}


def test_a_storm(tmp_path: Path) -> None:
    """A short one; `python -m tests.gateway.storm` is the whole."""
    told, _ = storm.run(tmp_path, 1200, 32)
    wrong = {word: count for word, count in told.items() if word not in {"whole", "cut, said so"}}
    assert wrong == {}
    assert told["whole"] >= 1150


@pytest.mark.parametrize(("path", "sign"), [("/v1/chat/completions", "stream_cut"), ("/api/chat", "cut the answer")])
def test_a_cut_stream_ends_with_an_error_in_the_clients_dialect(tmp_path: Path, path: str, sign: str) -> None:
    with emulated(tmp_path, "--gen", "20") as engine, gateway(tmp_path, "--backend", engine.url) as door:
        wait_up(door.url, 1)
        threading.Timer(1.0, engine.process.kill).start()
        body = {**CHAT, "stream": True, "max_tokens": 200, "options": {"num_predict": 200}}
        status, text = ask(door.url + path, body)
        assert status == 200
        lines = [line for line in text.splitlines() if line.strip()]
        last = json.loads(lines[-1].removeprefix("data: "))
        assert sign in json.dumps(last["error"])
        assert len(lines) > 5


def test_no_backend_is_an_answer_not_a_hang(tmp_path: Path) -> None:
    settings = "queue: {down_s: 1}"
    with emulated(tmp_path) as engine, gateway(tmp_path, "--backend", engine.url, settings=settings) as door:
        wait_up(door.url, 1)
        engine.process.kill()
        engine.process.wait()
        began_s = time.monotonic()
        status, body = ask(f"{door.url}/v1/chat/completions", CHAT)
        assert (status, body["error"]["code"]) == (503, "backends_down")
        assert time.monotonic() - began_s < 5
        assert ask(f"{door.url}/health", None)[0] == 503


def test_a_gateway_that_stops_finishes_what_it_has(tmp_path: Path) -> None:
    """SIGTERM: streams and waiting requests are answered whole, then it ends with 0."""
    with (
        emulated(tmp_path, "--gen", "40", "--slots", "1") as engine,
        gateway(tmp_path, "--backend", engine.url) as door,
    ):
        wait_up(door.url, 1)
        answers: list[tuple[int, Any]] = []
        body = {**CHAT, "max_tokens": 40, "stream": True}
        threads = [
            threading.Thread(target=lambda: answers.append(ask(f"{door.url}/v1/chat/completions", body)))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        door.process.send_signal(signal.SIGTERM)
        for thread in threads:
            thread.join()
        assert [status for status, _ in answers] == [200] * 3
        assert all("[DONE]" in text for _, text in answers)
        assert door.process.wait(10) == 0


def test_a_client_that_leaves_frees_its_slot(tmp_path: Path) -> None:
    """Both at the gateway and at the real engine, whether it streams or not, at work or waiting."""
    with ExitStack() as stack:
        (engine,) = opened(stack, emulated(tmp_path, "--gen", "10", "--slots", "1"))
        door = stack.enter_context(gateway(tmp_path, "--backend", engine.url))
        wait_up(door.url, 1)
        for stream in (True, False):
            leave(door.port, {**CHAT, "stream": stream, "max_tokens": 500}, after_s=0.5)
            assert freed_s(door.url) < 1
            assert get(f"{engine.url}/emulated")["at_work"] == 0
        states = [row["status"] for row in history(door.url)]
        assert states.count("left") == 2


def test_a_client_that_leaves_ends_llama_servers_work(tmp_path: Path) -> None:
    with llama_server(tmp_path, slots=1) as engine, gateway(tmp_path, "--backend", engine.url) as door:
        wait_up(door.url, 1)
        body = {**CHAT, "model": "tiny", "max_tokens": 900, "ignore_eos": True, "stream": True}
        leave(door.port, body, after_s=0.3)
        began_s = time.monotonic()
        while any(slot["is_processing"] for slot in get(f"{engine.url}/slots")):
            assert time.monotonic() - began_s < 1
            time.sleep(0.02)
        assert get(f"{door.url}/inference/queue")["data"]["running"] == 0


def leave(port: int, body: dict[str, Any], after_s: float) -> None:
    """Sends a request and closes the connection."""
    import socket

    data = json.dumps(body).encode()
    with socket.create_connection(("127.0.0.1", port)) as client:
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        client.sendall(head.encode() + data)
        time.sleep(after_s)


def freed_s(url: str) -> float:
    began_s = time.monotonic()
    while get(f"{url}/inference/queue")["data"]["running"]:
        assert time.monotonic() - began_s < 5
        time.sleep(0.02)
    return time.monotonic() - began_s


def history(url: str) -> list[dict[str, Any]]:
    time.sleep(1.2)
    rows: list[dict[str, Any]] = get(f"{url}/history")["data"]["requests"]
    return rows


def test_a_silent_backend_delays_a_request_and_does_not_lose_it(tmp_path: Path) -> None:
    """The faster one is stopped: it takes connections and answers nothing."""
    port = any_free_port()
    with ExitStack() as stack:
        fast, slow = opened(
            stack,
            emulated(tmp_path, "--gen", "500", port=port, name="fast"),
            emulated(tmp_path, "--gen", "50", name="slow"),
        )
        door = stack.enter_context(gateway(tmp_path, "--backend", fast.url, "--backend", slow.url))
        wait_up(door.url, 2)
        ask(f"{door.url}/v1/chat/completions", CHAT)
        fast.process.send_signal(signal.SIGSTOP)
        began_s = time.monotonic()
        assert ask(f"{door.url}/v1/chat/completions", CHAT)[0] == 200
        assert time.monotonic() - began_s < 12
        fast.process.send_signal(signal.SIGCONT)
