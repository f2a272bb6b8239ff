"""uvicorn's HTTP protocol with bounds on what a client keeps open: the head of a request, an answer not taken."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from splitter.gateway.settings import LimitSettings


def bounded_protocol(limits: LimitSettings) -> type[HttpToolsProtocol]:  # noqa: C901 - a class in a function
    """The protocol class with these limits: the library makes an object of it for each connection."""
    head_bytes = int(limits.header_kib * 1000)

    class Bounded(HttpToolsProtocol):
        """One connection."""

        _timer: asyncio.TimerHandle | None = None
        _head = 0
        _in_head = True

        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            self._wait(limits.header_s)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                if self._timer is None:  # the next request of a kept connection
                    self._wait(limits.header_s)
                self._head += len(data)
            super().data_received(data)
            if self._in_head and self._head > head_bytes and not self.transport.is_closing():
                self.transport.write(
                    b"HTTP/1.1 431 Request Header Fields Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
                )
                self.transport.close()

        def on_headers_complete(self) -> None:
            self._in_head, self._head = False, 0
            self._rest()
            super().on_headers_complete()

        def on_response_complete(self) -> None:
            self._in_head = True
            super().on_response_complete()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._wait(limits.stall_s)

        def resume_writing(self) -> None:
            super().resume_writing()
            self._rest()

        def connection_lost(self, exc: Exception | None) -> None:
            self._rest()
            super().connection_lost(exc)

        def _wait(self, seconds: float) -> None:
            self._rest()
            self._timer = self.loop.call_later(seconds, self.transport.abort)

        def _rest(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Bounded
