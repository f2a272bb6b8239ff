"""The gateway as an ASGI application: its routes, and what every request goes through."""

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from starlette.applications import Starlette
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Route

from splitter.app.wire import envelope
from splitter.gateway import ollama
from splitter.gateway.backend import GatewayBackend
from splitter.gateway.call import CHAT, COMPLETIONS, EMBEDDINGS, BadRequestError, Call, call_of, priority_of, read_body
from splitter.gateway.door import FrontDoor, RefusedError
from splitter.gateway.exchange import ClientGoneError, Collected, Exchange, Receive, Scope, Send
from splitter.gateway.gate import KeyGate, peer_of, token_of
from splitter.gateway.joined import read_member
from splitter.gateway.keeper import HEARTBEAT_S, Keeper
from splitter.gateway.keys import Caller
from splitter.gateway.metrics import Metrics
from splitter.gateway.names import distinct
from splitter.gateway.native import NativeVoice, native_call
from splitter.gateway.ollama import OllamaVoice
from splitter.gateway.record import RequestRecord
from splitter.gateway.relay import HOP, MOST_TEXT, Relay
from splitter.gateway.store import Store
from splitter.gateway.voice import JSON_TYPE, OPENAI, Voice
from splitter.printable import printable
from splitter.units import from_mib

MOST_JOBS = 2000
READ_LATE = frozenset({408, 413})  # the body is still on its way: the connection is closed
MOST_HISTORY = 1000
Reader = Callable[[bytes, Exchange, RequestRecord], Call]
Page = Callable[[Exchange, Caller], Any]


