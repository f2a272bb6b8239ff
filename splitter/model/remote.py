"""Files behind URLs as a source of bytes: HTTP range requests, never the whole file."""

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from email.message import Message
from typing import IO, NoReturn
from urllib.parse import quote, unquote, urljoin, urlsplit

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.cursor import FIRST_WINDOW_BYTES, LARGEST_WINDOW_BYTES
from splitter.printable import printable

TIMEOUT_S = 20.0
SLOWEST_BYTES_PER_S = 32_000
JSON_LIMIT_BYTES = 4 * LARGEST_WINDOW_BYTES
BLOCK_BYTES = 65536
_URL_CHARACTERS = "!#$%&'()*+,/:;=?@[]~"  # what stays as it is; spaces and letters beyond ASCII are encoded
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NEXT_LINK = re.compile(r"""<([^>]+)>\s*;[^,]*rel="?next"?""")

DOWNLOAD_HINT = "Download the file and name it by its path."
LATER_HINT = "Try again later, or download the file and name it by its path."
NETWORK_HINT = "Check the network and the address, or name a file on this computer."


def origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port; two URLs of one origin may share a token. An unusable URL has an empty host."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "", "", None
    return parts.scheme, parts.hostname or "", port or {"http": 80, "https": 443}.get(parts.scheme)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects with the same headers, but carries the token only within one origin."""

    def redirect_request(  # noqa: PLR0917
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if origin(req.full_url)[0] == "https" and origin(newurl)[0] != "https":
            raise urllib.error.URLError("it redirects to an insecure address")
        follow = super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]
        if follow is not None and origin(req.full_url) != origin(newurl):
            follow.remove_header("Authorization")
        return follow


class HttpSource:
    """A remote file: `first` holds its beginning, `size_bytes` comes from Content-Range."""

    def __init__(self, url: str, token: str | None, timeout_s: float) -> None:
        self.label = printable(unquote(url.partition("?")[0].rsplit("/", 1)[-1]) or origin(url)[1], 200)
        self._url = url
        self._token = token
        self._timeout_s = timeout_s
        self.size_bytes = -1
        self._first = self._fetch(0, FIRST_WINDOW_BYTES)

    def read(self, offset: int, size: int) -> bytes:
        """Bytes [offset, offset + size), fewer at the end of the file."""
        if offset + size <= len(self._first):
            return self._first[offset : offset + size]
        return self._fetch(offset, size)

    def _fetch(self, offset: int, size: int) -> bytes:
        headers = {"Range": f"bytes={offset}-{offset + size - 1}"}
        with _open(self._url, self._token, headers, self.label, self._timeout_s) as response:
            length, total = self._answered(response, offset, size)
            if self.size_bytes not in (-1, total):
                raise ModelError(f"{self.label} changed on the server while it was read.", "Try again.")
            body = _read(response, length, self.label, self._timeout_s)
            final = response.geturl()
        if len(body) < length:
            raise ModelError(f"{self.label}: the connection ended early.", LATER_HINT)
        self.size_bytes = total
        if origin(final) != origin(self._url):
            self._token = None
        self._url = final
        return body

    def _answered(self, response: http.client.HTTPResponse, offset: int, size: int) -> tuple[int, int]:
        """How many bytes the answer holds and the whole file's size; refuses an answer that is not the range."""
        if (
            response.status == http.client.OK
            and offset == 0
            and response.length is not None
            and response.length <= size
        ):
            return response.length, response.length
        match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
        if response.status != http.client.PARTIAL_CONTENT or match is None:
            raise ModelError(f"{self.label}: the server does not answer range requests.", DOWNLOAD_HINT)
        start, end, total = (int(number) for number in match.groups())
        if start != offset or not start <= end < min(offset + size, total):
            raise ModelError(f"{self.label}: the server sent a different range than requested.", DOWNLOAD_HINT)
        return end - start + 1, total


def open_url(url: str, token: str | None = None, timeout_s: float = TIMEOUT_S) -> HttpSource:
    """The file behind an http(s) URL. Raises ModelNotFoundError or ModelError with the next step."""
    return HttpSource(url, token, timeout_s)


