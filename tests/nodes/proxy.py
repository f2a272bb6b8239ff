"""A TCP proxy with a delay and a bandwidth: a network between two programs on this machine.

Each direction delays what it carries by half a round trip and paces it as a link of so many bytes per second would.
"""

import queue
import socket
import threading
import time
from contextlib import suppress

CHUNK = 1 << 16
SPIN_S = 0.0004  # the end of a wait is spun: sleep wakes up late by about so much


class Proxy:
    """Listens on a port of loopback and carries to `target`. `stop()` is a pulled cable, `go()` plugs it in again."""

    def __init__(self, target: tuple[str, int], rtt_s: float = 0.0, bytes_per_s: float | None = None) -> None:
        self.target, self.rtt_s, self.bytes_per_s = target, rtt_s, bytes_per_s
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.carried = 0
        self._up = threading.Event()
        self._up.set()
        self._sockets: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self) -> None:
        self._up.clear()

    def go(self) -> None:
        self._up.set()

    def cut(self) -> None:
        """Ends every connection that there is."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()
        self._sockets = []

    def close(self) -> None:
        self._listener.close()
        self._up.set()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                there = socket.create_connection(self.target, 10)
            except OSError:
                if self._listener.fileno() < 0:
                    return
                with suppress(UnboundLocalError):
                    here.close()
                continue
            there.settimeout(None)
            for one in (here, there):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._sockets.append(one)
            for source, sink in ((here, there), (there, here)):
                line: queue.Queue[tuple[float, bytes]] = queue.Queue(maxsize=256)
                threading.Thread(target=self._read, args=(source, line), daemon=True).start()
                threading.Thread(target=self._write, args=(sink, line), daemon=True).start()

    def _read(self, source: socket.socket, line: "queue.Queue[tuple[float, bytes]]") -> None:
        free_s = 0.0  # when the link has sent what was given to it
        while True:
            try:
                data = source.recv(CHUNK)
            except OSError:
                data = b""
            now = time.perf_counter()
            free_s = max(free_s, now) + (len(data) / self.bytes_per_s if self.bytes_per_s else 0.0)
            line.put((free_s + self.rtt_s / 2, data))
            if not data:
                return

    def _write(self, sink: socket.socket, line: "queue.Queue[tuple[float, bytes]]") -> None:
        while True:
            due_s, data = line.get()
            self._up.wait()
            wait_until(due_s)
            try:
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
                self.carried += len(data)
            except OSError:
                return


def wait_until(due_s: float) -> None:
    """Returns at `due_s` of perf_counter, to some microseconds."""
    left = due_s - time.perf_counter()
    if left > SPIN_S:
        time.sleep(left - SPIN_S)
    while time.perf_counter() < due_s:
        pass