@dataclass(eq=False)
class Gateway:
    """Everything that requests are answered with."""

    door: FrontDoor
    gate: KeyGate
    relay: Relay
    keeper: Keeper
    store: Store
    metrics: Metrics
    name: str
    join_key: str | None
    say: Callable[[str], None]
    jobs: OrderedDict[str, RequestRecord] = field(default_factory=OrderedDict)
    background: set[asyncio.Task[None]] = field(default_factory=set)

    # requests for a model

    async def serve(self, exchange: Exchange, route: str, read: Reader, voice: Voice) -> None:
        """One request, from its key to its last byte."""
        record = RequestRecord(time.time(), self.name, route)
        began_s, kept = self.door.now_s(), False
        try:
            caller = self.gate.admit(exchange)
            record.key = caller.name
            await self.gate.within_limits(caller, self.door)
            call = await self._read(exchange, record, read)
            voice = call.voice
            if call.later:
                self._later(call, caller, record)
                kept = True
                await exchange.answer(202, JSON_TYPE, accepted(record), {"x-request-id": record.id})
            else:
                await self._answer(exchange, record, call, caller)
        except RefusedError as refused:
            record.status, record.code, record.error = "refused", refused.status, refused.message
            await self.refuse(exchange, refused, voice, record.id)
        except BadRequestError as bad:
            record.status, record.code, record.error = "refused", bad.status, bad.message
            await self.refuse(exchange, RefusedError(bad.status, "bad_request", bad.message), voice, record.id)
        except ClientGoneError:
            record.status = "left"
        except asyncio.CancelledError:
            record.status = "left" if exchange.gone else "failed"
            if not exchange.gone:
                raise
        finally:
            exchange.done()
            if not kept:
                record.total_s = record.total_s or self.door.now_s() - began_s
                self.keeper.finished(record)
            if record.status == "refused":
                self._tell_refused(exchange, record)

    async def _read(self, exchange: Exchange, record: RequestRecord, read: Reader) -> Call:
        if exchange.header(HOP.lower()) == self.name:
            raise RefusedError(508, "loop", "this request went through this gateway already")
        limits = self.door.settings.limits
        raw = await exchange.read_body(from_mib(limits.body_mib), limits.body_s)
        return read(raw, exchange, record)

    async def _answer(self, exchange: Exchange, record: RequestRecord, call: Call, caller: Caller) -> None:
        models = self.door.meant(call.model, caller)
        ask = self.door.ask_of(call, caller, models)
        record.model, record.priority = min(models), ask.priority
        if self.door.settings.history.text:
            record.prompt = json.dumps(call.body.get("messages") or call.body.get("prompt"))[:MOST_TEXT]
        self._remember(record)
        exchange.watch()
        most_s = self.door.settings.queue.wait_s
        wait_s = most_s if call.wait_s is None else min(call.wait_s, most_s)
        await self.relay.serve(call, ask, exchange, record, wait_s)

    def _remember(self, record: RequestRecord) -> None:
        self.jobs[record.id] = record
        while len(self.jobs) > MOST_JOBS:
            self.jobs.popitem(last=False)

    async def refuse(self, exchange: Exchange, refused: RefusedError, voice: Voice, job: str) -> None:
        if exchange.started or exchange.gone:
            return
        retry = {} if refused.retry_after_s is None else {"retry-after": str(refused.retry_after_s)}
        close = {"connection": "close"} if refused.status in READ_LATE else {}
        if refused.status == 401:
            retry["www-authenticate"] = "Bearer"
        body = voice.error(refused.status, refused.message, refused.code)
        await exchange.answer(refused.status, JSON_TYPE, body, {"x-request-id": job, **retry, **close})

    def _tell_refused(self, exchange: Exchange, record: RequestRecord) -> None:
        """What came from a client is made one printable line."""
        peer = peer_of(exchange, self.door.settings.trusted_proxies)
        path = printable(str(exchange.scope.get("path", "")), 80)
        self.say(f"refused {record.code} {printable(peer, 60)} {path}: {printable(record.error or '', 200)}")

    def _later(self, call: Call, caller: Caller, record: RequestRecord) -> None:
        """A job that nobody waits for: its answer is kept with its record."""
        self._remember(record)
        task = asyncio.create_task(self._run_job(call, caller, record))
        self.background.add(task)
        task.add_done_callback(self.background.discard)

    async def _run_job(self, call: Call, caller: Caller, record: RequestRecord) -> None:
        kept = Collected()
        try:
            await self._answer(kept, record, call, caller)
        except RefusedError as refused:
            record.status, record.code, record.error = "failed", refused.status, refused.message
        finally:
            with suppress(ValueError):
                record.result = json.loads(bytes(kept.body) or b"null")
            self.keeper.finished(record)

    # pages

    async def page(self, exchange: Exchange, command: str, make: Page, *, open_to_all: bool = False) -> None:
        """One of the gateway's own pages: an object of design.md 3."""
        try:
            caller = Caller("anybody") if open_to_all else self.gate.admit(exchange)
            data = make(exchange, caller)
            data = await data if asyncio.iscoroutine(data) else data
            status, body = 200, envelope(command, "ok", data)
            if isinstance(data, tuple):
                status, body = data[0], envelope(command, "ok" if data[0] < 400 else "error", data[1])
            await exchange.answer(status, JSON_TYPE, json.dumps(body).encode(), {})
        except RefusedError as refused:
            self.say(f"refused {refused.status} {command}: {printable(refused.message, 200)}")
            await self.refuse(exchange, refused, NativeVoice(command, ""), "")
        except BadRequestError as bad:
            self.say(f"refused {bad.status} {command}: {printable(bad.message, 200)}")
            await self.refuse(
                exchange, RefusedError(bad.status, "bad_request", bad.message), NativeVoice(command, ""), ""
            )
        except ClientGoneError:
            pass

    def health(self, _exchange: Exchange, _caller: Caller) -> tuple[int, dict[str, Any]]:
        """200 where some backend gets requests."""
        serving = sum(backend.standing.serves for backend in self.door.backends.values())
        state = "ok" if serving else "no_backend"
        return (200 if state == "ok" else 503), {
            "state": state,
            "serving": serving,
            "backends": len(self.door.backends),
        }

    def nodes(self, _exchange: Exchange, _caller: Caller) -> dict[str, Any]:
        """Every backend."""
        return {"gateway": self.name, "nodes": [node_data(backend) for backend in self.door.backends.values()]}

    def queue(self, _exchange: Exchange, _caller: Caller) -> dict[str, Any]:
        """Who waits."""
        return dict(self.door.queue_data())

    def models(self, _exchange: Exchange, caller: Caller) -> dict[str, Any]:
        """The models that the key may use, and where each is."""
        rows = [
            {"name": name, "nodes": [b.name for b in found], "ready": any(b.standing.serves for b in found)}
            for name, found in sorted(self.door.models().items())
            if caller.may_use(name)
        ]
        return {"models": rows, "aliases": dict(self.door.settings.aliases)}

    async def status(self, exchange: Exchange, caller: Caller) -> Any:
        """One request, of this gateway's memory or of the history."""
        job = exchange.scope["path_params"]["job"]
        record = self.jobs.get(job)
        row = record.state() if record else None
        if row is None:
            found = await asyncio.to_thread(self.store.history, 1, None, None, job[:40])
            row = {k: v for k, v in found[0].items() if k not in {"prompt", "answer"}} if found else None
        if row is None or not (caller.admin or row["key"] == caller.name):
            raise RefusedError(404, "job_not_found", "there is no such job, or it is not this key's")
        return dict(row)

    async def history(self, exchange: Exchange, caller: Caller) -> Any:
        """The latest requests: those of the key, or for an admin all."""
        query = query_of(exchange)
        limit = int(query["limit"]) if query.get("limit", "").isdecimal() else 100
        before = float(query["before"]) if query.get("before", "").replace(".", "", 1).isdecimal() else None
        key = query.get("key") if caller.admin else caller.name
        rows = await asyncio.to_thread(self.store.history, min(limit, MOST_HISTORY), key, before)
        return {"requests": rows}

    async def keys(self, _exchange: Exchange, caller: Caller) -> Any:
        """The keys, without themselves."""
        if not caller.admin:
            raise RefusedError(403, "admin_only", "this needs a key made with --admin")
        return {"keys": [key_data(record) for record in await asyncio.to_thread(self.store.all_keys)]}

    async def probe_node(self, exchange: Exchange, _caller: Caller) -> Any:
        """Asks a backend now."""
        backend = self._named(exchange)
        began_s = self.door.now_s()
        await self.keeper.test(backend)
        return {**node_data(backend), "answered_in_s": self.door.now_s() - began_s}

    def drain_node(self, exchange: Exchange, caller: Caller) -> Any:
        """A backend gets no new requests, or (undrain) gets them again."""
        if not caller.admin:
            raise RefusedError(403, "admin_only", "this needs a key made with --admin")
        backend = self._named(exchange)
        backend.draining = not exchange.scope["path"].endswith("/undrain")
        self.door.kick()
        return node_data(backend)

    def _named(self, exchange: Exchange) -> GatewayBackend:
        backend = self.door.backends.get(exchange.scope["path_params"]["node"])
        if backend is None:
            raise RefusedError(404, "node_not_found", "there is no such node: see /health/nodes")
        return backend

    async def join(self, exchange: Exchange, _caller: Caller) -> Any:
        """A heartbeat of an engine that enters."""
        body = await self._joining(exchange)
        member = read_member(body)
        backend = await self.keeper.joins(member, self._peer(exchange))
        return {"name": backend.name, "url": backend.url, "state": backend.standing.state, "interval_s": HEARTBEAT_S}

    async def leave(self, exchange: Exchange, _caller: Caller) -> Any:
        """An engine that stops."""
        body = await self._joining(exchange)
        port = body.get("port")
        if not isinstance(port, int):
            raise BadRequestError("wrong heartbeat: port: it must be a number", 422)
        await self.keeper.leaves(port, self._peer(exchange))
        return {"left": port}

    async def _joining(self, exchange: Exchange) -> dict[str, Any]:
        from hmac import compare_digest

        self.gate.check_origin(exchange)
        token = token_of(exchange)
        if self.join_key is None or not compare_digest(token.encode(), self.join_key.encode()):
            raise RefusedError(401, "wrong_join_key", "entering needs the join key of this gateway")
        return read_body(await exchange.read_body(1 << 16, 10))

    def _peer(self, exchange: Exchange) -> str:
        return peer_of(exchange, self.door.settings.trusted_proxies)