def fetch_json(url: str, token: str | None, label: str, timeout_s: float = TIMEOUT_S) -> tuple[object, str | None]:
    """A JSON document and the URL of the next page (Link: rel="next"), if any."""
    with _open(url, token, {}, label, timeout_s) as response:
        body = _read(response, JSON_LIMIT_BYTES, label, timeout_s)
        following = _NEXT_LINK.search(response.headers.get("Link", ""))
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{label}: the server's answer is not JSON.", NETWORK_HINT) from error
    return document, urljoin(url, following[1]) if following else None


def open_from(
    url: str, token: str | None, start: int, label: str, timeout_s: float
) -> tuple[http.client.HTTPResponse, int]:
    """The answer with a file's bytes from `start` on, and where it begins: at 0 if the server does not do ranges."""
    headers = {"Range": f"bytes={start}-"} if start else {}
    response = _open(url, token, headers, label, timeout_s)
    match = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", "").strip())
    begins = int(match[1]) if match and response.status == http.client.PARTIAL_CONTENT else 0
    if begins not in {0, start}:
        response.close()
        raise ModelError(f"{label}: the server sent a different range than requested.", LATER_HINT)
    return response, begins


def _open(
    url: str, token: str | None, headers: dict[str, str], label: str, timeout_s: float
) -> http.client.HTTPResponse:
    scheme, host, _ = origin(url)
    if scheme not in {"http", "https"} or not host:
        raise ModelError(f"{printable(url, 200)} is not a usable address.", "Write https://HOST/PATH/FILE.gguf.")
    headers = {"User-Agent": "splitter", "Accept-Encoding": "identity", **headers}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    opener = urllib.request.build_opener(_Redirects)
    try:
        request = urllib.request.Request(quote(url, safe=_URL_CHARACTERS), headers=headers)  # noqa: S310  (scheme checked above)
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            _refused(error.code, error.headers.get("X-Error-Code", ""), label, host)
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _unreachable(host, error) from error
    return response


def _read(response: http.client.HTTPResponse, limit: int, label: str, timeout_s: float) -> bytes:
    """At most `limit` bytes of the body; a server that is too slow is given up on."""
    deadline = time.monotonic() + timeout_s + limit / SLOWEST_BYTES_PER_S
    blocks: list[bytes] = []
    left = limit
    try:
        while left > 0 and (block := response.read1(min(left, BLOCK_BYTES))):
            blocks.append(block)
            left -= len(block)
            if time.monotonic() > deadline:
                raise ModelError(f"{label}: the server is too slow to read a header from.", DOWNLOAD_HINT)
    except (OSError, http.client.HTTPException) as error:
        raise ModelError(f"{label}: the connection broke ({_reason(error)}).", LATER_HINT) from error
    return b"".join(blocks)


def _refused(status: int, code: str, label: str, host: str) -> NoReturn:
    """Raises what an HTTP status means; `code` is the Hub's X-Error-Code."""
    if status == 404 or code in {"RepoNotFound", "EntryNotFound", "RevisionNotFound"}:
        what = {
            "RepoNotFound": "the repository does not exist or is private",
            "RevisionNotFound": "there is no such revision",
        }
        raise ModelNotFoundError(
            f"{label} was not found at {host}: {what.get(code, 'there is no such file')}.",
            "Check the spelling; for a private repository log in with `hf auth login`.",
        )
    if status in {401, 403}:
        raise ModelError(
            f"{host} refuses access to {label} (HTTP {status}).",
            "If the model is gated, accept its conditions on its page, then log in with `hf auth login`.",
        )
    if status == 416:
        raise ModelError(f"{label} is empty on the server or shorter than it said.", "Check the address.")
    reason = "asks to slow down" if status == 429 else "cannot answer now" if status >= 500 else "refuses the request"
    raise ModelError(f"{host} {reason} (HTTP {status}) for {label}.", LATER_HINT)


def _unreachable(host: str, error: Exception) -> ModelError:
    return ModelError(f"{printable(host)} cannot be reached ({_reason(error)}).", NETWORK_HINT)


def _reason(error: Exception) -> str:
    inner = error.reason if isinstance(error, urllib.error.URLError) else error
    if isinstance(inner, TimeoutError):
        return "no answer in time"
    if isinstance(inner, OSError) and inner.strerror:
        return printable(inner.strerror)
    return printable(str(inner)) or type(inner).__name__
