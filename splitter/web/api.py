"""The HTTP API: every question of `app.questions` under /api/v1, long work with its events, and its OpenAPI page."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request
from fastapi.responses import JSONResponse, StreamingResponse
from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, create_model

from splitter.app.events import Silent
from splitter.app.keywords import SHORT_SECTIONS
from splitter.app.questions import QUESTIONS, Kind, Question, answered
from splitter.app.wire import envelope, error_item, status_of
from splitter.errors import SplitterError, UsageError
from splitter.profile.keys import KEYS
from splitter.web.reach import Reach
from splitter.web.work import LongWork, Works

ROOT = "/api/v1"
LOOK_S, ALIVE_S = 0.2, 15.0
STATUS: Mapping[str, int] = {
    "usage": 400, "bad_model": 400, "bad_rig": 400, "bad_profile": 400, "bad_records": 400, "error": 400,
    "model_not_found": 404, "engine_not_found": 404, "does_not_fit": 409, "engine_failed": 502, "no_device": 503,
    "bug": 500,
}  # fmt: skip
SHAPES: Mapping[Kind, dict[str, Any]] = {
    "text": {"type": "string"},
    "texts": {"type": "array", "items": {"type": "string"}},
    "integer": {"type": "integer"},
    "integers": {"type": "array", "items": {"type": "integer"}},
    "number": {"type": "number"},
    "boolean": {"type": "boolean"},
}


class ErrorItem(BaseModel):
    """What went wrong, and the next step."""

    code: str
    message: str
    hint: str


class Envelope(BaseModel):
    """The one JSON object, as `--json` prints it."""

    version: int = 1
    command: str
    status: str = Field(description="ok, does_not_fit or error")
    data: Any = None
    errors: list[ErrorItem] = []


def api(reach: Reach, works: Works) -> APIRouter:
    """The routes."""
    router = APIRouter(prefix=ROOT, tags=["splitter"])
    for question in QUESTIONS.values():
        _add(router, question, reach, works)
    _add_work(router, works)
    return router


def _add(router: APIRouter, question: Question, reach: Reach, works: Works) -> None:
    kinds: dict[str, Any] = {"response_model": Envelope, "summary": question.about}
    name = question.name.replace("/", "_").replace("-", "_")
    body = body_of(question)

    def post(values: Annotated[body, Body()] = None) -> JSONResponse:  # type: ignore[valid-type]
        return respond(question, {} if values is None else values.model_dump(exclude_unset=True), reach, works)

    def get(request: Request) -> JSONResponse:
        return respond(question, query_of(question, request), reach, works)

    code = 202 if question.long else 200
    router.add_api_route(f"/{question.name}", post, methods=["POST"], operation_id=f"post_{name}",
                         status_code=code, responses=REFUSALS, **kinds)  # fmt: skip
    if question.reads:
        told = {"parameters": parameters_of(question)}
        router.add_api_route(
            f"/{question.name}", get, methods=["GET"], operation_id=f"get_{name}", openapi_extra=told,
            responses=REFUSALS, **kinds,
        )  # fmt: skip


REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Envelope, "description": "the question makes no sense"},
    409: {"model": Envelope, "description": "it does not fit"},
}


def query_of(question: Question, request: Request) -> dict[str, Any]:
    """The question's values out of the address; a value may stand there several times where it is a list."""
    lists = {field.name for field in question.fields if field.kind in {"texts"}}
    found: dict[str, Any] = {}
    for name, value in request.query_params.multi_items():
        if name in lists:
            found.setdefault(name, []).append(value)
        else:
            found[name] = value
    return found


def respond(question: Question, values: Mapping[str, Any], reach: Reach, works: Works) -> JSONResponse:
    """The answer; for long work what it is called."""
    try:
        reach.check(values)
        if question.long:
            work = works.start(question.name, values)
            return JSONResponse(envelope(question.command, "ok", work.data()), 202)
    except SplitterError as error:
        return refused(question.command, error)
    answer = _asked(question, values)
    return JSONResponse(answer, http_status(answer))


