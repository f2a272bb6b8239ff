"""Passes a request to a backend and its answer back: replayed elsewhere only before the first byte, never after it.

aiohttp and not httpx: tests/timing/gateway_cost.py measures both.
"""

import asyncio
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import aiohttp

from splitter.gateway.backend import GatewayBackend, Lease
from splitter.gateway.call import EMBEDDINGS, Call
from splitter.gateway.door import FrontDoor, RefusedError
from splitter.gateway.exchange import Exchange
from splitter.gateway.figures import TAIL, Figures, figures_of, figures_of_tail
from splitter.gateway.native import NativeVoice
from splitter.gateway.record import RequestRecord
from splitter.gateway.voice import JSON_TYPE

MOST_ATTEMPTS = 6
ELSEWHERE = frozenset({408, 425, 429, 502, 503, 504})  # answers that another backend may not give
CANNOT = frozenset({404, 405, 501})  # it has no such route
CONNECT_S = 3.0
HOP = "X-Splitter-Gateway"
MOST_TEXT = 200_000  # characters of an answer that the history keeps


class FailedError(Exception):
    """A backend gave no answer and no byte of it is out. `blames`: it is left alone for a while; `answer`: what it
    said, for the client when nobody else can be asked."""

    def __init__(
        self,
        reason: str,
        *,
        blames: bool = True,
        retry_after_s: float | None = None,
        answer: tuple[int, bytes] | None = None,
    ) -> None:
        super().__init__(reason)
        self.reason, self.blames, self.retry_after_s, self.answer = reason, blames, retry_after_s, answer


class CutError(Exception):
    """A backend's answer ended in the middle: part of it is out."""


@dataclass(slots=True)
class Relayed:
    """What came of a request that was passed on: HTTP's status, and what the engine said of itself."""

    status: int
    figures: Figures


