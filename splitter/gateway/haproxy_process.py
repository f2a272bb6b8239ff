"""Starts HAProxy with the written configuration, and starts it again when it ends."""

import asyncio
import os
import shutil
import signal
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from splitter.errors import EngineNotFoundError, UsageError
from splitter.folders import state_folder
from splitter.gateway.backend import GatewayBackend
from splitter.gateway.haproxy import Upstream, haproxy_config, word_of
from splitter.gateway.settings import GatewaySettings
from splitter.run.endpoint import ANY_ADDRESS
from splitter.whole_file import write_whole

PAUSE_S = 1.0  # before it is started again
STOP_S = 120.0
SOCKET_PATH_BYTES = 97  # HAProxy's limit (src/cfgparse.c, 2.6)
LISTEN_S, LOOK_S = 15.0, 0.05


def upstream(backend: GatewayBackend) -> Upstream:
    """A backend as HAProxy is told of it."""
    engine = backend.kind.engine if backend.kind else None
    page = engine.pulse_path if engine else "/v1/models"
    return Upstream(word_of(backend.name), backend.url, page, backend.slots, tuple(sorted(backend.models)))


class HaproxyProcess:
    """One HAProxy. `say` gets a line when it ends by itself."""

    def __init__(self, settings: GatewaySettings, say: Callable[[str], None]) -> None:
        self._settings, self._say = settings, say
        self._process: asyncio.subprocess.Process | None = None
        self._watch: asyncio.Task[None] | None = None
        self._folder: tempfile.TemporaryDirectory[str] | None = None  # removed with this object

    @property
    def file(self) -> Path:
        """Its configuration."""
        return state_folder() / f"haproxy-{self._settings.port}.cfg"

    async def start(self, backends: list[GatewayBackend]) -> None:
        """Writes, checks and starts. UsageError with HAProxy's own words for a configuration that it refuses."""
        program = shutil.which(self._settings.haproxy.path)
        if program is None:
            hint = "install it (Debian: apt install haproxy), or name it: haproxy: {path: ...}"
            raise EngineNotFoundError("HAProxy is not here", hint)
        self.file.parent.mkdir(parents=True, exist_ok=True)
        text = haproxy_config(self._settings, [upstream(backend) for backend in backends], str(self._socket()))
        write_whole(self.file, text, 0o600)
        check = await asyncio.create_subprocess_exec(
            program, "-c", "-f", str(self.file), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        words, _ = await check.communicate()
        if check.returncode:
            raise UsageError(
                f"HAProxy refuses its configuration: {words.decode('utf-8', 'replace')[-800:]}", "see above"
            )
        await self._run(program)
        await self._listening()
        self._watch = asyncio.create_task(self._keep(program))

    def _socket(self) -> Path:
        """For its commands: beside the configuration, or in a folder of its own where that path is too long for one."""
        beside = self.file.with_suffix(".sock")
        if len(os.fsencode(beside)) <= SOCKET_PATH_BYTES:
            return beside
        self._folder = self._folder or tempfile.TemporaryDirectory(prefix="splitter-")
        return Path(self._folder.name) / beside.name

    async def _run(self, program: str) -> None:
        """In a session of its own: Ctrl-C is for the gateway, which then ends it."""
        self._process = await asyncio.create_subprocess_exec(
            program, "-db", "-f", str(self.file), start_new_session=True
        )

    async def _listening(self) -> None:
        """UsageError where it does not listen in LISTEN_S: its words are on standard error."""
        own = self._settings.haproxy
        host, port = ANY_ADDRESS.get(own.host, own.host), own.port or self._settings.port + 1
        for _ in range(int(LISTEN_S / LOOK_S)):
            with suppress(OSError):
                _, writer = await asyncio.open_connection(host, port)
                writer.close()
                return
            await asyncio.sleep(LOOK_S)
        raise UsageError(f"HAProxy does not listen on {host}:{port}", "is the port free? haproxy: {port: ...}")

    async def _keep(self, program: str) -> None:
        while self._process is not None:
            code = await self._process.wait()
            self._say(f"HAProxy ended with exit code {code}; it is started again")
            await asyncio.sleep(PAUSE_S)
            await self._run(program)

    async def stop(self) -> None:
        """Softly: what it passes on is finished first."""
        if self._watch is not None:
            self._watch.cancel()
        process = self._process
        if process is None or process.returncode is not None:
            return
        process.send_signal(getattr(signal, "SIGUSR1", signal.SIGTERM))
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_S):
                await process.wait()
                return
        process.kill()
        await process.wait()
