"""A stand-in for the Hugging Face Hub that speaks enough of its protocol to be downloaded from, and to break off."""

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class Hollow:
    """A file that is not read into memory: `path`'s bytes, as a range asks for them."""

    def __init__(self, path: Path) -> None:
        self.path, self.size = path, path.stat().st_size

    def __len__(self) -> int:
        return self.size

    def __getitem__(self, part: slice) -> bytes:
        first, last, _ = part.indices(self.size)
        with self.path.open("rb") as file:
            file.seek(first)
            return file.read(last - first)

    def digest(self) -> str:
        return hashlib.sha256(str(self.path).encode()).hexdigest()


@dataclass
class Hub:
    """One repository, and `others` whose files are only read. `cut_after` ends each transfer after so many bytes;
    `refused` maps a path to (status, code)."""

    repo: str = "owner/repo-GGUF"
    files: dict[str, bytes] = field(default_factory=dict)
    url: str = ""
    cut_after: int | None = None
    no_ranges: bool = False
    shift: int = 0  # how many bytes later than asked a range begins
    claimed: dict[str, int] = field(default_factory=dict)  # sizes that are not the true ones
    refused: dict[str, tuple[int, str]] = field(default_factory=dict)
    etags: dict[str, str] = field(default_factory=dict)  # checksums that are not the SHA-256 of what is sent
    ranges: list[tuple[str, str]] = field(default_factory=list)  # path, Range of every GET of a file
    tokens: set[str] = field(default_factory=set)
    sent_bytes: int = 0
    others: dict[str, dict[str, Any]] = field(default_factory=dict)


class Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass

    def do_HEAD(self) -> None:
        self.answer_file(body=False)

    def repositories(self) -> dict[str, dict[str, Any]]:
        return {self.hub.repo: self.hub.files, **self.hub.others}

    def do_GET(self) -> None:
        listed = {f"/api/models/{repo}/tree/main": files for repo, files in self.repositories().items()}
        files = listed.get(urlsplit(self.path).path)
        if files is not None:
            sizes = {name: self.hub.claimed.get(name, len(data)) for name, data in files.items()}
            tree = [{"type": "file", "path": name, "size": size} for name, size in sizes.items()]
            self.send(200, {}, json.dumps(tree).encode())
        else:
            self.answer_file(body=True)

    def answer_file(self, *, body: bool) -> None:
        hub, path = self.hub, unquote(urlsplit(self.path).path)
        hub.tokens.add(self.headers.get("Authorization", ""))
        repo, _, name = path.removeprefix("/").partition("/resolve/")
        name = name.removeprefix("main/").removeprefix(f"{COMMIT}/")
        files = self.repositories().get(repo, {})
        if name in hub.refused:
            status, code = hub.refused[name]
            self.send(status, {"X-Error-Code": code}, b"")
        elif name not in files:
            self.send(404, {"X-Error-Code": "EntryNotFound"}, b"")
        else:
            self.send_file(name, files[name], body=body)

    def send_file(self, name: str, data: Any, *, body: bool) -> None:
        hub = self.hub
        headers = {
            "ETag": f'"{hub.etags.get(name) or digest(data)}"',
            "X-Repo-Commit": COMMIT,
            "X-Linked-Size": str(hub.claimed.get(name, len(data))),
            "Accept-Ranges": "bytes",
        }
        if not body:
            self.send(200, headers, data, head=True)
            return
        wanted = self.headers.get("Range", "")
        hub.ranges.append((name, wanted))
        wanted = "" if hub.no_ranges else wanted
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        start, end = int(first or 0) + hub.shift, min(int(last or len(data)), len(data) - 1)
        if wanted:
            headers["Content-Range"] = f"bytes {start}-{end}/{len(data)}"
        self.send(206 if wanted else 200, headers, data[start : end + 1], cut_after=hub.cut_after)

    def send(
        self, status: int, headers: dict[str, str], body: Any, *, head: bool = False, cut_after: int | None = None
    ) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if not head:
            self.write(body[:cut_after])
            self.close_connection = self.close_connection or len(body[:cut_after]) < len(body)

    def write(self, body: bytes) -> None:
        try:
            self.wfile.write(body)
            self.hub.sent_bytes += len(body)
        except OSError:
            self.close_connection = True


def digest(data: Any) -> str:
    return data.digest() if isinstance(data, Hollow) else hashlib.sha256(data).hexdigest()


@contextmanager
def serve_hub(files: dict[str, bytes]) -> Iterator[Hub]:
    """A Hub with one repository on a free loopback port until the block ends."""
    hub = Hub(files=files)
    handler = type("HubHandler", (Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
