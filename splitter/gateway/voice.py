"""Voice: an answer in the client's own dialect. This one is OpenAI's; bytes pass through it unharmed. Pure."""

import json
from collections.abc import Mapping
from typing import Any, ClassVar

JSON_TYPE = "application/json"


class Voice:
    """OpenAI's: server-sent events, `[DONE]` at the end."""

    route: ClassVar[str] = "openai"
    stream_type: ClassVar[str] = "text/event-stream"
    passes: ClassVar[bool] = True
    """Whether an engine's bytes are the client's; False: they go through `whole`, `piece` and `end`."""

    def whole(self, answer: Mapping[str, Any], figures: "Mapping[str, Any]") -> bytes:  # noqa: ARG002
        """The body of an answer in one piece."""
        return json.dumps(answer).encode()

    def piece(self, event: Mapping[str, Any]) -> bytes:
        """One event of a stream."""
        return b"data: " + json.dumps(event).encode() + b"\n\n"

    def end(self, figures: "Mapping[str, Any]") -> bytes:  # noqa: ARG002
        """What ends a stream."""
        return b"data: [DONE]\n\n"

    def error(self, status: int, message: str, code: str) -> bytes:
        """The body of a refusal."""
        kind = "invalid_request_error" if status < 500 and status != 429 else "server_error"
        return json.dumps({"error": {"message": message, "type": kind, "code": code, "param": None}}).encode()

    def cut(self, message: str) -> bytes:
        """The event that ends a stream which the backend cut. The client's library raises it."""
        return b"\n\ndata: " + self.error(502, message, "stream_cut") + b"\n\n"


OPENAI = Voice()


def choice_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first choice of an answer or event; {} where it has none."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices else {}
    return first if isinstance(first, Mapping) else {}


def message_of(answer: Mapping[str, Any]) -> Mapping[str, Any]:
    """The message of an answer, or the delta of an event."""
    choice = choice_of(answer)
    said = choice.get("message") or choice.get("delta") or {"content": choice.get("text")}
    return said if isinstance(said, Mapping) else {}