def node_data(backend: GatewayBackend) -> dict[str, Any]:
    """A backend as /health/nodes has it; unknown is null."""
    view = backend.view()
    return {
        "name": backend.name,
        "url": backend.url,
        "origin": backend.origin,
        "kind": backend.kind.name if backend.kind else None,
        "state": "draining" if backend.draining else backend.standing.state,
        "reason": backend.standing.reason or None,
        "models": sorted(backend.models),
        "slots": backend.slots,
        "usable_slots": view.slots,
        "at_work": len(backend.leases),
        "at_work_elsewhere": backend.elsewhere,
        "context_size": backend.described.context_size,
        "prompt_tokens_per_s": backend.pace.prompt_tps,
        "generation_tokens_per_s": backend.pace.generation_tps,
        "served": backend.served,
        "failed": backend.failed,
        "seen_at": backend.seen_s or None,
        "facts": dict(backend.facts),
    }


def key_data(record: Any) -> dict[str, Any]:
    """A key as it is listed."""
    shown = ("name", "created_at", "revoked_at", "rate", "at_once", "models", "priority", "admin")
    return {name: getattr(record, name) for name in shown}


def accepted(record: RequestRecord) -> bytes:
    """The answer to a job that nobody waits for."""
    return json.dumps(envelope("inference", "ok", {"id": record.id, "status": "waiting"})).encode()


