"""Asks a server for measured answers over HTTP: finds out what serves, sends one request, takes its times."""

import http.client
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from splitter.bench.dialects import (
    KOBOLD,
    LLAMA,
    OPENAI,
    Dialect,
    PromptRequest,
    error_of,
    event_of,
    is_stale,
    kobold_timings,
)
from splitter.bench.prompts import prompt_text
from splitter.bench.result import Arrivals, RunSample, Timings, sample
from splitter.engine.engines import ENGINES
from splitter.engine.http import Answer
from splitter.engine.log.timings import Timing, timings
from splitter.errors import EngineError
from splitter.run.endpoint import ask, connect, headers

PROBE_TIMEOUT_S = 10.0
PERF_TIMEOUT_S, PERF_POLL_S = 2.0, 0.02  # koboldcpp ends its stream before it notes the times


@dataclass(frozen=True, slots=True)
class Target:
    """The server to measure, as it introduced itself; `slot_tokens` is one request's largest context,
    `slots` how many requests it serves at once, `build` its version, each if it says so; `log` gives the last lines of
    its log, where we supervise it."""

    url: str
    api_key: str | None
    timeout_s: float
    dialect: Dialect
    model: str
    slot_tokens: int | None = None
    slots: int | None = None
    build: str | None = None
    log: Callable[[], Sequence[str]] | None = None


@dataclass(frozen=True, slots=True)
class Received:
    """A streamed answer: what the server said of its times, when its events came, in seconds after sending, and, where
    tokens come merged, their texts and whether the answer is as long as it was asked for."""

    said: Timings
    at_s: tuple[float, ...]
    texts: tuple[str, ...] = ()
    whole: bool = False


def identify(url: str, api_key: str | None, model: str | None, timeout_s: float) -> Target:
    """Finds out what serves at `url`. EngineError when nothing does, it still loads, or it wants a key."""
    url = url.rstrip("/").removesuffix("/v1")
    target = Target(url, api_key, timeout_s, OPENAI, model or "")
    props = get(target, "/props")
    if isinstance(props, dict) and isinstance(settings := props.get("default_generation_settings"), dict):
        name = model or str(props.get("model_alias") or props.get("model_path") or "")
        engine = next((engine for engine in ENGINES.values() if engine.introduces(props)), None)
        if engine is not None:
            slots, build = props.get("total_slots"), props.get("build_info")
            limits = replace(target, slot_tokens=settings.get("n_ctx"), slots=slots, build=build and str(build))
            return replace(limits, dialect=replace(LLAMA, name=engine.name), model=name)
    version = get(target, "/api/extra/version")
    if isinstance(version, dict) and version.get("result") == "KoboldCpp":
        return identify_kobold(replace(target, build=version.get("version")))
    listed = get(target, "/v1/models")
    names = [m["id"] for m in listed["data"] if "id" in m] if isinstance(listed, dict) and "data" in listed else []
    if not names:
        raise EngineError(f"{url} is not a supported model server", "give llama-server's or an OpenAI URL")
    return replace(target, model=model or names[0])


def identify_kobold(target: Target) -> Target:
    """koboldcpp's model name and context."""
    named, context = get(target, "/api/v1/model"), get(target, "/api/extra/true_max_context_length")
    name = named.get("result", "") if isinstance(named, dict) else ""
    if name == "inactive":
        raise EngineError(f"koboldcpp at {target.url} serves no model", "start it with a model")
    slot = context.get("value") if isinstance(context, dict) else None
    return replace(target, dialect=KOBOLD, model=target.model or name, slot_tokens=slot)


def get(target: Target, path: str) -> Any:
    """The JSON of a page; None when the server has no such page."""
    with clear_errors(target):
        answer = ask(target.url, path, api_key=target.api_key, timeout_s=min(PROBE_TIMEOUT_S, target.timeout_s))
    refuse(target, answer, absent_is_fine=True)
    return answer.json() if answer.status == 200 else None


