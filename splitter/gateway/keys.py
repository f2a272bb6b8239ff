"""Keys of clients: made, hashed, recognised; and tokens that somebody else signs (JWT). Pure but for the random token.

A key is 256 random bits, so its SHA-256 is as hard to reverse as a slow hash would make a password.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from splitter.gateway.choice import LEVELS, Priority
from splitter.gateway.names import plain
from splitter.gateway.settings import JwtSettings, Rate, read_rate

PREFIX = "sk-splitter-"
MAX_TOKEN = 8192  # characters of what a client sends as its key


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `models` None: all. `priority` is the best that it may ask for. `admin` sees everybody's history."""

    name: str
    priority: Priority | None = None
    models: tuple[str, ...] | None = None
    rate: Rate | None = None
    at_once: int | None = None
    admin: bool = False

    def may_use(self, model: str) -> bool:
        """Whether a model is among its own, as people write them."""
        return self.models is None or plain(model) in {plain(own) for own in self.models}

    def ranked(self, asked: Priority | None) -> Priority:
        """The priority of its request: what it asks for, no better than its own; normal where neither is said."""
        best: Priority = self.priority or "high"
        wanted: Priority = asked or self.priority or "normal"
        return max(best, wanted, key=lambda priority: LEVELS[priority])


LOCAL = Caller("local", admin=True)  # loopback, where no key is needed


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as it is kept: its hash, never itself. Times are `time.time()`."""

    name: str
    hash: str
    created_at: float
    revoked_at: float | None = None
    rate: str | None = None
    at_once: int | None = None
    models: tuple[str, ...] | None = None
    priority: Priority | None = None
    admin: bool = False

    def caller(self) -> Caller:
        rate = read_rate(self.rate) if self.rate else None
        return Caller(self.name, self.priority, self.models, rate, self.at_once, self.admin)


def new_token() -> str:
    """A key to give away, once."""
    return PREFIX + secrets.token_urlsafe(32)


def hashed(token: str) -> str:
    """What is kept of a key."""
    return sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


class KeyRing:
    """The keys in force."""

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self._callers = {record.hash: record.caller() for record in records if record.revoked_at is None}

    def __len__(self) -> int:
        return len(self._callers)

    def caller(self, token: str) -> Caller | None:
        """Whose key `token` is. It is looked up by its hash: the time of a comparison tells nothing of a key."""
        return self._callers.get(hashed(token)) if 0 < len(token) <= MAX_TOKEN else None


def caller_of_jwt(token: str, settings: JwtSettings, key: str) -> Caller | None:
    """Who a signed token names (`sub`), with the claims `models`, `priority` and `rate`; None where it is not valid.

    The one algorithm of the settings is accepted: "none", and a public key used as a secret, are not.
    """
    import jwt

    if len(token) > MAX_TOKEN or token.count(".") != 2:
        return None
    try:
        claims = jwt.decode(
            token,
            key,
            algorithms=[settings.algorithm],
            audience=settings.audience,
            issuer=settings.issuer,
            options={"require": ["exp", "sub"], "verify_aud": settings.audience is not None},
        )
        return _claimed(claims)
    except (jwt.PyJWTError, ValueError, TypeError):
        return None


def _claimed(claims: Mapping[str, Any]) -> Caller:
    models, priority, rate = claims.get("models"), claims.get("priority"), claims.get("rate")
    if priority is not None and priority not in LEVELS:
        raise ValueError("priority")
    if models is not None and not (isinstance(models, list) and all(isinstance(name, str) for name in models)):
        raise ValueError("models")
    named = None if models is None else tuple(models)
    return Caller(f"jwt:{str(claims['sub'])[:80]}", priority, named, read_rate(rate) if rate else None)