def query_of(exchange: Exchange) -> dict[str, str]:
    """The query's values, the first of each name."""
    from urllib.parse import parse_qsl

    pairs = parse_qsl(exchange.scope.get("query_string", b"").decode("latin-1")[:2000])
    return dict(reversed(pairs))


def asgi(handle: Callable[[Exchange], Any]) -> Any:
    """A handler as an ASGI application: Starlette passes it on as it is."""

    class Endpoint:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            await handle(Exchange(scope, receive, send))

    return Endpoint()


def build(gateway: Gateway) -> Any:
    """The application. A path without parameters is looked up: Starlette would try one route after another."""
    routes = [*_model_routes(gateway), *_ollama_routes(gateway), *_own_routes(gateway)]
    rest = Starlette(routes=routes)
    plain = {(method, r.path): r.app for r in routes if "{" not in r.path for method in r.methods or ()}

    async def routed(scope: Scope, receive: Receive, send: Send) -> None:
        await plain.get((scope["method"], scope["path"]), rest)(scope, receive, send)

    origins = gateway.door.settings.cors
    return _shared_with(routed, origins) if origins else routed


def _shared_with(app: Any, origins: tuple[str, ...]) -> CORSMiddleware:
    """`app` for pages of `origins` too: what a browser asks before a request is answered, and needs no key."""
    told = ("x-request-id", "x-splitter-node", "x-splitter-ignored", "retry-after")
    return CORSMiddleware(app, origins, ("GET", "POST"), ("*",), expose_headers=told)


def _model_routes(gateway: Gateway) -> list[Route]:
    def openai(path: str) -> Reader:
        def read(raw: bytes, exchange: Exchange, _record: RequestRecord) -> Call:
            priority = priority_of(exchange.header("x-priority") or None)
            wait = exchange.header("x-timeout-s")
            wait_s = float(wait) if wait.isdecimal() else None
            return call_of(path, read_body(raw), OPENAI, raw=raw, priority=priority, wait_s=wait_s)

        return read

    def route(path: str) -> Route:
        read = openai(path)
        return Route(path, asgi(lambda exchange: gateway.serve(exchange, "openai", read, OPENAI)), methods=["POST"])

    async def listed(exchange: Exchange) -> None:
        def make(caller: Caller) -> Mapping[str, Any]:
            found = gateway.door.models().items()
            rows = [
                {"id": name, "object": "model", "created": 0, "owned_by": "splitter"}
                for name, backends in sorted(found)
                if caller.may_use(name) and any(backend.standing.serves for backend in backends)
            ]
            return {"object": "list", "data": rows}

        await _plain(gateway, exchange, make, OPENAI)

    return [route(CHAT), route(COMPLETIONS), route(EMBEDDINGS), Route("/v1/models", asgi(listed), methods=["GET"])]


def _ollama_routes(gateway: Gateway) -> list[Route]:
    def read(make: Callable[[Mapping[str, Any], float], Call]) -> Reader:
        return lambda raw, _exchange, record: make(read_body(raw), record.at)

    voice = OllamaVoice("", 0.0)
    calls: dict[str, Reader] = {
        "chat": read(ollama.chat_call),
        "generate": read(ollama.generate_call),
        "embed": read(ollama.embed_call),
        "embeddings": read(lambda body, now: ollama.embed_call(body, now, single=True)),
    }
    pages: dict[str, Callable[[Caller], Mapping[str, Any]]] = {
        "tags": lambda caller: {"models": [_tag(name, b) for name, b in _named_models(gateway, caller)]},
        "ps": lambda caller: {"models": [_tag(name, b) for name, b in _named_models(gateway, caller)]},
        "version": lambda _caller: {"version": ollama.VERSION},
    }

    async def show(exchange: Exchange) -> None:
        try:
            body = read_body(await exchange.read_body(1 << 16, 10))
            await _plain(gateway, exchange, lambda caller: _shown(gateway, body, caller), voice)
        except BadRequestError as bad:
            await exchange.answer(bad.status, JSON_TYPE, voice.error(bad.status, bad.message, ""), {})
        except ClientGoneError:
            pass

    def posting(reader: Reader) -> Any:
        return asgi(lambda exchange: gateway.serve(exchange, "ollama", reader, voice))

    def getting(make: Callable[[Caller], Mapping[str, Any]]) -> Any:
        return asgi(lambda exchange: _plain(gateway, exchange, make, voice))

    routes = []
    for prefix in ("", "/ollama"):
        routes += [Route(f"{prefix}/api/{name}", posting(reader), methods=["POST"]) for name, reader in calls.items()]
        routes += [Route(f"{prefix}/api/{name}", getting(make), methods=["GET"]) for name, make in pages.items()]
        routes.append(Route(f"{prefix}/api/show", asgi(show), methods=["POST"]))
    return routes