def make_prompt(target: Target, words: int, n_prompt: int, seed: int, repetition: int) -> str | Sequence[int]:
    """A new prompt: exactly `n_prompt` token ids where the server takes ids, else `words` words."""
    if n_prompt < 1:
        return []
    text = prompt_text(words, seed, repetition)
    if not target.dialect.takes_ids:
        return text
    ids: list[int] = []
    while len(ids) < n_prompt:
        with clear_errors(target):
            answer = ask(
                target.url, "/tokenize", body={"content": text}, api_key=target.api_key, timeout_s=target.timeout_s
            )
        refuse(target, answer)
        more = (answer.json() or {}).get("tokens")
        if not more:
            raise EngineError(f"{target.url} could not tokenize a prompt", "see the server's log")
        ids += more
    return ids[:n_prompt]


def run_once(target: Target, task: PromptRequest) -> RunSample:
    """One measured request."""
    before = get(target, target.dialect.perf_path) if target.dialect.perf_path else None
    started_s = time.perf_counter()
    got = read_answer(target, task, started_s)
    total_s = time.perf_counter() - started_s
    said = got.said
    if target.dialect.perf_path:
        perf, prompt_tokens = perf_of(target, target.dialect.perf_path, task)
        said = said if is_stale(before, perf) else kobold_timings(perf, prompt_tokens) or said
    arrivals = Arrivals(got.at_s, target.dialect.merges)
    if target.dialect.merges and said.generation_s is None:
        said, arrivals = counted(target, task, got)
    return replace(sample(said, arrivals, total_s), sent_s=started_s)


def counted(target: Target, task: PromptRequest, got: Received) -> tuple[Timings, Arrivals]:
    """The tokens of an answer whose events hold several each: as many as asked for, or counted by the server."""
    empty = count_tokens(target, "") or 0  # the beginning of sequence
    whole = task.n_generate if got.whole else count_tokens(target, "".join(got.texts))
    first, prompt = count_tokens(target, got.texts[0]), count_tokens(target, task.prompt)
    if whole is None or first is None:
        return Timings(prompt), Arrivals(got.at_s[-1:], merged=True)
    generated = whole if got.whole else max(1, whole - empty)
    return Timings(prompt, generated_tokens=generated), Arrivals(got.at_s, True, max(1, first - empty))


def count_tokens(target: Target, text: str | Sequence[int]) -> int | None:
    """How many tokens koboldcpp makes of `text`; None when it does not say."""
    said = post(target, "/api/extra/tokencount", {"prompt": text})
    count = said.get("value") if isinstance(said, dict) else None
    return count if isinstance(count, int) else None


def read_answer(target: Target, task: PromptRequest, started_s: float) -> Received:
    """The answer to `task`, which was sent at `started_s`."""
    said, ended = Timings(), None
    pieces: list[tuple[float, str]] = []
    with clear_errors(target):
        for event in stream(target, target.dialect.body(task)):
            piece = target.dialect.read(event)
            if piece.token:
                pieces.append((time.perf_counter() - started_s, piece.text))
            said, ended = piece.timings or said, piece if piece.done else ended
            if piece.last:
                break
    if ended is None:
        raise died(target)
    if not pieces:
        raise EngineError(f"the model at {target.url} returned no tokens", "measure another model")
    at_s, texts = zip(*pieces, strict=True)
    return Received(said, at_s, texts, ended.whole)


def batch_times(target: Target) -> tuple[Timing, ...]:
    """What the log that we read tells of answers to requests with a name: koboldcpp's batched ones."""
    told = (timing for line in (target.log() if target.log else ()) for timing in timings(line))
    return tuple(timing for timing in told if timing.task is not None and not timing.prompt)


def told_by_log(target: Target, runs: Sequence[RunSample], before: Sequence[Timing]) -> tuple[RunSample, ...]:
    """`runs` with the engine's own times out of its log, where no page told them: `before` stood there already.

    The log names requests by numbers of its own; those that end in the same order belong together.
    """
    if not target.dialect.merges or target.log is None or any(run.timed_by == "engine" for run in runs):
        return tuple(runs)
    until_s = time.perf_counter() + PERF_TIMEOUT_S
    while len(new := [each for each in batch_times(target) if each not in before]) < len(runs):
        if time.perf_counter() > until_s:
            return tuple(runs)
        time.sleep(PERF_POLL_S)
    order = sorted(range(len(runs)), key=lambda i: runs[i].sent_s + runs[i].total_s)
    told = dict(zip(order, new[-len(runs) :], strict=True))
    return tuple(with_time(run, told[i]) for i, run in enumerate(runs))


