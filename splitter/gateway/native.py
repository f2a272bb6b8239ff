"""The gateway's own routes, POST /chat/ and POST /inference: a prompt in, one object of design.md 3 out. Pure."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from splitter.app.wire import envelope
from splitter.gateway.call import CHAT, Call, call_of, priority_of
from splitter.gateway.voice import Voice, choice_of, message_of

TAKEN = ("temperature", "top_p", "top_k", "min_p", "seed", "stop", "tools", "response_format", "chat_template_kwargs")


class NativeVoice(Voice):
    """Lines of JSON where it streams. `id` is the job's."""

    route = "inference"
    stream_type: ClassVar[str] = "application/x-ndjson"
    passes = False

    def __init__(self, command: str, job: str) -> None:
        self._command, self._job = command, job
        self.node: str | None = None
        self._reason: Any = None

    def whole(self, answer: Mapping[str, Any], figures: Mapping[str, Any]) -> bytes:
        message = message_of(answer)
        done = self._done(answer.get("model"), choice_of(answer).get("finish_reason"), figures)
        return self._object({**done, "response": message.get("content") or "", **_beside(message)})

    def piece(self, event: Mapping[str, Any]) -> bytes:
        message = message_of(event)
        self._reason = choice_of(event).get("finish_reason") or self._reason
        said = {key: value for key, value in {"response": message.get("content"), **_beside(message)}.items() if value}
        return json.dumps({"id": self._job, **said, "done": False}).encode() + b"\n" if said else b""

    def end(self, figures: Mapping[str, Any]) -> bytes:
        return json.dumps({**self._done(None, self._reason, figures), "done": True}).encode() + b"\n"

    def error(self, status: int, message: str, code: str) -> bytes:  # noqa: ARG002
        item = {"code": code, "message": message, "hint": ""}
        return json.dumps(envelope(self._command, "error", {"id": self._job}, [item])).encode()

    def cut(self, message: str) -> bytes:
        return (
            b"\n" + json.dumps({"id": self._job, "done": True, "status": "failed", "error": message}).encode() + b"\n"
        )

    def _done(self, model: Any, reason: Any, figures: Mapping[str, Any]) -> dict[str, Any]:
        named = {"model": model} if model else {}
        return {"id": self._job, "status": "completed", **named, "node": self.node, **figures, "reason": reason}

    def _object(self, data: Mapping[str, Any]) -> bytes:
        return json.dumps(envelope(self._command, "ok", data)).encode()


def _beside(message: Mapping[str, Any]) -> dict[str, Any]:
    """Thinking and tool calls, where there are any."""
    thinking = message.get("reasoning_content") or message.get("reasoning")
    calls = message.get("tool_calls")
    return {**({"thinking": thinking} if thinking else {}), **({"tool_calls": calls} if calls else {})}


def native_call(body: Mapping[str, Any], command: str, job: str) -> Call:
    """`prompt` or `messages`; `system`, `priority`, `timeout` (seconds that it may wait), `stream`, what sampling
    takes, and `wait: false` for a job whose answer is fetched later."""
    messages = body.get("messages")
    if not messages:
        system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
        prompt = body.get("prompt")
        messages = [*system, {"role": "user", "content": prompt}] if isinstance(prompt, str) and prompt else None
    most = body.get("max_tokens") or body.get("max_new_tokens")
    stream = bool(body.get("stream"))
    asked = {
        "model": body.get("model"),
        "messages": messages,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
        **({"max_tokens": most} if most else {}),
        **{name: body[name] for name in TAKEN if body.get(name) is not None},
    }
    wait = body.get("timeout")
    wait_s = float(wait) if isinstance(wait, int | float) and not isinstance(wait, bool) and wait > 0 else None
    voice = NativeVoice(command, job)
    call = call_of(CHAT, asked, voice, priority=priority_of(body.get("priority")), wait_s=wait_s)
    return replace(call, later=body.get("wait") is False and not stream)
