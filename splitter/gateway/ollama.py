"""Ollama's interface: its requests in OpenAI's words, and answers in its own (docs/api.md of ollama 0.12). Pure."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, ClassVar

from splitter.gateway.call import CHAT, COMPLETIONS, EMBEDDINGS, BadRequestError, Call, call_of, priority_of
from splitter.gateway.voice import Voice, choice_of, message_of

OPTIONS = {
    "num_predict": "max_tokens",
    **{
        name: name
        for name in (
            *("temperature", "top_p", "top_k", "min_p", "typical_p", "seed", "stop"),
            *("repeat_penalty", "repeat_last_n", "presence_penalty", "frequency_penalty"),
        )
    },
}
VERSION = "0.12.0"  # the interface that is spoken
MIME = {"iVBOR": "png", "/9j/": "jpeg", "R0lGO": "gif", "UklGR": "webp"}


class OllamaVoice(Voice):
    """Lines of JSON. `field`: what holds the text, a message (chat) or a response (generate)."""

    route = "ollama"
    stream_type: ClassVar[str] = "application/x-ndjson"
    passes = False

    def __init__(self, model: str, now: float) -> None:
        self._model, self._began_s, self._reason = model, now, "stop"
        self._calls: dict[int, dict[str, str]] = {}

    def whole(self, answer: Mapping[str, Any], figures: Mapping[str, Any]) -> bytes:
        said = self.said(message_of(answer), _calls(message_of(answer).get("tool_calls")))
        return self._line({**said, **self._ending(choice_of(answer).get("finish_reason"), figures)})

    def piece(self, event: Mapping[str, Any]) -> bytes:
        """Tool calls come in pieces from OpenAI and whole in Ollama: they are collected and said at the end."""
        delta = message_of(event)
        self._reason = choice_of(event).get("finish_reason") or self._reason
        self._collect(delta.get("tool_calls"))
        if not delta.get("content") and not delta.get("reasoning_content") and not delta.get("reasoning"):
            return b""
        return self._line({**self.said(delta, []), "done": False}) + b"\n"

    def end(self, figures: Mapping[str, Any]) -> bytes:
        calls = _calls([{"function": self._calls[index]} for index in sorted(self._calls)])
        first = self._line({**self.said({}, calls), "done": False}) + b"\n" if calls else b""
        return first + self._line({**self.said({}, []), **self._ending(self._reason, figures)}) + b"\n"

    def error(self, status: int, message: str, code: str) -> bytes:  # noqa: ARG002
        return json.dumps({"error": message}).encode()

    def cut(self, message: str) -> bytes:
        return b"\n" + self.error(502, message, "stream_cut") + b"\n"

    def said(self, message: Mapping[str, Any], calls: list[dict[str, Any]]) -> dict[str, Any]:
        """A chat's message."""
        thinking = message.get("reasoning_content") or message.get("reasoning")
        return {
            "message": {
                "role": "assistant",
                "content": message.get("content") or "",
                **({"thinking": thinking} if thinking else {}),
                **({"tool_calls": calls} if calls else {}),
            }
        }

    def _collect(self, pieces: Any) -> None:
        for number, piece in enumerate(pieces if isinstance(pieces, list) else ()):
            call = self._calls.setdefault(piece.get("index", number), {"name": "", "arguments": ""})
            function = piece.get("function") or {}
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""

    def _line(self, fields: Mapping[str, Any]) -> bytes:
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        return json.dumps({"model": self._model, "created_at": now, **fields}).encode()

    def _ending(self, reason: Any, figures: Mapping[str, Any]) -> dict[str, Any]:
        total_ns = int((datetime.now(UTC).timestamp() - self._began_s) * 1e9)
        return {
            "done": True,
            "done_reason": "length" if reason == "length" else "stop",
            "total_duration": total_ns,
            "load_duration": 0,
            "prompt_eval_count": figures.get("prompt_tokens") or 0,
            "prompt_eval_duration": int((figures.get("prompt_ms") or 0) * 1e6),
            "eval_count": figures.get("output_tokens") or 0,
            "eval_duration": int((figures.get("output_ms") or 0) * 1e6),
        }


class GenerateVoice(OllamaVoice):
    """/api/generate."""

    def said(self, message: Mapping[str, Any], calls: list[dict[str, Any]]) -> dict[str, Any]:  # noqa: ARG002
        thinking = message.get("reasoning_content") or message.get("reasoning")
        return {"response": message.get("content") or "", **({"thinking": thinking} if thinking else {})}


class EmbedVoice(OllamaVoice):
    """/api/embed, and with `single` /api/embeddings."""

    def __init__(self, model: str, now: float, *, single: bool = False) -> None:
        super().__init__(model, now)
        self._single = single

    def whole(self, answer: Mapping[str, Any], figures: Mapping[str, Any]) -> bytes:
        rows = sorted(answer.get("data") or [], key=lambda row: row.get("index", 0))
        vectors = [row.get("embedding") for row in rows]
        if self._single:
            return json.dumps({"embedding": vectors[0] if vectors else []}).encode()
        ending = self._ending("stop", figures)
        kept = {key: ending[key] for key in ("total_duration", "load_duration", "prompt_eval_count")}
        return json.dumps({"model": self._model, "embeddings": vectors, **kept}).encode()


def chat_call(body: Mapping[str, Any], now: float) -> Call:
    """POST /api/chat."""
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise BadRequestError("`messages` must be a list of messages")
    asked = {**common(body), "messages": openai_messages(messages)}
    if body.get("tools"):
        asked["tools"] = body["tools"]
    return _call(CHAT, asked, OllamaVoice(str(body.get("model")), now), body)


