"""The door in front of every route, as ASGI: what is refused gets no further, and every answer has its headers."""

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from splitter.app.wire import envelope
from splitter.printable import printable
from splitter.web.door import HEADERS, Door, Knock, Refused, refusal
from splitter.web.drawing import small_page

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Gate:
    """Asks `refusal` of every request."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]], door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return  # no websockets here
        knock = knock_of(scope)
        refused = _token_opens(self._door, scope) if knock.path == "/" else None
        if refused is None:
            refused = refusal(self._door, knock)
        if refused is not None:
            await _answer(refused, knock, send)
            return
        await self._app(scope, receive, _with_headers(send, lasts=knock.path.startswith("/static/")))


def knock_of(scope: Scope) -> Knock:
    """The request as the door sees it."""
    headers = {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in scope["headers"]}
    pairs = (part.strip().partition("=") for part in headers.get("cookie", "").split(";"))
    cookies = {name: value for name, _, value in pairs if name}
    return Knock(scope["method"], scope["path"], headers, cookies)


def _token_opens(door: Door, scope: Scope) -> Refused | None:
    """The first address: /?token=KEY. It is taken out of the address at once, and becomes a cookie."""
    from urllib.parse import parse_qs

    token = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("token", [""])[0]
    knock = knock_of(scope)
    host_refused = refusal(door, Knock(knock.method, "/login", knock.headers, {}))
    if not token or host_refused is not None:
        return None
    return Refused(303, session_cookie(door)) if door.opens(token) else Refused(401, "that token does not open",
                                                                                 "copy the whole address")  # fmt: skip


def session_cookie(door: Door) -> str:
    """The cookie that carries the session."""
    return f"{door.cookie}={door.session()}; Path=/; HttpOnly; SameSite=Strict"


def _with_headers(send: Send, *, lasts: bool) -> Send:
    kept = "private, max-age=86400" if lasts else "no-store"

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            message["headers"] = [*message.get("headers", []), *_headers(kept)]
        await send(message)

    return sending


def _headers(kept: str) -> list[tuple[bytes, bytes]]:
    return [(name.encode(), value.encode()) for name, value in {**HEADERS, "cache-control": kept}.items()]


async def _answer(refused: Refused, knock: Knock, send: Send) -> None:
    headers = _headers("no-store")
    if refused.status == 303:
        body, kind = b"", b"text/plain"
        headers += [(b"location", b"/"), (b"set-cookie", refused.message.encode())]
    elif knock.path.startswith("/api/"):
        item = {"code": "refused", "message": refused.message, "hint": refused.hint}
        body, kind = json.dumps(envelope(printable(knock.path), "error", None, [item])).encode(), b"application/json"
    else:
        body = small_page(refused.message, refused.hint, login=refused.status == 401).encode()
        kind = b"text/html; charset=utf-8"
    headers += [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
