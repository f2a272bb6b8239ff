"""Keeper: what runs beside the requests: probes, who runs here, who joined, keys, history, leases. One task each."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from splitter.errors import SplitterError
from splitter.gateway.backend import GatewayBackend
from splitter.gateway.described import sound_name
from splitter.gateway.door import FrontDoor
from splitter.gateway.gate import KeyGate
from splitter.gateway.joined import Member
from splitter.gateway.keys import KeyRing
from splitter.gateway.metrics import Metrics
from splitter.gateway.pace import told
from splitter.gateway.probe import Probed, probe
from splitter.gateway.quota import Quota
from splitter.gateway.record import RequestRecord
from splitter.gateway.standing import after_probe
from splitter.gateway.store import Store
from splitter.run.entry import Entry
from splitter.run.keys import read_key
from splitter.run.registry import Registry

LOOK_S = 0.25
PROBE_EVERY_S = 1.0
DESCRIBE_EVERY_S = 30.0
FOUND_EVERY_S = 2.0
KEYS_EVERY_S = 2.0
WRITE_EVERY_S = 0.5
SHARE_EVERY_S = 0.5
FORGET_EVERY_S = 3600.0
HEARTBEAT_S = 5.0
LAPSE_S = 4 * HEARTBEAT_S  # without a heartbeat after which a joined engine is forgotten
STALLED_S = 3.0  # a stream without a byte from a backend that does not answer probes either
MOST_KEPT = 20_000  # finished requests in memory while the database is away
MOST_WRITTEN = 500


@dataclass(eq=False)
class Keeper:
    """`say` gets one line for what an operator should know. `name` is this gateway's."""

    door: FrontDoor
    gate: KeyGate
    quota: Quota
    store: Store
    metrics: Metrics
    name: str
    say: Callable[[str], None]
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    probing: set[str] = field(default_factory=set)
    away: bool = False

    async def start(self) -> None:
        """Keys and members are there before the first request."""
        await self._read_keys()
        await self._read_members()
        if self.door.settings.found:
            await self._find()
        await asyncio.gather(*(self._probe(backend) for backend in self.door.backends.values()))
        jobs: list[tuple[float, Callable[[], Awaitable[None]]]] = [
            (LOOK_S, self._look),
            (PROBE_EVERY_S, self._probe_all),
            (KEYS_EVERY_S, self._read_keys),
            (KEYS_EVERY_S, self._read_members),
            (WRITE_EVERY_S, self._write),
            (SHARE_EVERY_S, self._share),
            (FORGET_EVERY_S, self._forget),
        ]
        if self.door.settings.found:
            jobs.append((FOUND_EVERY_S, self._find))
        self.tasks = [asyncio.create_task(self._every(pause_s, job)) for pause_s, job in jobs]

    async def stop(self) -> None:
        """What is finished is written; what is leased is given back."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)
        await self._write()
        await self.quota.leave(self.name)
        await asyncio.to_thread(self.store.close)

    def finished(self, record: RequestRecord) -> None:
        """A request has ended, whichever way."""
        self.metrics.finished(record)
        if len(self.rows) < MOST_KEPT:
            self.rows.append(record.row())

    async def _every(self, pause_s: float, job: Callable[[], Awaitable[None]]) -> None:
        """A job that fails is tried again: a gateway goes on without its database."""
        while True:
            await asyncio.sleep(pause_s)
            try:
                await job()
            except SplitterError as error:
                self._tell_away(error)
            except Exception as error:  # noqa: BLE001 - one failing job must not end the others
                self.say(f"internal error in {job.__name__}: {type(error).__name__}: {error}")

    def _tell_away(self, error: SplitterError) -> None:
        if not self.away:
            self.say(f"{error.message} ({error.hint}); requests go on")
        self.away = True

    # backends

    async def _look(self) -> None:
        now_s = self.door.now_s()
        for backend in self.door.backends.values():
            self._abort_dead(backend, now_s)
        self.door.look()
        self.metrics.look(self.door)

    def _abort_dead(self, backend: GatewayBackend, now_s: float) -> None:
        """At a backend that is down: requests without a byte are asked elsewhere, a stream that stalls is ended."""
        if backend.standing.state != "down":
            return
        for lease in list(backend.leases):
            stalled = lease.first_s is None or (backend.standing.silent and now_s - lease.last_s > STALLED_S)
            if stalled and lease.started_s < backend.standing.failed_at_s:
                lease.abort(backend.standing.reason or "it does not answer")

    async def _probe_all(self) -> None:
        for backend in list(self.door.backends.values()):
            if backend.name not in self.probing:
                task = asyncio.create_task(self._probe(backend))
                task.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _probe(self, backend: GatewayBackend) -> None:
        """A probe that hangs delays no other one."""
        self.probing.add(backend.name)
        try:
            stale = self.door.now_s() - backend.described_at_s > DESCRIBE_EVERY_S
            describe = stale or not backend.standing.serves
            seen = await asyncio.to_thread(probe, backend.url, backend.api_key, backend.kind, describe=describe)
        finally:
            self.probing.discard(backend.name)
        self.saw(backend, seen)

    def saw(self, backend: GatewayBackend, seen: Probed) -> None:
        """What a probe saw."""
        now_s, before = self.door.now_s(), backend.standing.state
        backend.standing = after_probe(backend.standing, seen.pulse, now_s)
        backend.kind = seen.kind or backend.kind
        if seen.pulse == "ready":
            backend.seen_s = time.time()
        if seen.described is not None:
            backend.described, backend.described_at_s = seen.described, now_s
        if seen.pulse in {"absent", "loading"}:
            backend.restarted()
        if backend.standing.state != before:
            reason = f": {backend.standing.reason}" if backend.standing.reason else ""
            self.say(f"backend {backend.name} ({backend.url}): {before} -> {backend.standing.state}{reason}")
            self.door.kick()

    async def test(self, backend: GatewayBackend) -> None:
        """Asks it now."""
        await self._probe(backend)

    async def _find(self) -> None:
        """The instances of this machine's registry."""
        entries = await asyncio.to_thread(self._entries)
        found = {entry.url: (entry, key) for entry, key in entries}
        for backend in list(self.door.backends.values()):
            if backend.origin == "found" and backend.url not in found:
                self._remove(backend)
        urls = {backend.url for backend in self.door.backends.values()}
        for url, (entry, key) in found.items():
            if url not in urls:
                names = (entry.model_name, PurePath(entry.model_path).name)
                models = tuple(dict.fromkeys(name for name in names if sound_name(name)))
                facts = {
                    "engine": entry.engine_kind,
                    "version": entry.engine_version,
                    "rig": [d.name for d in entry.devices],
                }
                self.add(GatewayBackend(self.free_name(entry.name), url, "found", key, models, facts=facts))

    def _entries(self) -> list[tuple[Entry, str | None]]:
        """Ready instances with their keys; one whose key cannot be read is left out."""
        found: list[tuple[Entry, str | None]] = []
        for entry in Registry().entries():
            if entry.phase in {"ready", "degraded"}:
                with suppress(SplitterError):
                    found.append((entry, read_key(entry.api_key_file) if entry.api_key_file else None))
        return found

    def free_name(self, wanted: str) -> str:
        """`wanted`, with a number where another backend has it."""
        names = [wanted, *(f"{wanted}-{number}" for number in range(2, 1000))]
        return next(name for name in names if name not in self.door.backends)

    def add(self, backend: GatewayBackend) -> None:
        """A backend more."""
        self.door.backends[backend.name] = backend
        task = asyncio.create_task(self._probe(backend))
        task.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _remove(self, backend: GatewayBackend) -> None:
        """What it works on is ended as its engine ends."""
        self.door.backends.pop(backend.name, None)
        self.say(f"backend {backend.name} ({backend.url}) is gone")

    async def joins(self, member: Member, address: str) -> GatewayBackend:
        """A heartbeat from `address`: kept for the other gateways, and for this one after a restart."""
        host = f"[{address}]" if ":" in address else address
        url = f"{member.scheme}://{host}:{member.port}"
        backend = self._member(url, member)
        try:
            await asyncio.to_thread(self.store.keep_member, url, member.model_dump())
        except SplitterError as error:
            self._tell_away(error)
        return backend

    async def leaves(self, port: int, address: str) -> None:
        """It stops: no new requests go there."""
        host = f"[{address}]" if ":" in address else address
        for backend in list(self.door.backends.values()):
            if backend.origin == "joined" and backend.url.endswith(f"://{host}:{port}"):
                await asyncio.to_thread(self.store.drop_member, backend.url)
                self._remove(backend)

    def _member(self, url: str, member: Member) -> GatewayBackend:
        known = next((backend for backend in self.door.backends.values() if backend.url == url), None)
        models = tuple(name for name in member.models if sound_name(name))
        if known is None:
            pace = told(member.prompt_tokens_per_s, member.generation_tokens_per_s)
            name = self.free_name(member.name)
            known = GatewayBackend(
                name, url, "joined", member.api_key, models, member.slots, pace=pace, facts=member.facts()
            )
            self.say(f"backend {name} ({url}) joined")
            self.add(known)
        elif known.origin == "joined":
            known.told_models, known.told_slots, known.facts = models, member.slots, member.facts()
            known.api_key = member.api_key
        return known

    async def _read_members(self) -> None:
        """Those of the database: after a restart, or joined at another gateway."""
        kept = await asyncio.to_thread(self.store.members, LAPSE_S)
        for url, data in kept.items():
            self._member(url, Member.model_validate(data))
        for backend in list(self.door.backends.values()):
            if backend.origin == "joined" and backend.url not in kept:
                self._remove(backend)

    # keys, history, leases

    async def _read_keys(self) -> None:
        records = await asyncio.to_thread(self.store.all_keys)
        self.gate.ring = KeyRing(records)
        if self.away:
            self.say("the database answers again")
        self.away = False

    async def _write(self) -> None:
        while self.rows:
            rows = self.rows[:MOST_WRITTEN]
            await asyncio.to_thread(self.store.write, rows)
            del self.rows[: len(rows)]

    async def _share(self) -> None:
        at_work = {backend.url: len(backend.leases) for backend in self.door.backends.values() if backend.leases}
        others = await self.quota.share(self.name, at_work)
        for backend in self.door.backends.values():
            backend.elsewhere = others.get(backend.url, 0)
        if others:
            self.door.kick()

    async def _forget(self) -> None:
        await asyncio.to_thread(self.store.forget, self.door.settings.history.days)
