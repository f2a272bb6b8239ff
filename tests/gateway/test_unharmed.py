"""What one engine alone does, through the gateway: llama-server's answers with tools, and an end at koboldcpp."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.gateway.conftest import House
from tests.gateway.scene import ask, get

CITY = {"type": "object", "properties": {"city": {"type": "string", "enum": ["Oslo"]}}, "required": ["city"]}
ASKED = {
    "model": "tiny.gguf",
    "messages": [{"role": "user", "content": "Weather in Oslo?"}],
    "tools": [{"type": "function", "function": {"name": "weather", "parameters": CITY}}],
    "tool_choice": "required",
    "max_tokens": 24,
    "temperature": 0,
    "cache_prompt": False,
}
OWN = {"id", "created", "timings"}  # of each answer, whoever asks


@contextmanager
def alone(house: House, name: str) -> Iterator[None]:
    """The other backends get no requests."""
    others = [node["name"] for node in get(f"{house.url}/health/nodes")["data"]["nodes"] if node["name"] != name]
    for other in others:
        assert ask(f"{house.url}/health/nodes/{other}/drain", {})[0] == 200
    try:
        yield
    finally:
        for other in others:
            ask(f"{house.url}/health/nodes/{other}/undrain", {})


def same(answer: dict[str, Any]) -> dict[str, Any]:
    """The answer without what differs each time."""
    return {name: value for name, value in answer.items() if name not in OWN}


def events(text: str) -> list[dict[str, Any]]:
    return [same(json.loads(line[6:])) for line in text.splitlines() if line.startswith("data: {")]


def test_llama_servers_answer_to_tools_comes_unharmed(house: House) -> None:
    """The tiny model calls no tool by itself: what it says is compared, event by event."""
    with alone(house, "windows"):
        for stream in (False, True):
            body = {**ASKED, "stream": stream}
            direct, through = (ask(f"{url}/v1/chat/completions", body) for url in (house.llama.url, house.url))
            assert (direct[0], through[0]) == (200, 200)
            if stream:
                assert events(through[1]) == events(direct[1])
                assert len(events(through[1])) > ASKED["max_tokens"]  # type: ignore[operator]
            else:
                assert same(through[1]) == same(direct[1])
                assert through[1]["timings"].keys() == direct[1]["timings"].keys()


def test_a_client_that_leaves_ends_koboldcpps_work(house: House) -> None:
    """It goes on when a connection closes: it must be told."""

    def idle() -> bool:
        return bool(get(f"{house.kobold.url}/api/extra/perf")["idle"])

    with alone(house, "kali"):
        body = {"model": "tiny", "max_tokens": 900, "stream": True, "ignore_eos": True, "messages": ASKED["messages"]}
        data = json.dumps(body).encode()
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(data)}\r\n\r\n"
        with socket.create_connection(("127.0.0.1", house.gateway.port)) as client:
            client.sendall(head.encode() + data)
            client.settimeout(20)
            assert client.recv(12) == b"HTTP/1.1 200"
            assert not idle()
        began_s = time.monotonic()
        while not idle():
            assert time.monotonic() - began_s < 1
            time.sleep(0.02)
        assert get(f"{house.url}/inference/queue")["data"]["running"] == 0