def generate_call(body: Mapping[str, Any], now: float) -> Call:
    """POST /api/generate: the model's own template is applied, unless `raw`."""
    voice, asked = GenerateVoice(str(body.get("model")), now), common(body)
    if body.get("suffix"):
        raise BadRequestError("`suffix` is not supported here", 501)
    if body.get("raw"):
        return _call(COMPLETIONS, {**asked, "prompt": body.get("prompt")}, voice, body)
    system = [{"role": "system", "content": body["system"]}] if body.get("system") else []
    user = {"role": "user", "content": body.get("prompt") or "", "images": body.get("images") or []}
    return _call(CHAT, {**asked, "messages": openai_messages([*system, user])}, voice, body)


def embed_call(body: Mapping[str, Any], now: float, *, single: bool = False) -> Call:
    """POST /api/embed, or /api/embeddings with one `prompt`."""
    text = body.get("prompt") if single else body.get("input")
    voice = EmbedVoice(str(body.get("model")), now, single=single)
    return _call(EMBEDDINGS, {"model": body.get("model"), "input": text}, voice, body)


def _call(path: str, asked: Mapping[str, Any], voice: Voice, body: Mapping[str, Any]) -> Call:
    if not isinstance(body.get("model"), str) or not body["model"]:
        raise BadRequestError("model is required")
    call = call_of(path, asked, voice, priority=priority_of(body.get("priority")))
    return replace(call, ignored=ignored(body))


def only_loads(body: Mapping[str, Any]) -> bool:
    """A request without a prompt: Ollama loads the model, or unloads it (keep_alive 0)."""
    return not body.get("prompt") and not body.get("messages") and not body.get("images")


def common(body: Mapping[str, Any]) -> dict[str, Any]:
    """What chat and generate share. What only a start of the engine decides is left out: `ignored`."""
    stream = body.get("stream", True) is not False
    given = body.get("options") if isinstance(body.get("options"), dict) else {}
    asked = {OPTIONS[name]: value for name, value in (given or {}).items() if name in OPTIONS}
    if isinstance(asked.get("max_tokens"), int) and asked["max_tokens"] < 0:
        del asked["max_tokens"]
    return {
        "model": body.get("model"),
        **asked,
        "stream": stream,
        **({"stream_options": {"include_usage": True}} if stream else {}),
        **_format(body.get("format")),
        **_think(body.get("think")),
    }


def ignored(body: Mapping[str, Any]) -> tuple[str, ...]:
    """What Ollama would obey and nobody here can: how long a model stays loaded, the size of its context, its GPUs."""
    options = body.get("options") if isinstance(body.get("options"), dict) else {}
    unknown = sorted(name[:40] for name in options or {} if name not in OPTIONS and name.isidentifier())
    return (*(("keep_alive",) if body.get("keep_alive") is not None else ()), *unknown[:20])


def _format(wanted: Any) -> dict[str, Any]:
    if wanted == "json":
        return {"response_format": {"type": "json_object"}}
    if isinstance(wanted, dict) and wanted:
        return {"response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": wanted}}}
    return {}


def _think(wanted: Any) -> dict[str, Any]:
    """llama-server's templates take `enable_thinking`; the others skip what they do not know."""
    if isinstance(wanted, bool):
        return {"chat_template_kwargs": {"enable_thinking": wanted}}
    if isinstance(wanted, str) and wanted:
        return {"reasoning_effort": wanted, "chat_template_kwargs": {"enable_thinking": True}}
    return {}


def openai_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Ollama's messages: images stand beside the text, arguments of tools are objects, results have no ids."""
    made: list[dict[str, Any]] = []
    open_ids: list[str] = []
    for number, message in enumerate(messages):
        said: dict[str, Any] = {"role": message.get("role"), "content": _content(message)}
        if thinking := message.get("thinking"):
            said["reasoning_content"] = thinking
        if calls := message.get("tool_calls"):
            said["tool_calls"] = [_openai_call(call, f"call_{number}_{i}") for i, call in enumerate(calls)]
            open_ids = [call["id"] for call in said["tool_calls"]]
        if said["role"] == "tool":
            said["tool_call_id"] = open_ids.pop(0) if open_ids else f"call_{number}"
            said |= {"name": name} if (name := message.get("tool_name")) else {}
        made.append(said)
    return made


def _content(message: Mapping[str, Any]) -> Any:
    text, images = message.get("content") or "", message.get("images")
    if not images:
        return text
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}] if text else []
    for image in images:
        kind = next((mime for start, mime in MIME.items() if str(image).startswith(start)), "png")
        parts.append({"type": "image_url", "image_url": {"url": f"data:image/{kind};base64,{image}"}})
    return parts


def _openai_call(call: Any, made_id: str) -> dict[str, Any]:
    function = call.get("function") or {} if isinstance(call, dict) else {}
    arguments = function.get("arguments")
    text = arguments if isinstance(arguments, str) else json.dumps(arguments or {})
    return {"id": made_id, "type": "function", "function": {"name": function.get("name"), "arguments": text}}


def _calls(calls: Any) -> list[dict[str, Any]]:
    """OpenAI's tool calls as Ollama says them: the arguments as an object."""
    made = []
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") or {}
        try:
            arguments = json.loads(function.get("arguments") or "{}")
        except (ValueError, RecursionError):
            arguments = {"arguments": function.get("arguments")}
        made.append({"function": {"name": function.get("name"), "arguments": arguments}})
    return made
