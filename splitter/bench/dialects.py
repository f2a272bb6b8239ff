"""How each kind of server is asked for a measured answer, and how its stream is read.

llama-server (and embedded): POST /completion, whose last event holds `timings` (tools/server, b11434). koboldcpp: POST
/api/extra/generate/stream, then GET /api/extra/perf. Anything else: the OpenAI interface, timed by our clock.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splitter.bench.result import Timings
from splitter.engine.koboldcpp.engine import KOBOLDCPP
from splitter.engine.llama_server.engine import LLAMA_SERVER


@dataclass(frozen=True, slots=True)
class PromptRequest:
    """One request: the prompt as text or as the model's token ids.

    `slot` is the llama-server slot whose cache holds the prompt's beginning; None: nothing is taken from a cache.
    """

    prompt: str | Sequence[int]
    n_generate: int
    seed: int
    model: str
    slot: int | None = None


@dataclass(frozen=True, slots=True)
class Piece:
    """One event of a stream: a token, the end of the answer or of the stream, what the engine says of its times.

    `text` is the event's, `whole`: the answer is as long as it was asked for; both only where tokens come merged.
    """

    token: bool = False
    done: bool = False
    last: bool = False
    timings: Timings | None = None
    text: str = ""
    whole: bool = False


@dataclass(frozen=True, slots=True)
class Dialect:
    """`perf_path` is a page that tells the times after the stream, for servers whose stream does not. `takes_ids`: a
    prompt may be token ids, which /tokenize makes, and keep to a slot whose cache it finds again. `merges`: an event of
    the stream may hold several tokens."""

    name: str
    path: str
    body: Callable[[PromptRequest], dict[str, Any]]
    read: Callable[[Mapping[str, Any]], Piece]
    perf_path: str | None = None
    takes_ids: bool = False
    merges: bool = False


def llama_body(task: PromptRequest) -> dict[str, Any]:
    """llama-server's own /completion: no early end; a cached prompt only where the task names its slot."""
    slot = {} if task.slot is None else {"id_slot": task.slot}
    return {
        "prompt": task.prompt,
        "n_predict": task.n_generate,
        "seed": task.seed,
        "temperature": 0,
        "cache_prompt": task.slot is not None,
        "ignore_eos": True,
        "stream": True,
        **slot,
    }


def llama_piece(event: Mapping[str, Any]) -> Piece:
    """The last event has `stop` true and the timings."""
    if not event.get("stop"):
        return Piece(token="content" in event)
    return Piece(done=True, last=True, timings=llama_timings(event.get("timings")))


def llama_timings(said: Any) -> Timings | None:
    """`timings` of a llama.cpp server; None when there are none.

    Its clock of the generation starts with the first token (tools/server, b11434: the rate counts one token fewer).
    """
    if not isinstance(said, dict) or not {"prompt_n", "prompt_ms", "predicted_n", "predicted_ms"} <= said.keys():
        return None
    times = said["prompt_ms"] / 1000, said["predicted_ms"] / 1000
    drafted = said.get("draft_n"), said.get("draft_n_accepted")  # only where something was drafted
    return Timings(said["prompt_n"], times[0], said["predicted_n"], times[1], True, *drafted)


def openai_body(task: PromptRequest) -> dict[str, Any]:
    """/v1/completions with the token counts at the end; `ignore_eos` is llama.cpp's and vLLM's, others skip it."""
    return {
        "model": task.model,
        "prompt": task.prompt,
        "max_tokens": task.n_generate,
        "seed": task.seed,
        "temperature": 0,
        "ignore_eos": True,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def openai_piece(event: Mapping[str, Any]) -> Piece:
    """A choice is a token; the usage follows the last one, then `[DONE]`. llama.cpp behind a proxy adds its timings."""
    if not event:
        return Piece(done=True, last=True)
    usage = event.get("usage")
    timings = llama_timings(event.get("timings"))
    if timings is None and isinstance(usage, dict):
        timings = Timings(prompt_tokens=usage.get("prompt_tokens"), generated_tokens=usage.get("completion_tokens"))
    choices = event.get("choices") or [{}]
    return Piece(token=bool(choices[0].get("text")), timings=timings, done=bool(choices[0].get("finish_reason")))


def kobold_body(task: PromptRequest) -> dict[str, Any]:
    """koboldcpp's own generate call."""
    return {
        "prompt": task.prompt,
        "max_length": task.n_generate,
        "sampler_seed": task.seed,
        "temperature": 0.01,
        "bypass_eos": True,
    }


def kobold_piece(event: Mapping[str, Any]) -> Piece:
    """The tokens since koboldcpp last looked, every 20 ms, and with the last ones the reason for the end."""
    text, reason = str(event.get("token") or ""), event.get("finish_reason")
    done = reason not in {None, "null"}
    return Piece(token=bool(text), done=done, last=done, text=text, whole=reason == "length")


def kobold_timings(perf: Any, prompt_tokens: int | None = None) -> Timings | None:
    """/api/extra/perf of koboldcpp: milliseconds per token in every release, from which the times follow.

    The prompt's token count is there since 1.94; `prompt_tokens` stands in for it before.
    """
    if not isinstance(perf, dict) or not {"last_process", "last_eval"} <= perf.keys():
        return None
    prompt, generated = perf.get("last_input_count", prompt_tokens), perf.get("last_token_count")
    if prompt is None or generated is None:
        return Timings(prompt, generated_tokens=generated)
    return Timings(prompt, perf["last_process"] * prompt / 1000, generated, perf["last_eval"] * generated / 1000)


def is_stale(before: Any, after: Any) -> bool:
    """Whether koboldcpp's times are still an older request's: with --parallelrequests they are never renewed."""
    if not isinstance(before, dict) or not isinstance(after, dict):
        return False
    return all(value == before.get(key) for key, value in after.items() if key.startswith("last_"))


LLAMA = Dialect(LLAMA_SERVER.name, "/completion", llama_body, llama_piece, takes_ids=True)
KOBOLD = Dialect(
    KOBOLDCPP.name, "/api/extra/generate/stream", kobold_body, kobold_piece, KOBOLDCPP.slots_path, merges=True
)
OPENAI = Dialect("openai", "/v1/completions", openai_body, openai_piece)


def event_of(line: bytes) -> Mapping[str, Any] | None:
    """The JSON object of one line of a server-sent event stream; None for every other line. `data: [DONE]` is {}."""
    field, _, text = line.strip().partition(b":")
    if field not in {b"data", b"error"}:
        return None
    if text.strip() == b"[DONE]":
        return {}
    try:
        event = json.loads(text)
    except ValueError:
        return None
    return event if isinstance(event, dict) else None


def error_of(event: Mapping[str, Any]) -> str | None:
    """The error an answer carries: {"error": {"message"}}, {"error": text} or {"detail": {"msg"}}; None without one."""
    for key in ("error", "detail"):
        said = event.get(key)
        if isinstance(said, dict):
            return str(said.get("message") or said.get("msg") or said)
        if said:
            return str(said)
    return None
