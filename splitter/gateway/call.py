"""Call: what a client asked for, in the words of the OpenAI interface, which every backend speaks. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from splitter.gateway.choice import LEVELS, Priority
from splitter.gateway.prefix import Link, chain, chat_blocks, text_blocks
from splitter.gateway.voice import Voice

CHAT, COMPLETIONS, EMBEDDINGS = "/v1/chat/completions", "/v1/completions", "/v1/embeddings"


class BadRequestError(Exception):
    """A request that makes no sense: `message` says what, `status` is HTTP's."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message, self.status = message, status


@dataclass(frozen=True, slots=True)
class Call:
    """`raw` is the body as the client sent it, where it may be passed on as it is. `output_tokens`: the most it wants,
    None: as many as the model likes. `chars` are the prompt's. `later`: the client asks for the answer another time.
    `ignored`: fields that no backend can obey, which the answer's head names."""

    path: str
    body: Mapping[str, Any]
    voice: Voice
    stream: bool
    model: str | None
    raw: bytes | None = None
    links: tuple[Link, ...] = ()
    chars: int = 0
    output_tokens: int | None = None
    vision: bool = False
    priority: Priority | None = None
    wait_s: float | None = None
    later: bool = False
    ignored: tuple[str, ...] = ()

    def to_backend(self, model: str, extra: Mapping[str, Any]) -> bytes:
        """The body that a backend gets which calls the model `model`; `extra` are fields that only it wants."""
        if self.raw is not None and not extra and self.body.get("model") == model:
            return self.raw
        return json.dumps({**self.body, "model": model, **extra}).encode()


def call_of(
    path: str,
    body: Mapping[str, Any],
    voice: Voice,
    *,
    raw: bytes | None = None,
    priority: Priority | None = None,
    wait_s: float | None = None,
) -> Call:
    """The call that `body`, in OpenAI's words, is. BadRequestError where it has no prompt."""
    model = body.get("model")
    if model is not None and not isinstance(model, str):
        raise BadRequestError("`model` must be a text")
    links, chars = chain(_blocks(path, body))
    return Call(
        path,
        body,
        voice,
        bool(body.get("stream")) and path != EMBEDDINGS,
        model or None,
        raw,
        links,
        chars,
        _limit(body),
        path == CHAT and _has_images(body["messages"]),
        priority,
        wait_s,
    )


def _blocks(path: str, body: Mapping[str, Any]) -> Any:
    if path == CHAT:
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
            raise BadRequestError("`messages` must be a list of at least one message")
        return chat_blocks(messages, body.get("tools"))
    field = "input" if path == EMBEDDINGS else "prompt"
    text = body.get(field)
    if text is None or text in ("", []):
        raise BadRequestError(f"`{field}` is missing")
    return text_blocks(text if isinstance(text, str) else json.dumps(text))


def _limit(body: Mapping[str, Any]) -> int | None:
    for name in ("max_completion_tokens", "max_tokens", "n_predict"):
        value = body.get(name)
        if isinstance(value, int) and not isinstance(value, bool) and value > 0:
            return value
    return None


def _has_images(messages: Any) -> bool:
    parts = [part for message in messages if isinstance(message.get("content"), list) for part in message["content"]]
    return any(isinstance(part, dict) and part.get("type") == "image_url" for part in parts)


def priority_of(word: Any) -> Priority | None:
    """A priority as people write it; seed 004 says medium. BadRequestError for another word."""
    if word is None or word == "":
        return None
    name = "normal" if word == "medium" else word
    if name not in LEVELS:
        raise BadRequestError("`priority` must be high, normal or low")
    return cast("Priority", name)


def read_body(raw: bytes) -> dict[str, Any]:
    """The JSON object of a body. BadRequestError for anything else."""
    try:
        body = json.loads(raw or b"{}")
    except (ValueError, RecursionError):
        raise BadRequestError("the body is not JSON") from None
    if not isinstance(body, dict):
        raise BadRequestError("the body must be a JSON object")
    return body
