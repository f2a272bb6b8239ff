"""HTTP servers that answer a benchmark as llama-server, koboldcpp or an OpenAI server would, or misbehave."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Event = dict[str, Any] | str


class FakeServer(ThreadingHTTPServer):
    """`pages` are GET answers by path, `stream` the events of every POST but /tokenize; `requests` what was posted.

    `behaviour`: `key` wanted, `status` and `error` for every answer, `gap_s` between two events, `wobble_s` more of it
    in every second request, `dies_after` so many streams (the connection then breaks after its first event).
    """

    def __init__(self, pages: dict[str, Any], stream: list[Event], **behaviour: Any) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.stream, self.behaviour = pages, stream, behaviour
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self.streams = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: FakeServer

    def do_GET(self) -> None:
        if not self.refused():
            page = self.server.pages.get(self.path)
            if self.path == "/api/extra/perf" and isinstance(page, dict) and not self.server.behaviour.get("stale"):
                page = {**page, "last_seed": len(self.server.requests)}
            self.answer(404 if page is None else 200, page)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, body))
        if self.path == "/tokenize":
            self.answer(200, {"tokens": [len(word) for word in body["content"].split()]})
        elif self.path == "/api/extra/tokencount":  # with the beginning of sequence
            self.answer(200, {"value": 1 + len(body["prompt"].split())})
        elif self.refused():
            return
        elif body.get("stream") is False:
            self.answer(200, {"content": ""})
        else:
            self.server.streams += 1
            self.send_events()

    def refused(self) -> bool:
        behaviour = self.server.behaviour
        if behaviour.get("key") and self.headers.get("Authorization") != f"Bearer {behaviour['key']}":
            self.answer(401, {"error": {"message": "Invalid API Key", "code": 401}})
        elif behaviour.get("status"):
            self.answer(behaviour["status"], behaviour.get("error"))
        else:
            return False
        return True

    def send_events(self) -> None:
        self.send_response(200)
        self.end_headers()
        behaviour, number = self.server.behaviour, self.server.streams
        dies = number > behaviour.get("dies_after", number)
        gap_s = behaviour.get("gap_s", 0) + (behaviour.get("wobble_s", 0) if number % 2 else 0)
        for event in self.server.stream[: 1 if dies else None]:
            if event == "hang":
                time.sleep(2)
            elif isinstance(event, str):
                self.wfile.write(event.encode() + b"\n\n")
            else:
                self.wfile.write(b"data: " + json.dumps(event).encode() + b"\n\n")
            self.wfile.flush()
            time.sleep(gap_s)

    def answer(self, status: int, page: Any) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(page).encode())

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def serving(pages: dict[str, Any], stream: list[Event], **behaviour: Any) -> Iterator[FakeServer]:
    with FakeServer(pages, stream, **behaviour) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


LLAMA_PAGES = {
    "/props": {"default_generation_settings": {"n_ctx": 2048}, "build_info": "b11434-x", "model_path": "/m/tiny.gguf"}
}
LLAMA_TIMINGS = {"prompt_n": 32, "prompt_ms": 16.0, "predicted_n": 4, "predicted_ms": 40.0}
LLAMA_STREAM: list[Event] = [
    *({"content": f" {i}", "stop": False} for i in range(4)),
    {"content": "", "stop": True, "timings": LLAMA_TIMINGS},
]
KOBOLD_PAGES = {
    "/api/extra/version": {"result": "KoboldCpp", "version": "1.123"},
    "/api/v1/model": {"result": "koboldcpp/tiny"},
    "/api/extra/true_max_context_length": {"value": 4096},
    "/props": {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 1},
    "/api/extra/perf": {
        "last_process": 0.5,
        "last_eval": 10.0,
        "last_token_count": 4,
        "last_input_count": 40,
        "last_process_time": 0.02,
        "last_eval_time": 0.04,
    },
}
KOBOLD_STREAM: list[Event] = [
    *(f'event: message\ndata: {{"token": " {i}", "finish_reason": null}}' for i in range(3)),
    'event: message\ndata: {"token": " 3", "finish_reason": "length"}',
    "hang",  # a keep-alive connection: nobody may wait for its end
]
OPENAI_PAGES = {"/v1/models": {"data": [{"id": "some-model"}]}}
OPENAI_STREAM: list[Event] = [
    *({"choices": [{"text": f" {i}", "finish_reason": None}]} for i in range(3)),
    {"choices": [{"text": " 3", "finish_reason": "length"}]},
    {"choices": [], "usage": {"prompt_tokens": 64, "completion_tokens": 4}},
    "data: [DONE]",
]