def with_time(run: RunSample, told: Timing) -> RunSample:
    """`run` with the engine's own time of its answer."""
    tokens, seconds = told.tokens, told.seconds or 0.0
    return replace(run, generated_tokens=tokens, timed_tokens=tokens, generation_s=seconds, timed_by="engine")


def fill(target: Target, task: PromptRequest) -> None:
    """Has llama-server read a prompt into its slot's cache, and generate nothing."""
    body = {**target.dialect.body(task), "n_predict": 0, "stream": False}
    post(target, target.dialect.path, body)


def perf_of(target: Target, path: str, task: PromptRequest) -> tuple[Any, int | None]:
    """koboldcpp's page of times once it is idle again; the prompt's tokens where the page (before 1.94) lacks them."""
    until_s = time.perf_counter() + PERF_TIMEOUT_S
    perf = get(target, path)
    while isinstance(perf, dict) and perf.get("idle") == 0 and time.perf_counter() < until_s:
        time.sleep(PERF_POLL_S)
        perf = get(target, path)
    if not isinstance(perf, dict) or "last_input_count" in perf:
        return perf, None
    return perf, count_tokens(target, task.prompt)


def post(target: Target, path: str, body: Mapping[str, Any]) -> Any:
    """The JSON that answers a POST; None when the server has no such page."""
    with clear_errors(target):
        answer = ask(target.url, path, body=body, api_key=target.api_key, timeout_s=target.timeout_s)
    refuse(target, answer, absent_is_fine=True)
    return answer.json() if answer.status == 200 else None


def stream(target: Target, body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """The events of one streamed answer. EngineError for an error status or an error among the events."""
    connection, base = connect(target.url, target.timeout_s)
    try:
        connection.request("POST", base + target.dialect.path, json.dumps(body), headers(target.api_key))
        response = connection.getresponse()
        if response.status != 200:
            refuse(target, Answer(response.status, response.read()))
        for line in response:
            event = event_of(line)
            if event is not None:
                if said := error_of(event):
                    raise EngineError(f"{target.url} broke off: {said}", "see the server's log")
                yield event
    finally:
        connection.close()


def refuse(target: Target, answer: Answer, *, absent_is_fine: bool = False) -> None:
    """EngineError for an answer that is not 200; a missing page may be fine."""
    if answer.status == 200 or (absent_is_fine and answer.status in {404, 405, 501}):
        return
    if answer.status in {401, 403}:
        raise EngineError(f"{target.url} needs an API key", "give it with --api-key-file")
    said = error_of(body) if isinstance(body := answer.json(), dict) else None
    if answer.status == 503:
        raise EngineError(f"{target.url} is not ready: {said or 'busy'}", "wait until it has loaded, then try again")
    raise EngineError(f"{target.url} answered {answer.status}: {said or 'no reason given'}", "see the server's log")


def died(target: Target) -> EngineError:
    """The connection ended before the answer did."""
    return EngineError(
        f"{target.url} broke off in the middle of an answer", "see the server's log: it may have crashed"
    )


@contextmanager
def clear_errors(target: Target) -> Iterator[None]:
    """Turns what http.client raises into EngineError."""
    try:
        yield
    except ConnectionRefusedError:
        raise EngineError(f"nothing listens at {target.url}", "start the server, or check the port") from None
    except TimeoutError as error:
        if error.errno is not None:  # the system's own limit, not ours
            message = f"{target.url} cannot be reached: {error.strerror}"
            raise EngineError(message, "check that the server still runs, and the URL") from None
        message = f"{target.url} sent nothing for {target.timeout_s:g} s"
        raise EngineError(message, "measure fewer tokens, or allow more time") from None
    except (http.client.HTTPException, ConnectionError):
        raise died(target) from None
    except OSError as error:
        raise EngineError(f"{target.url} cannot be reached: {error.strerror or error}", "check the URL") from None