def _own_routes(gateway: Gateway) -> list[Route]:
    def native(command: str) -> Any:
        def read(raw: bytes, _exchange: Exchange, record: RequestRecord) -> Call:
            return native_call(read_body(raw), command, record.id)

        return asgi(lambda exchange: gateway.serve(exchange, command, read, NativeVoice(command, "")))

    def page(path: str, command: str, make: Page, method: str = "GET", *, open_to_all: bool = False) -> Route:
        handler = asgi(lambda exchange: gateway.page(exchange, command, make, open_to_all=open_to_all))
        return Route(path, handler, methods=[method])

    async def metrics(exchange: Exchange) -> None:
        try:
            gateway.gate.admit(exchange)
            await exchange.answer(200, "text/plain; version=0.0.4; charset=utf-8", gateway.metrics.text(), {})
        except RefusedError as refused:
            await gateway.refuse(exchange, refused, OPENAI, "")

    return [
        Route("/chat/", native("chat"), methods=["POST"]),
        Route("/chat", native("chat"), methods=["POST"]),
        Route("/inference", native("inference"), methods=["POST"]),
        page("/inference/models", "models", gateway.models),
        page("/inference/queue", "queue", gateway.queue),
        page("/inference/{job}/status", "status", gateway.status),
        page("/history", "history", gateway.history),
        page("/keys", "keys", gateway.keys),
        page("/health", "health", gateway.health, open_to_all=True),
        page("/health/nodes", "nodes", gateway.nodes),
        page("/health/nodes/{node}/test", "nodes", gateway.probe_node, "POST"),
        page("/health/nodes/{node}/drain", "nodes", gateway.drain_node, "POST"),
        page("/health/nodes/{node}/undrain", "nodes", gateway.drain_node, "POST"),
        page("/nodes/join", "join", gateway.join, "POST", open_to_all=True),
        page("/nodes/leave", "leave", gateway.leave, "POST", open_to_all=True),
        Route("/metrics", asgi(metrics), methods=["GET"]),
    ]


async def _plain(
    gateway: Gateway, exchange: Exchange, make: Callable[[Caller], Mapping[str, Any]], voice: Voice
) -> None:
    """A page in the dialect of `voice`."""
    try:
        body = make(gateway.gate.admit(exchange))
    except RefusedError as refused:
        await exchange.answer(refused.status, JSON_TYPE, voice.error(refused.status, refused.message, refused.code), {})
        return
    await exchange.answer(200, JSON_TYPE, json.dumps(body).encode(), {})


def _named_models(gateway: Gateway, caller: Caller) -> list[tuple[str, GatewayBackend]]:
    """Each model once, under one name, with a backend that serves it."""
    found = {
        name: next(backend for backend in backends if backend.standing.serves)
        for name, backends in gateway.door.models().items()
        if caller.may_use(name) and any(backend.standing.serves for backend in backends)
    }
    return [(name, found[name]) for name in sorted(distinct(sorted(found, key=len, reverse=True)))]


def _tag(name: str, backend: GatewayBackend) -> dict[str, Any]:
    details = backend.described.details or {}
    return {
        "name": name,
        "model": name,
        "modified_at": "1970-01-01T00:00:00Z",
        "expires_at": "9999-12-31T23:59:59Z",
        "size": details.get("size") or 0,
        "size_vram": 0,
        "digest": "",
        "context_length": backend.described.context_size or 0,
        "details": _details(backend),
    }


def _details(backend: GatewayBackend) -> dict[str, Any]:
    count = (backend.described.details or {}).get("n_params")
    size = f"{count / 1e9:.1f}B" if isinstance(count, int | float) else ""
    return {"parent_model": "", "format": "gguf", "family": "", "families": [], "parameter_size": size,
            "quantization_level": ""}  # fmt: skip


def _shown(gateway: Gateway, body: Mapping[str, Any], caller: Caller) -> dict[str, Any]:
    asked = body.get("model") or body.get("name")
    names = gateway.door.meant(asked if isinstance(asked, str) else "", caller)
    backend = next(b for b in gateway.door.backends.values() if not names.isdisjoint(b.models))
    abilities = ["completion", "tools", *(["vision"] if backend.described.vision else [])]
    info = {"general.architecture": "", "general.context_length": backend.described.context_size}
    return {"modelfile": "", "parameters": "", "template": "", "details": _details(backend), "model_info": info,
            "capabilities": abilities, "modified_at": "1970-01-01T00:00:00Z"}  # fmt: skip
