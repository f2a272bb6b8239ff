"""Who may come in: the session's key, the names that a browser may call us by, where a request may come from. Pure."""

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address

SAFE = frozenset({"GET", "HEAD"})
OPEN = ("/static/", "/login")  # what somebody may see who has no session yet
LARGEST_BODY = 4_000_000  # bytes: a log to explain
LOOPBACK = ("127.0.0.1", "localhost", "[::1]")

HEADERS: Mapping[str, str] = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}


@dataclass(frozen=True, slots=True)
class Door:
    """`key` is the secret that opens; `named` are the hosts of --host, and `everywhere` that any address of this
    machine may be used."""

    port: int
    key: str
    named: tuple[str, ...] = ()
    everywhere: bool = False

    @property
    def cookie(self) -> str:
        """Cookies know no ports: each server on this machine has a name of its own."""
        return f"splitter-{self.port}"

    def session(self) -> str:
        """What the cookie holds: made of the key, and not the key."""
        return self._derived("session")

    def csrf(self) -> str:
        """What a page must say with every request that changes something."""
        return self._derived("csrf")

    def opens(self, key: str) -> bool:
        """Whether `key` is the key."""
        return hmac.compare_digest(key.encode("utf-8", "replace"), self.key.encode())

    def _derived(self, use: str) -> str:
        return hmac.new(self.key.encode(), use.encode(), hashlib.sha256).hexdigest()


@dataclass(frozen=True, slots=True)
class Knock:
    """A request as the door sees it; header names are lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    cookies: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Refused:
    """An HTTP status with one sentence and the next step."""

    status: int
    message: str
    hint: str = ""


def refusal(door: Door, knock: Knock) -> Refused | None:
    """Why the request may not come in; None where it may."""
    return (
        _wrong_host(door, knock)
        or _wrong_origin(knock)
        or _wrong_body(knock)
        or (None if knock.path.startswith(OPEN) else _no_session(door, knock))
    )


def _wrong_host(door: Door, knock: Knock) -> Refused | None:
    """A name that somebody else's DNS points here is not ours (DNS rebinding)."""
    host = knock.headers.get("host", "").lower()
    name, colon, port = host.rpartition(":")
    if colon and port == str(door.port) and _is_ours(door, name):
        return None
    return Refused(421, "this server does not answer under that name", f"open http://127.0.0.1:{door.port}")


def _is_ours(door: Door, name: str) -> bool:
    if name in LOOPBACK or name in door.named:
        return True
    if not door.everywhere:
        return False
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


def _wrong_origin(knock: Knock) -> Refused | None:
    origin, host = knock.headers.get("origin"), knock.headers.get("host", "")
    if origin is not None and origin.lower() != f"http://{host.lower()}":
        return Refused(403, "a page of another site may not ask here", "open splitter's own page")
    site = knock.headers.get("sec-fetch-site", "none")
    opened = knock.headers.get("sec-fetch-mode") == "navigate" and knock.method in SAFE
    if site not in {"none", "same-origin"} and not opened:
        return Refused(403, "a page of another site may not ask here", "open splitter's own page")
    return None


def _wrong_body(knock: Knock) -> Refused | None:
    if "transfer-encoding" in knock.headers:
        return Refused(411, "the request does not say how long it is", "send a Content-Length")
    length = knock.headers.get("content-length", "0")
    if not (length.isascii() and length.isdigit()) or int(length) > LARGEST_BODY:
        return Refused(413, "the request is too large", f"send at most {LARGEST_BODY} bytes")
    return None


def _no_session(door: Door, knock: Knock) -> Refused | None:
    scheme, _, key = knock.headers.get("authorization", "").partition(" ")
    if scheme:
        if scheme.lower() == "bearer" and door.opens(key.strip()):
            return None
        return Refused(401, "that key does not open", "send `Authorization: Bearer KEY`")
    if not hmac.compare_digest(knock.cookies.get(door.cookie, "").encode("utf-8", "replace"), door.session().encode()):
        return Refused(401, "there is no session", "open the address that `splitter ui` printed")
    if knock.method in SAFE:
        return None
    said = knock.headers.get("x-csrf-token", "")
    if hmac.compare_digest(said.encode("utf-8", "replace"), door.csrf().encode()) and "origin" in knock.headers:
        return None
    return Refused(403, "the request does not come from splitter's own page", "reload the page and try again")
