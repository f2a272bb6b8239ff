"""Exchange: one HTTP request and its answer in ASGI's terms, with the moment that the client leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any

from splitter.gateway.call import BadRequestError

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class ClientGoneError(Exception):
    """The client left before its request was read."""


class Exchange:
    """The client's side. `started`: the head of the answer is out; `gone`: nobody listens any more."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive, self._send = receive, send
        self.headers: Mapping[bytes, bytes] = dict(scope.get("headers", ()))
        self.started = self.gone = False
        self._watcher: asyncio.Task[None] | None = None

    def header(self, name: str) -> str:
        """A header's value; '' where it is not there."""
        return self.headers.get(name.encode(), b"").decode("latin-1")

    async def read_body(self, most_bytes: int, within_s: float) -> bytes:
        """The whole body. BadRequestError for one that is too long or too slow."""
        length = self.header("content-length")
        if length.isdecimal() and int(length) > most_bytes:
            raise BadRequestError(f"the body is larger than {most_bytes} bytes", 413)
        try:
            async with asyncio.timeout(within_s):
                return await self._read(most_bytes)
        except TimeoutError:
            raise BadRequestError(f"the body did not arrive within {within_s:.0f} s", 408) from None

    async def _read(self, most_bytes: int) -> bytes:
        parts, size, more = [], 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                self.gone = True
                raise ClientGoneError
            part, more = message.get("body", b""), message.get("more_body", False)
            size += len(part)
            if size > most_bytes:
                raise BadRequestError(f"the body is larger than {most_bytes} bytes", 413)
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def watch(self) -> None:
        """From now on the task that calls this is cancelled when the client leaves; `done` ends that."""
        if task := asyncio.current_task():
            self._watcher = asyncio.create_task(self._wait_gone(task))

    async def _wait_gone(self, task: "asyncio.Task[Any]") -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        task.cancel()

    def done(self) -> None:
        """The client may leave now."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None

    async def start(self, status: int, kind: str, headers: Mapping[str, str], length: int | None = None) -> None:
        """The head of the answer."""
        self.started = True
        rows = [
            (b"content-type", kind.encode()),
            *((k.encode(), v.encode("latin-1", "replace")) for k, v in headers.items()),
        ]
        if length is not None:
            rows.append((b"content-length", str(length).encode()))
        await self._send({"type": "http.response.start", "status": status, "headers": rows})

    async def send(self, data: bytes, *, more: bool = True) -> None:
        """A piece of the body; the last one where there is no more."""
        if not more:
            self.done()
        await self._send({"type": "http.response.body", "body": data, "more_body": more})

    async def answer(self, status: int, kind: str, data: bytes, headers: Mapping[str, str]) -> None:
        """A whole answer."""
        await self.start(status, kind, headers, len(data))
        await self.send(data, more=False)


class Collected(Exchange):
    """An answer that nobody waits for: kept until it is asked for."""

    def __init__(self) -> None:
        super().__init__({"type": "http", "headers": []}, self._never, self._keep)
        self.status = 0
        self.body = bytearray()

    def watch(self) -> None:
        """Nobody can leave."""

    async def _never(self) -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def _keep(self, message: MutableMapping[str, Any]) -> None:
        self.status = message.get("status", self.status)
        self.body += message.get("body", b"")
