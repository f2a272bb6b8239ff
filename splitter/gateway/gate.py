"""Gate: who may ask, from where, and how often. Nothing of a key is ever shown or kept here."""

from ipaddress import ip_address
from urllib.parse import urlsplit

from splitter.engine.command import is_loopback
from splitter.gateway.door import FrontDoor, RefusedError
from splitter.gateway.exchange import Exchange
from splitter.gateway.keys import LOCAL, Caller, KeyRing, caller_of_jwt
from splitter.gateway.quota import Quota
from splitter.gateway.settings import GatewaySettings

FORWARDED = "x-forwarded-for"


class KeyGate:
    """`jwt_key` is the text of the settings' key file; `ring` is replaced when keys change."""

    def __init__(self, settings: GatewaySettings, quota: Quota, jwt_key: str | None) -> None:
        self._settings, self._quota, self._jwt_key = settings, quota, jwt_key
        self.ring = KeyRing()

    def admit(self, exchange: Exchange) -> Caller:
        """Who asks. RefusedError for a page of somebody else, a wrong name of this host, and for no or a wrong key."""
        self.check_origin(exchange)
        token = token_of(exchange)
        caller = self._known(token) if token else None
        if caller is not None:
            return caller
        if not self._settings.guarded:
            return LOCAL  # a client that must send some key sends any
        if token:
            raise RefusedError(401, "wrong_key", "this key is not known, or was revoked")
        raise RefusedError(401, "no_key", "a key is needed: Authorization: Bearer KEY")

    def check_origin(self, exchange: Exchange) -> None:
        """A browser's page from elsewhere may not use the gateway, nor one that made its own name point here."""
        host = exchange.header("host")
        if not self._settings.guarded and not self._is_own(host_of(host)):
            raise RefusedError(421, "wrong_host", "this gateway is not called so: see `hosts` in its settings")
        origin = exchange.header("origin")
        if origin and origin not in self._settings.cors and urlsplit(origin).netloc.lower() != host.lower():
            raise RefusedError(403, "wrong_origin", "pages of other origins may not use this gateway: see `cors`")

    def _is_own(self, name: str) -> bool:
        return not name or is_loopback(name) or name in self._settings.hosts or name == self._settings.host

    def _known(self, token: str) -> Caller | None:
        caller = self.ring.caller(token)
        if caller is None and self._jwt_key is not None:
            return caller_of_jwt(token, self._settings.jwt, self._jwt_key)
        return caller

    async def within_limits(self, caller: Caller, door: FrontDoor) -> None:
        """RefusedError with the time to wait where a key asks too much."""
        limits = self._settings.limits
        most = caller.at_once or limits.at_once
        if most is not None and door.of(caller.name) >= most:
            raise RefusedError(429, "too_many_at_once", f"this key may have {most} requests at once", 1)
        rate = caller.rate or limits.rate
        if rate is None:
            return
        wait_s = await self._quota.taken(caller.name, rate)
        if wait_s is not None:
            raise RefusedError(429, "rate_limited", f"this key may ask {rate}", wait_s)


def token_of(exchange: Exchange) -> str:
    """The key that a client sends: as OpenAI's do, or in X-API-Key."""
    scheme, _, token = exchange.header("authorization").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else exchange.header("x-api-key").strip()


def host_of(header: str) -> str:
    """The name in a Host header, without its port."""
    name = header.strip().lower()
    if name.startswith("["):
        return name.partition("]")[0] + "]"
    return name.rpartition(":")[0] if ":" in name else name


def peer_of(exchange: Exchange, trusted: tuple[str, ...]) -> str:
    """The address that a request comes from; through a trusted proxy, the one that the proxy saw."""
    client = exchange.scope.get("client")
    peer = str(client[0]) if client else ""
    if peer not in trusted:
        return peer
    told = exchange.header(FORWARDED).split(",")[-1].strip()
    try:
        return str(ip_address(told))
    except ValueError:
        return peer