def _asked(question: Question, values: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return answered(question.name, values, Silent())
    except SplitterError as error:
        return envelope(question.command, status_of(error), None, [error_item(error)])
    except RecursionError:
        nested = UsageError("the values are nested too deep", "send plain values")
        return envelope(question.command, "error", None, [error_item(nested)])


def refused(command: str, error: SplitterError) -> JSONResponse:
    """An error as the one JSON object."""
    answer = envelope(command, status_of(error), None, [error_item(error)])
    return JSONResponse(answer, http_status(answer))


def http_status(answer: Mapping[str, Any]) -> int:
    """What HTTP calls it: an object with data is an answer, whatever it says."""
    if answer["status"] == "ok" or answer["data"] is not None or not answer["errors"]:
        return 200
    return STATUS.get(answer["errors"][0]["code"], 400)


def body_of(question: Question) -> type[BaseModel]:
    """What may be sent, for OpenAPI; what a value must be is said by the question itself."""
    fields: dict[str, Any] = {
        field.name: (_typed(SHAPES[field.kind], field.about), Field(default=field.default)) for field in question.fields
    }
    if question.wishes:
        fields |= {name: (_typed(shape, about), None) for name, shape, about in keyword_shapes()}
    title = "".join(part.capitalize() for part in question.name.replace("/", "-").split("-"))
    model: type[BaseModel] = create_model(f"{title}Body", __config__=ConfigDict(extra="allow"), **fields)
    return model


def _typed(shape: Mapping[str, Any], about: str) -> Any:
    return Annotated[Any, WithJsonSchema({**shape, "description": about})]


def keyword_shapes() -> list[tuple[str, dict[str, Any], str]]:
    """The profile's keys by the names that Python's keywords have."""
    kinds: Mapping[str, dict[str, Any]] = {
        "integer": {"type": "integer"},
        "number": {"type": "number"},
        "boolean": {"type": "boolean"},
        "numbers": {"type": "array", "items": {"type": "number"}},
        "texts": {"type": "array", "items": {"type": "string"}},
        "context": {"anyOf": [{"type": "integer"}, {"const": "max"}]},
    }
    listed: list[tuple[str, dict[str, Any], str]] = [("profile", {"type": "string"}, "a profile's name")]
    for key in KEYS:
        section, name = key.section(), key.name()
        if key.path in {"name", "description"} or section == "log":
            continue
        short = name if section in {"", *SHORT_SECTIONS} else key.path.replace(".", "_")
        shape = kinds.get(key.kind, {"type": "string"})
        listed.append((short, {**shape, "enum": list(key.choices)} if key.choices else shape, key.about))
    return listed


def parameters_of(question: Question) -> list[dict[str, Any]]:
    """The same for the address of a GET."""
    listed: list[tuple[str, dict[str, Any], str, bool]] = [
        (field.name, SHAPES[field.kind], field.about, field.required) for field in question.fields
    ]
    if question.wishes:
        listed += [(name, shape, about, False) for name, shape, about in keyword_shapes()]
    return [
        {"name": name, "in": "query", "required": required, "schema": shape, "description": about}
        for name, shape, about, required in listed
    ]


def _add_work(router: APIRouter, works: Works) -> None:
    @router.get("/work", response_model=Envelope, summary="Long work, the newest last.")
    def listed() -> JSONResponse:
        return JSONResponse(envelope("work", "ok", {"work": [work.data() for work in works.all()]}))

    @router.get("/work/{number}", response_model=Envelope, summary="One piece of work.")
    def one(number: str) -> JSONResponse:
        return _of_work(works, number)

    @router.post("/work/{number}/cancel", response_model=Envelope, summary="Stop it.")
    def cancel(number: str) -> JSONResponse:
        return _of_work(works, number, cancels=True)

    @router.get("/work/{number}/events", summary="What it tells, as server-sent events.")
    async def events(number: str, request: Request) -> Any:
        try:
            work = works.get(number)
        except SplitterError as error:
            return refused("work", error)
        return stream(_told(work, request))


def _of_work(works: Works, number: str, *, cancels: bool = False) -> JSONResponse:
    try:
        work = works.get(number)
    except SplitterError as error:
        return refused("work", error)
    if cancels:
        work.cancel()
    return JSONResponse(envelope("work", "ok", work.data()))


async def _told(work: LongWork, request: Request) -> AsyncIterator[str]:
    seen = -1
    async for _ in ticks(request):
        if work.version != seen:
            seen = work.version
            yield event("work", json.dumps(work.data()))
        else:
            yield ""
        if work.ended_at is not None and seen == work.version:
            return


async def ticks(request: Request, look_s: float = LOOK_S) -> AsyncIterator[float]:
    """A turn every `look_s` as long as somebody listens."""
    while not await request.is_disconnected():
        yield time.monotonic()
        await asyncio.sleep(look_s)


def event(name: str, data: str) -> str:
    """One server-sent event."""
    lines = "".join(f"data: {line}\n" for line in data.splitlines() or [""])
    return f"event: {name}\n{lines}\n"


def stream(told: AsyncIterator[str]) -> StreamingResponse:
    """Server-sent events; a word now and then keeps the connection."""

    async def kept() -> AsyncIterator[str]:
        last_s = time.monotonic()
        async for text in told:
            now_s = time.monotonic()
            if text:
                last_s = now_s
                yield text
            elif now_s - last_s > ALIVE_S:
                last_s = now_s
                yield ": alive\n\n"

    return StreamingResponse(kept(), media_type="text/event-stream")
