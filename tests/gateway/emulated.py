"""A llama-server of known speed, without a model: `python -m tests.gateway.emulated PORT --slots 2 --gen 50 ...`.

Pages, events, slots, the cache of each slot and the end of work when the client leaves are as in tools/server b11434. A
token is four characters. `GET /emulated` tells what it did.
"""

import argparse
import asyncio
import json
import time
from typing import Any

from aiohttp import web

CHARS = 4


class Emulated:
    """Slots with a cached prompt each; a request takes the free slot whose cache begins most like its prompt."""

    def __init__(self, model: str, slots: int, prompt_tps: float, gen_tps: float, slope: float) -> None:
        self.model, self.prompt_tps, self.gen_tps, self.slope = model, prompt_tps, gen_tps, slope
        self.caches = [""] * slots
        self.free = set(range(slots))
        self.room = asyncio.Condition()
        self.counts = {"served": 0, "left": 0, "at_work": 0, "most_at_once": 0, "waiting": 0}

    def token_s(self) -> float:
        """Of one request, with what else is at work."""
        return (1 + self.slope * (self.counts["at_work"] - 1)) / self.gen_tps

    async def take(self, prompt: str) -> tuple[int, int]:
        """A slot, and how many tokens of the prompt its cache holds."""
        async with self.room:
            self.counts["waiting"] += 1
            try:
                await self.room.wait_for(lambda: self.free)
            finally:
                self.counts["waiting"] -= 1
            common = {slot: shared(self.caches[slot], prompt) for slot in self.free}
            slot = max(common, key=lambda slot: (common[slot], -slot))
            self.free.discard(slot)
        self.counts["at_work"] += 1
        self.counts["most_at_once"] = max(self.counts["most_at_once"], self.counts["at_work"])
        return slot, common[slot] // CHARS

    async def give(self, slot: int, prompt: str) -> None:
        self.caches[slot] = prompt
        self.counts["at_work"] -= 1
        async with self.room:
            self.free.add(slot)
            self.room.notify()


def shared(one: str, other: str) -> int:
    """The length of their common beginning."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def prompt_of(body: dict[str, Any]) -> str:
    messages = body.get("messages")
    return "".join(f"{m.get('role')}:{m.get('content')}\n" for m in messages) if messages else str(body.get("prompt"))


async def complete(request: web.Request) -> web.StreamResponse:
    engine: Emulated = request.app[ENGINE]
    body = await request.json()
    chat = "messages" in body
    prompt, wanted = prompt_of(body), int(body.get("max_tokens") or 16)
    total = max(len(prompt) // CHARS, 1)
    slot, cached = await engine.take(prompt)
    response: web.StreamResponse | None = None
    began_s = time.perf_counter()
    try:
        fresh = max(total - cached, 1)
        await asyncio.sleep(fresh / engine.prompt_tps)
        read_ms = (time.perf_counter() - began_s) * 1000
        words = [f"w{number} " for number in range(wanted)]
        if body.get("stream"):
            response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
            await response.prepare(request)
        for word in words:
            await asyncio.sleep(engine.token_s())
            if response is not None:
                await response.write(event(engine, piece(chat, word)))
        wrote_ms = (time.perf_counter() - began_s) * 1000 - read_ms
        timings = {"cache_n": cached, "prompt_n": fresh, "prompt_ms": read_ms, "predicted_n": wanted,
                   "predicted_ms": wrote_ms}  # fmt: skip
        usage = {"prompt_tokens": total, "completion_tokens": wanted, "total_tokens": total + wanted,
                 "prompt_tokens_details": {"cached_tokens": cached}}  # fmt: skip
        engine.counts["served"] += 1
        if response is not None:
            last = {**piece(chat, "", "length"), "usage": usage, "timings": timings}
            await response.write(event(engine, last) + b"data: [DONE]\n\n")
            await response.write_eof()
            return response
        text = "".join(words)
        said = {"message": {"role": "assistant", "content": text}} if chat else {"text": text}
        choice = {"index": 0, "finish_reason": "length", **said}
        return web.json_response({"model": engine.model, "usage": usage, "timings": timings, "choices": [choice]})
    except (asyncio.CancelledError, ConnectionError):
        engine.counts["left"] += 1
        raise
    finally:
        await asyncio.shield(engine.give(slot, prompt))


def piece(chat: bool, text: str, reason: str | None = None) -> dict[str, Any]:
    said = {"delta": {"content": text} if text else {}} if chat else {"text": text}
    return {"choices": [{"index": 0, "finish_reason": reason, **said}], "object": "chat.completion.chunk"}


def event(engine: Emulated, data: dict[str, Any]) -> bytes:
    return b"data: " + json.dumps({**data, "model": engine.model}).encode() + b"\n\n"


ENGINE: web.AppKey[Emulated] = web.AppKey("engine", Emulated)


def application(engine: Emulated) -> web.Application:
    """The pages."""
    app = web.Application(client_max_size=1 << 26)
    app[ENGINE] = engine
    pages: dict[str, Any] = {
        "/health": lambda: {"status": "ok"},
        "/props": lambda: {"build_info": "b11434-emulated", "total_slots": len(engine.caches),
                           "model_path": f"/m/{engine.model}", "modalities": {"vision": False, "audio": False},
                           "default_generation_settings": {"n_ctx": 4096}},
        "/v1/models": lambda: {"object": "list", "data": [{"id": engine.model, "object": "model"}]},
        "/emulated": lambda: engine.counts,
    }  # fmt: skip

    def page(make: Any) -> Any:
        async def answer(_request: web.Request) -> web.Response:
            return web.json_response(make())

        return answer

    for path, make in pages.items():
        app.router.add_get(path, page(make))
    for path in ("/v1/chat/completions", "/v1/completions"):
        app.router.add_post(path, complete)
    return app


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--model", default="emulated-7b-q4_k_m.gguf")
    parser.add_argument("--slots", type=int, default=2)
    parser.add_argument("--prompt", type=float, default=2000.0, help="tokens per second")
    parser.add_argument("--gen", type=float, default=100.0, help="tokens per second of one request alone")
    parser.add_argument("--slope", type=float, default=0.0, help="of its time per token, for each one more at work")
    given = parser.parse_args()

    async def make() -> web.Application:
        return application(Emulated(given.model, given.slots, given.prompt, given.gen, given.slope))

    web.run_app(make(), host="127.0.0.1", port=given.port, print=None, handler_cancellation=True, access_log=None,
                shutdown_timeout=0.1)  # fmt: skip


if __name__ == "__main__":
    main()
