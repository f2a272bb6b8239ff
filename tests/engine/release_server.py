"""A server that answers as GitHub's release API and its downloads do, ranges included. For tests."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class ReleaseServer:
    """`files` by name; `answers` replace the API's by (status, headers, body); `cut` ends downloads early once."""

    files: dict[str, bytes]
    tag: str = "b11434"
    digests: dict[str, str | None] = field(default_factory=dict)
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    cut: list[int] = field(default_factory=list)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""

    def release(self) -> dict[str, Any]:
        return {
            "tag_name": self.tag,
            "assets": [
                {
                    "name": name,
                    "browser_download_url": f"{self.url}/files/{name}",
                    "size": len(data),
                    "digest": self.digests.get(name, f"sha256:{hashlib.sha256(data).hexdigest()}"),
                }
                for name, data in self.files.items()
            ],
        }

    def reply(self, path: str, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.asked.append((path, headers))
        if path.startswith("/repos/"):
            if self.answers:
                return self.answers.pop(0)
            if path.endswith(("/latest", f"/tags/{self.tag}")):
                return 200, {"Content-Type": "application/json"}, json.dumps(self.release()).encode()
            return 404, {}, b'{"message": "Not Found"}'
        data = self.files.get(path.removeprefix("/files/"))
        if data is None:
            return 404, {}, b""
        begin = int(headers.get("Range", "bytes=0-").removeprefix("bytes=").split("-")[0])
        told = {"Content-Range": f"bytes {begin}-{len(data) - 1}/{len(data)}", "Content-Length": str(len(data) - begin)}
        body = data[begin:]
        return 206, told, body[: self.cut.pop(0)] if self.cut else body


@contextmanager
def serving(server: ReleaseServer) -> Iterator[ReleaseServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, headers, body = server.reply(self.path, dict(self.headers))
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True

        def log_message(self, *_: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