class Relay:
    """Passes requests on through one pool of connections."""

    def __init__(self, door: FrontDoor, *, keep_text: bool) -> None:
        self._door, self._keep_text = door, keep_text
        connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=15)
        waits = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S)
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=waits,
            auto_decompress=False,
            read_bufsize=1 << 18,
            trust_env=False,
            cookie_jar=aiohttp.DummyCookieJar(),  # what a backend sets for one client is not sent for another
        )

    async def close(self) -> None:
        await self._session.close()

    async def serve(self, call: Call, ask: Any, exchange: Exchange, record: RequestRecord, wait_s: float) -> None:
        """The whole of it. RefusedError where nobody answered."""
        door, end_s = self._door, self._door.now_s() + wait_s
        arrived_s = door.now_s()
        record.expected_queue_s = door.wait_s(ask)
        last: FailedError | None = None
        stale = False
        while record.attempts < MOST_ATTEMPTS and not (last and last.answer and self._nobody_else(ask)):
            lease = await door.place(ask, max(end_s - door.now_s(), 0.0))
            record.attempts += 1
            record.backend, record.status = lease.backend.name, "running"
            record.queue_s, record.expected_s = lease.started_s - arrived_s, lease.expected_s
            try:
                answered = await self._pass_on(call, lease, exchange, record)
            except FailedError as failed:
                last = failed
                ask = self._after(failed, lease, ask, stale=stale)
                stale = True
            except asyncio.CancelledError:
                await self._end_at_engine(lease.backend, record)
                raise
            else:
                _note(record, answered, lease, door.now_s(), arrived_s)
                if answered.status < 400:
                    door.succeeded(lease, call, answered.figures)
                return
            finally:
                door.release(lease)
            record.status = "waiting"
        await self._give_up(call, exchange, record, last)

    def _nobody_else(self, ask: Any) -> bool:
        return not any(view.can(ask) for view in self._door.views())

    def _after(self, failed: FailedError, lease: Lease, ask: Any, *, stale: bool) -> Any:
        """What a failure teaches; the request as it is asked again. A kept connection that was closed meanwhile blames
        nobody the first time."""
        backend = lease.backend
        if failed.answer is not None and not failed.blames:
            return replace(ask, avoid=ask.avoid | {backend.name})
        if failed.blames or stale:
            self._door.failed(backend, failed.reason, failed.retry_after_s)
        return ask

    async def _give_up(self, call: Call, exchange: Exchange, record: RequestRecord, last: FailedError | None) -> None:
        if last is not None and last.answer is not None:
            status, data = last.answer
            record.status, record.code, record.error = "failed", status, last.reason
            message = message_in(data) or last.reason
            body = data if call.voice.passes else call.voice.error(status, message, "backend")
            await exchange.answer(status, JSON_TYPE, body, {"x-request-id": record.id})
            return
        reason = last.reason if last else "nobody was asked"
        raise RefusedError(502, "backends_failed", f"{record.attempts} backends failed: {reason}", 2)

    async def _pass_on(self, call: Call, lease: Lease, exchange: Exchange, record: RequestRecord) -> Relayed:
        """One try. FailedError before the first byte; what goes wrong later ends the stream with an explicit event."""
        try:
            return await self._guarded(call, lease, exchange, record)
        except (TimeoutError, aiohttp.ClientError, OSError, CutError) as error:
            reason = lease.aborted or _words(error)
            if not exchange.started:
                kept = isinstance(error, aiohttp.ServerDisconnectedError) and not lease.aborted
                raise FailedError(reason, blames=not kept) from None
            self._door.failed(lease.backend, f"a stream was cut: {reason}")
            record.status, record.error = "cut", reason
            await exchange.send(
                call.voice.cut(f"the backend {lease.backend.name} cut the answer: {reason}"), more=False
            )
            return Relayed(502, Figures())

    async def _guarded(self, call: Call, lease: Lease, exchange: Exchange, record: RequestRecord) -> Relayed:
        backend = lease.backend
        headers = {"Content-Type": JSON_TYPE, "X-Request-Id": record.id, HOP: record.gateway}
        if backend.api_key:
            headers["Authorization"] = f"Bearer {backend.api_key}"
        most = self._door.settings.limits.output_tokens
        extra = {"max_tokens": most} if most and call.output_tokens is None and call.path != EMBEDDINGS else {}
        body = call.to_backend(backend.called(lease.ask.models), {**extra, **_named(backend, record)})
        async with asyncio.timeout(None) as lease.guard:
            async with self._session.post(
                backend.url + call.path, data=body, headers=headers, allow_redirects=False
            ) as answer:
                if answer.status != 200:
                    return await self._not_ok(call, answer, exchange, record)
                if call.stream and answer.content_type == "text/event-stream":
                    return await self._stream(call, lease, answer, exchange, record)
                return await self._whole(call, lease, answer, exchange, record)

    async def _not_ok(self, call: Call, answer: Any, exchange: Exchange, record: RequestRecord) -> Relayed:
        data = await answer.read()
        status = answer.status
        said = message_in(data) or f"it answered {status}"
        if status in ELSEWHERE:
            raise FailedError(said, retry_after_s=_retry_after(answer.headers.get("Retry-After")), answer=None)
        if status in CANNOT or 300 <= status < 400:
            raise FailedError(said, blames=False, answer=(501 if status < 400 else status, data))
        record.status, record.error = "failed", said
        body = data if call.voice.passes else call.voice.error(status, said, "backend")
        kind = answer.content_type if call.voice.passes else JSON_TYPE
        await exchange.answer(status, kind, body, {"x-request-id": record.id})
        return Relayed(status, Figures())

    async def _whole(self, call: Call, lease: Lease, answer: Any, exchange: Exchange, record: RequestRecord) -> Relayed:
        data = await answer.read()
        lease.first_s = lease.last_s = self._door.now_s()
        headers = _headers(lease.backend, record, call)
        if call.voice.passes:
            await exchange.answer(200, answer.content_type, data, headers)
            parsed = _parsed(data)
            figures = figures_of(parsed, reason_in(parsed))
        else:
            parsed = _parsed(data)
            if not parsed:
                raise FailedError("its answer is not JSON")
            figures = figures_of(parsed, reason_in(parsed))
            _tell_node(call, lease)
            body = call.voice.whole(parsed, figures.data())
            await exchange.answer(200, JSON_TYPE, body, headers)
        if self._keep_text:
            record.answer = text_in(parsed)[:MOST_TEXT]
        return Relayed(200, figures)

    async def _stream(
        self, call: Call, lease: Lease, answer: Any, exchange: Exchange, record: RequestRecord
    ) -> Relayed:
        content = answer.content
        chunk = await content.readany()
        if not chunk:
            raise FailedError("it ended its answer before the first byte")
        lease.first_s = self._door.now_s()
        _tell_node(call, lease)
        kind = f"{call.voice.stream_type}; charset=utf-8"
        await exchange.start(200, kind, {**_headers(lease.backend, record, call), "cache-control": "no-cache"})
        reader = _StreamReader(call, keep_text=self._keep_text)
        while chunk:
            lease.last_s = self._door.now_s()
            if said := reader.feed(chunk):
                await exchange.send(said)
            chunk = await content.readany()
        figures = reader.figures()
        if not reader.whole:
            raise CutError("it ended its answer in the middle")
        record.answer = reader.text[:MOST_TEXT] if self._keep_text else None
        await exchange.send(b"" if call.voice.passes else call.voice.end(figures.data()), more=False)
        return Relayed(200, figures)

    async def _end_at_engine(self, backend: GatewayBackend, record: RequestRecord) -> None:
        """The client left: the connection is closed by now, which ends the work of most engines; others are told."""
        path = backend.kind.engine.abort_path if backend.kind and backend.kind.engine else None
        if path is None:
            return
        body = json.dumps({"genkey": genkey(record.id)}).encode()
        headers = {"Authorization": f"Bearer {backend.api_key}"} if backend.api_key else {}
        with suppress(aiohttp.ClientError, OSError, TimeoutError):
            async with asyncio.timeout(CONNECT_S), self._session.post(backend.url + path, data=body, headers=headers):
                pass


