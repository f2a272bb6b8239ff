"""A web server for tests on a thread: files by range, and every way a server can misbehave on the way."""

import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit


@dataclass
class Site:
    """What the server has and what it was asked. `status` maps a path to (code, X-Error-Code), `moved` to a URL."""

    folder: Path
    url: str = ""
    status: dict[str, tuple[int, str]] = field(default_factory=dict)
    moved: dict[str, str] = field(default_factory=dict)
    behaviour: dict[str, str] = field(default_factory=dict)
    documents: dict[str, tuple[object, str]] = field(default_factory=dict)  # path -> (JSON or bytes, Link)
    needs_token: str = ""
    requests: list[tuple[str, str, str]] = field(default_factory=list)  # path, Range, Authorization
    sent_bytes: int = 0


class Handler(BaseHTTPRequestHandler):
    site: Site
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        site = self.site
        site.requests.append((self.path, self.headers.get("Range", ""), self.headers.get("Authorization", "")))
        if path in site.moved:
            self.answer(302, {"Location": site.moved[path]})
        elif path in site.status:
            code, error_code = site.status[path]
            self.answer(code, {"X-Error-Code": error_code} if error_code else {}, b"nothing here")
        elif site.needs_token and self.headers.get("Authorization") != f"Bearer {site.needs_token}":
            self.answer(401, {"X-Error-Code": "GatedRepo"}, b"")
        elif self.path in site.documents:
            document, link = site.documents[self.path]
            self.answer(
                200,
                {"Link": link} if link else {},
                document if isinstance(document, bytes) else json.dumps(document).encode(),
            )
        elif (site.folder / unquote(path).lstrip("/")).is_file():
            self.send_range(site.folder / unquote(path).lstrip("/"), site.behaviour.get(path, ""))
        else:
            self.answer(404, {"X-Error-Code": "EntryNotFound"}, b"")

    def answer(self, code: int, headers: dict[str, str], body: bytes = b"", length: int | None = None) -> None:
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.write(body)

    def write(self, body: bytes) -> None:
        try:
            self.wfile.write(body)
            self.site.sent_bytes += len(body)
        except OSError:
            self.close_connection = True

    def send_range(self, file: Path, behaviour: str) -> None:
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        assert match
        start, end = int(match[1]), int(match[2])
        size = file.stat().st_size
        end = min(end, size - 1)
        if start >= size:
            self.answer(416, {"Content-Range": f"bytes */{size}"})
            return
        with file.open("rb") as opened:
            opened.seek(start)
            body = opened.read(end - start + 1)
        self.misbehave(behaviour, start, end, size, body)

    def misbehave(  # noqa: C901
        self, behaviour: str, start: int, end: int, size: int, body: bytes
    ) -> None:
        headers = {"Content-Range": f"bytes {start}-{end}/{size}"}
        if behaviour == "no-range":
            self.send_response(200)
            self.send_header("Content-Length", str(size))
            self.end_headers()
            for _ in range(size // 65536):
                if self.close_connection:
                    return
                self.write(bytes(65536))
        elif behaviour == "unknown-size":
            self.answer(206, {"Content-Range": f"bytes {start}-{end}/*"}, body)
        elif behaviour == "other-range":
            self.answer(206, {"Content-Range": f"bytes {start + 1}-{end}/{size}"}, body[1:])
        elif behaviour == "breaks-off":
            self.answer(206, headers, body[:100], length=len(body))
            self.close_connection = True
        elif behaviour == "stalls":
            self.answer(206, headers, body[:100], length=len(body))
            time.sleep(2)
        elif behaviour == "drips":
            self.answer(206, headers, b"", length=len(body))
            for at in range(40):
                self.write(body[at : at + 1])
                time.sleep(0.05)
        elif behaviour == "changes" and start > 0:
            self.answer(206, {"Content-Range": f"bytes {start}-{end}/{size + 1}"}, body)
        elif behaviour == "whole" and start == 0:
            self.answer(200, {}, body)
        else:
            self.answer(206, headers, body)


@contextmanager
def serve(folder: Path) -> Iterator[Site]:
    """Serves `folder` on a free loopback port until the block ends."""
    site = Site(folder)
    handler = type("SiteHandler", (Handler,), {"site": site})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    site.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
