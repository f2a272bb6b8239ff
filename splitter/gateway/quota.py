"""Rates of keys (library `limits`), in memory or shared by Redis; and what other gateways have at work."""

import json
import time
from collections.abc import Mapping
from typing import Any

from limits import RateLimitItemPerSecond
from limits.aio.storage import MemoryStorage, RedisStorage, Storage
from limits.aio.strategies import SlidingWindowCounterRateLimiter

from splitter.errors import UsageError
from splitter.gateway.settings import Rate

LEASE_S = 4  # after which the leases of a gateway that is gone lapse
SILENT_S = 2.0  # how long a Redis that failed is left alone
ANSWER_S = 0.5  # how long it may take to answer
FOLDER = "splitter:gateway:leases:"


class Quota:
    """Counts requests of keys. Where Redis fails, this gateway goes on alone until it answers again."""

    def __init__(self, redis_url: str | None) -> None:
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._shared: SlidingWindowCounterRateLimiter | None = None
        self._redis: Any = None
        self._failed_s = -SILENT_S
        if redis_url:
            self._connect(redis_url)

    def _connect(self, url: str) -> None:
        from redis import asyncio as redis

        scheme, separator, rest = url.partition("://")
        if scheme not in {"redis", "rediss", "valkey"} or not separator:
            raise UsageError("`shared` must be the URL of a Redis or Valkey", "write it like redis://127.0.0.1:6379")
        known = f"{'rediss' if scheme == 'rediss' else 'redis'}://{rest}"
        waits: dict[str, Any] = {"socket_timeout": ANSWER_S, "socket_connect_timeout": ANSWER_S}
        storage: Storage = RedisStorage(f"async+{known}", implementation="redispy", **waits)
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._redis = redis.from_url(known, **waits)

    async def taken(self, key: str, rate: Rate) -> float | None:
        """Counts one request of `key`: None where it is within its rate, else the seconds until it is again."""
        item = RateLimitItemPerSecond(rate.count, rate.seconds)
        if self._shared is not None and self._usable():
            try:
                return await self._hit(self._shared, item, key)
            except Exception as error:  # noqa: BLE001 - whatever the library of Redis raises: the gateway goes on
                self._note(error)
        return await self._hit(self._own, item, key)

    async def _hit(
        self, limiter: SlidingWindowCounterRateLimiter, item: RateLimitItemPerSecond, key: str
    ) -> float | None:
        if await limiter.hit(item, key):
            return None
        stats = await limiter.get_window_stats(item, key)
        return max(1.0, stats.reset_time - time.time())

    def _usable(self) -> bool:
        return time.monotonic() - self._failed_s >= SILENT_S

    def _note(self, error: Exception) -> None:
        self._failed_s, self.trouble = time.monotonic(), type(error).__name__

    trouble = ""

    async def share(self, gateway: str, at_work: Mapping[str, int]) -> dict[str, int]:
        """Tells the other gateways what this one has at work by backend's URL, and returns what they have in all.

        A gateway's leases are one value that lapses when it does not renew it.
        """
        if self._redis is None or not self._usable():
            return {}
        try:
            await self._redis.set(FOLDER + gateway, json.dumps(at_work), ex=LEASE_S)
            names = [name async for name in self._redis.scan_iter(FOLDER + "*", count=100)]
            others = [name for name in names if name.decode() != FOLDER + gateway]
            values = await self._redis.mget(others) if others else []
        except Exception as error:  # noqa: BLE001 - as above
            self._note(error)
            return {}
        total: dict[str, int] = {}
        for value in filter(None, values):
            for url, count in json.loads(value).items():
                total[url] = total.get(url, 0) + int(count)
        return total

    async def leave(self, gateway: str) -> None:
        """This gateway stops: its leases are free at once."""
        if self._redis is None:
            return
        try:
            await self._redis.delete(FOLDER + gateway)
            await self._redis.aclose()
        except Exception as error:  # noqa: BLE001
            self._note(error)