class _StreamReader:
    """Follows a stream of server-sent events: its tail for the figures, and the text where it is wanted."""

    def __init__(self, call: Call, *, keep_text: bool) -> None:
        self._voice = call.voice
        self._parses = not call.voice.passes or keep_text
        self._tail, self._rest, self._events = b"", b"", 0
        self.whole, self.text = False, ""

    def feed(self, chunk: bytes) -> bytes:
        """What the client gets for `chunk`."""
        self._tail = (self._tail + chunk)[-TAIL:]
        self._events += chunk.count(b"data: ")
        said = self._lines(chunk) if self._parses else chunk
        return chunk if self._voice.passes else said

    def _lines(self, chunk: bytes) -> bytes:
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        said = b""
        for line in lines:
            if not line.startswith(b"data: {"):
                continue
            event = _parsed(line[6:])
            self.text += text_in(event)
            said += self._voice.piece(event) if not self._voice.passes and event.get("choices") else b""
        return said

    def figures(self) -> Figures:
        """At the end."""
        self.whole = b"data: [DONE]" in self._tail
        return figures_of_tail(self._tail, self._events)


def _note(record: RequestRecord, answered: Relayed, lease: Lease, now_s: float, arrived_s: float) -> None:
    record.code, record.figures = answered.status, answered.figures
    record.first_byte_s = None if lease.first_s is None else lease.first_s - arrived_s
    record.total_s = now_s - arrived_s
    if record.status == "running":
        record.status = "completed"


def _headers(backend: GatewayBackend, record: RequestRecord, call: Call) -> dict[str, str]:
    ignored = {"x-splitter-ignored": ", ".join(call.ignored)} if call.ignored else {}
    return {"x-request-id": record.id, "x-splitter-node": backend.name, **ignored}


def _tell_node(call: Call, lease: Lease) -> None:
    if isinstance(call.voice, NativeVoice):
        call.voice.node = lease.backend.name


def _named(backend: GatewayBackend, record: RequestRecord) -> Mapping[str, Any]:
    """A name of the request, for engines that end it by its name."""
    named = backend.kind is not None and backend.kind.engine is not None and backend.kind.engine.abort_path
    return {"genkey": genkey(record.id)} if named else {}


def genkey(job: str) -> str:
    """As koboldcpp's own page makes them: KCPP and digits."""
    return f"KCPP{int(job[:8], 16) % 10000:04d}"


def _retry_after(text: str | None) -> float | None:
    return min(float(text), 300.0) if text is not None and text.isdecimal() else None


def _words(error: BaseException) -> str:
    if isinstance(error, CutError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "it does not answer"
    if isinstance(error, aiohttp.ClientConnectorError):
        return "it cannot be reached"
    return "it ended the connection"


def _parsed(data: bytes) -> dict[str, Any]:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def reason_in(answer: Mapping[str, Any]) -> str | None:
    """Why an answer ended."""
    choices = answer.get("choices")
    first = choices[0] if isinstance(choices, list) and choices and isinstance(choices[0], dict) else {}
    reason = first.get("finish_reason")
    return reason if isinstance(reason, str) else None


def text_in(answer: Mapping[str, Any]) -> str:
    """The text of an answer or event."""
    from splitter.gateway.voice import message_of

    return str(message_of(answer).get("content") or "")


def message_in(data: bytes) -> str | None:
    """The sentence of an engine's error, in any of the forms that engines have."""
    error = _parsed(data).get("error", _parsed(data).get("detail"))
    if isinstance(error, dict):
        error = error.get("message") or error.get("msg")
    return str(error)[:600] if error else None
