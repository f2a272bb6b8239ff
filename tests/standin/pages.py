"""koboldcpp's HTTP interface: the pages that splitter and its users ask, in the form of each release."""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.standin.backend import Backend
from tests.standin.state import Run

PERF_LATE_S = 0.05  # between the last event of a stream and the new figures
STREAM_WAIT_S, STREAM_POLL_S = 0.35, 0.02  # before a stream's first look for tokens, and between two looks
OUT_OF_MEMORY = (
    "CUDA error: out of memory",
    "  current device: 1, in function alloc at ggml/src/ggml-cuda/ggml-cuda.cu:482",
    "  cuMemCreate(&handle, reserve_size, &prop, 0)",
    "ggml/src/ggml-cuda/ggml-cuda.cu:98: CUDA error",
)


def taken(come: "queue.SimpleQueue[tuple[str, str | None]]") -> tuple[str, str | None]:
    """All tokens that have come, as one text, and why the answer ended."""
    text, reason = "", None
    while not come.empty():
        more, reason = come.get()
        text += more
    return text, reason


class Server(ThreadingHTTPServer):
    """Bound when it is made: only after everything is loaded."""

    daemon_threads = True

    def __init__(self, run: Run, backend: Backend | None) -> None:
        self.run, self.backend = run, backend
        self.perf: dict[str, Any] = dict.fromkeys(("last_process", "last_eval", "last_token_count", "total_gens"), 0)
        self.slots = int(run.get("parallelrequests") or 1)
        self.free, self.at_work, self.batched, self.aborted = threading.Semaphore(self.slots), 0, 0, False
        self.started_s = time.monotonic()
        super().__init__((run.values["host"] or "0.0.0.0", run.port), Page)

    def figures(self) -> dict[str, Any]:
        """/api/extra/perf."""
        return {
            **self.perf,
            "stop_reason": 1,
            "queue": 0,
            "idle": 0 if self.at_work else 1,
            "hordeexitcounter": -1,
            "uptime": int(time.monotonic() - self.started_s),
        }

    def timing_line(self, timings: dict[str, Any], wanted: int) -> str:
        """The line after a request in the wording of the release."""
        read_s, wrote_s = timings["prompt_ms"] / 1000, timings["predicted_ms"] / 1000
        read, wrote = timings["prompt_n"], timings["predicted_n"]
        begin = f"CtxLimit:{read + wrote}/{self.run.context}, "
        if self.run.release >= (1, 112):
            return (
                f"\n[12:00:01] {begin}Init:0.01s, Processed:{read} in {read_s:.2f}s ({read / read_s:.2f}T/s), "
                f"Generated:{wrote}/{wanted} in {wrote_s:.2f}s ({wrote / wrote_s:.2f}T/s), "
                f"Total:{read_s + wrote_s:.2f}s"
            )
        return (
            f"\n{begin}Amt:{wrote}/{wanted}, Init:0.01s, Process:{read_s:.2f}s ({1000 * read_s / read:.1f}ms/T = "
            f"{read / read_s:.2f}T/s), Generate:{wrote_s:.2f}s ({1000 * wrote_s / wrote:.1f}ms/T = "
            f"{wrote / wrote_s:.2f}T/s), Total:{read_s + wrote_s:.2f}s"
        )

    def note(self, timings: dict[str, Any], wanted: int) -> None:
        """Takes over what llama.cpp measured: milliseconds per token, since 1.94 also counts, seconds and speeds."""
        if self.slots > 1:  # its batched path sets none, and has a line of its own
            self.batched += 1
            taken = f"{timings['predicted_n']}/{wanted} in {timings['predicted_ms'] / 1000:.2f}s"
            print(f"BatchRequest:{self.batched}, Prompt:{timings['prompt_n']}, Generated:{taken}", flush=True)
            return
        print(self.timing_line(timings, wanted), flush=True)
        time.sleep(PERF_LATE_S)
        self.perf = {
            "last_process": timings["prompt_ms"] / timings["prompt_n"],
            "last_eval": timings["predicted_ms"] / timings["predicted_n"],
            "last_token_count": timings["predicted_n"],
            "total_gens": self.perf["total_gens"] + 1,
        }
        if self.run.release >= (1, 94):
            self.perf |= {
                "last_input_count": timings["prompt_n"],
                "last_process_time": timings["prompt_ms"] / 1000,
                "last_eval_time": timings["predicted_ms"] / 1000,
                "last_process_speed": timings["prompt_per_second"],
                "last_eval_speed": timings["predicted_per_second"],
            }

    def generate(self, body: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
        """(text, why it ended) for each token; figures follow after the last one."""
        if self.run.fail == "generate":
            sys.stderr.write("\n".join(OUT_OF_MEMORY) + "\n")
            sys.stderr.flush()
            os.abort()
        assert self.backend
        asked = {
            "prompt": body["prompt"],
            "n_predict": body.get("max_length", 200),
            "seed": body.get("sampler_seed", -1),
            "temperature": body.get("temperature", 0.75),
            "ignore_eos": body.get("bypass_eos", False),
        }
        if not self.run.values.get("quiet"):
            print(f"\nInput: {body['prompt']}", flush=True)
        with self.free:
            self.at_work += 1
            self.aborted = False
            try:
                yield from self.pieces(asked)
            finally:
                self.at_work -= 1

    def pieces(self, asked: dict[str, Any]) -> Iterator[tuple[str, str | None]]:
        assert self.backend
        for number, event in enumerate(self.backend.complete(asked)):
            if event["stop"] or self.aborted:
                yield "", "stop" if event.get("stop_type") == "eos" else "length"
                if event["stop"]:
                    self.note(event["timings"], asked["n_predict"])
                return
            if not self.run.values.get("quiet"):  # one line that is written over itself
                sys.stdout.write(f"\rGenerating ({number + 1} / {asked['n_predict']} tokens)")
            yield event["content"], None


class Page(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        run = self.server.run
        protected = bool(run.password)
        pages: dict[str, Any] = {
            "/api/extra/version": {
                "result": "KoboldCpp",
                "version": run.version,
                "protected": protected,
                "llm": run.fail != "inactive",
                "admin": 0,
            },
            "/api/v1/model": {"result": "koboldcpp/protected-model" if protected else run.name},
            "/api/extra/true_max_context_length": {"value": run.context},
            "/api/extra/perf": self.server.figures(),
            "/v1/models": {"object": "list", "data": [{"id": run.name, "object": "model"}]},
        }
        if run.release >= (1, 79):
            pages["/props"] = {"total_slots": 1, "default_generation_settings": {"n_ctx": run.context}}
        if run.release >= (1, 96, 2):
            pages["/ping"] = {"status": "healthy"}
        if self.path in pages:
            self.answer(200, pages[self.path])
        elif self.path == "/slots":
            self.answer(501, {"error": {"message": "not supported"}})
        else:
            self.send(404, "text/html", b"<html><body>Error 404. Not found.</body></html>")

    def do_POST(self) -> None:
        run, server = self.server.run, self.server
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}")
        if self.path == "/api/extra/abort":
            server.aborted = True
            self.answer(200, {"success": "true"})
        elif run.password and self.headers.get("Authorization") != f"Bearer {run.password}":
            self.answer(401, {"detail": {"msg": "Please provide an API key", "type": "bad_input"}})
        elif self.path == "/api/extra/tokencount":
            self.answer(200, self.count(body))
        elif self.path == "/api/v1/generate":
            pieces = list(server.generate(body))
            result = {"text": "".join(text for text, _ in pieces), "finish_reason": pieces[-1][1]}
            self.answer(200, {"results": [result]})
        elif self.path == "/api/extra/generate/stream":
            self.stream(body)
        elif self.path == "/v1/completions":
            self.openai(body)
        elif self.path == "/v1/chat/completions":
            self.chat(body)
        else:
            self.send(404, "text/html", b"<html><body>Error 404. Not found.</body></html>")

    def count(self, body: dict[str, Any]) -> dict[str, Any]:
        assert self.server.backend
        with self.server.backend.ask("POST", "/tokenize", {"content": body["prompt"], "add_special": True}) as answer:
            ids = json.load(answer)["tokens"]
        return {"value": len(ids), "ids": ids}

    def stream(self, body: dict[str, Any]) -> None:
        """Server-sent events: it looks for new tokens now and then, and sends what has come by then as one event."""
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        come: queue.SimpleQueue[tuple[str, str | None]] = queue.SimpleQueue()
        threading.Thread(target=self.fill, args=(body, come), daemon=True).start()
        wait_s, reason = STREAM_WAIT_S, None
        while reason is None:
            time.sleep(wait_s)
            text, reason = taken(come)
            wait_s = STREAM_POLL_S
            if text or reason:
                event = {"token": text, "finish_reason": reason}
                self.wfile.write(f"event: message\ndata: {json.dumps(event)}\n\n".encode())
                self.wfile.flush()
        self.close_connection = True

    def fill(self, body: dict[str, Any], come: "queue.SimpleQueue[tuple[str, str | None]]") -> None:
        for piece in self.server.generate(body):
            come.put(piece)

    def openai(self, body: dict[str, Any]) -> None:
        """Usage in the reply, no timings of llama.cpp."""
        own = {"prompt": body["prompt"], "max_length": body.get("max_tokens", 200)}
        pieces = list(self.server.generate(own))
        choice = {"index": 0, "text": "".join(text for text, _ in pieces), "finish_reason": pieces[-1][1]}
        count = self.server.perf["last_token_count"]
        usage = {"prompt_tokens": self.count(own)["value"], "completion_tokens": count}
        self.answer(200, {"object": "text_completion", "model": self.server.run.name, "choices": [choice],
                          "usage": usage})  # fmt: skip

    def chat(self, body: dict[str, Any]) -> None:
        """Whole or as server-sent events. Work ends by itself or by /api/extra/abort, not when the client leaves."""
        server, asked = self.server, {key: value for key, value in body.items() if key not in {"genkey", "model"}}
        assert server.backend
        text, reason = "", "length"
        with server.free, server.backend.ask("POST", "/v1/chat/completions", {**asked, "stream": True}) as answer:
            server.at_work += 1
            server.aborted = False
            if body.get("stream"):
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.end_headers()
            try:
                for line in answer:
                    if server.aborted:
                        break
                    if not line.startswith(b"data: {"):
                        continue
                    choice = (json.loads(line[6:]).get("choices") or [{}])[0]
                    said = choice.get("delta", {}).get("content") or ""
                    text, reason = text + said, choice.get("finish_reason") or reason
                    shown = {"index": 0, "finish_reason": choice.get("finish_reason"), "delta": {"content": said}}
                    event = {"object": "chat.completion.chunk", "model": server.run.name, "choices": [shown]}
                    if body.get("stream"):
                        self.say(b"data: " + json.dumps(event).encode() + b"\n\n")
            finally:
                server.at_work -= 1
        if body.get("stream"):
            self.say(b"data: [DONE]\n\n")
            self.close_connection = True
            return
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": reason}
        usage = {"prompt_tokens": self.count({"prompt": json.dumps(body["messages"])})["value"],
                 "completion_tokens": len(text.split())}  # fmt: skip
        self.answer(200, {"object": "chat.completion", "model": server.run.name, "choices": [choice], "usage": usage})

    def say(self, data: bytes) -> bool:
        """Whether the client still listens."""
        try:
            self.wfile.write(data)
            self.wfile.flush()
        except OSError:
            return False
        return True

    def answer(self, status: int, page: Any) -> None:
        self.send(status, "application/json", json.dumps(page).encode())

    def send(self, status: int, kind: str, data: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Says nothing."""
