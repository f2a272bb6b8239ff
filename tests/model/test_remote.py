import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from io import BytesIO
from pathlib import Path

import pytest

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model import remote
from splitter.model.header import read_header
from splitter.model.load import load_model
from splitter.model.remote import fetch_json, open_url, origin
from tests.model.gguf_files import ARCHITECTURE, array, pair, raw_file, row, string, write_model
from tests.model.http_server import Site, serve

TOKENS = pair("tokenizer.ggml.tokens", 9, array(8, 120_000, string("x" * 40) * 120_000))
DATA_BYTES = 2**28


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with serve(tmp_path) as running:
        yield running


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")


def big_file(folder: Path) -> int:
    """big.gguf: a header of 5.5 MiB and a hole of 256 MiB for one tensor; returns the header's size."""
    header = raw_file([ARCHITECTURE, TOKENS], [row("output.weight", [DATA_BYTES // 4])])
    path = folder / "big.gguf"
    path.write_bytes(header)
    os.truncate(path, len(header) + DATA_BYTES)
    return len(header)


def test_reads_the_header_in_growing_ranges_only(site: Site) -> None:
    header_bytes = big_file(site.folder)
    facts = load_model(f"{site.url}/big.gguf")
    assert (facts.vocabulary, facts.file_bytes) == (120_000, header_bytes + DATA_BYTES)
    assert facts.path == f"{site.url}/big.gguf"
    assert facts.name == "big"
    lengths = [int(end) - int(start) + 1 for start, end in (r[1][6:].split("-") for r in site.requests)]
    assert lengths == [2**20, 2**21, 2**22]
    assert site.sent_bytes == sum(lengths)


def test_same_facts_as_the_local_file(site: Site) -> None:
    path = write_model(site.folder / "tiny model.gguf")
    away = load_model(f"{site.url}/tiny%20model.gguf?download=true")
    here = load_model(str(path))
    assert replace(away, path=here.path) == here
    assert len(site.requests) == 1


def test_an_address_with_spaces_and_umlauts(site: Site) -> None:
    write_model(site.folder / "größe 大.gguf")
    assert load_model(f"{site.url}/größe 大.gguf").layers == 2


def test_split_set_over_http(site: Site) -> None:
    write_model(site.folder / "m.gguf", split_max_tensors=3)
    facts = load_model(f"{site.url}/m-00001-of-00003.gguf")
    assert [tensor.part for tensor in facts.tensors] == [0, 0, 0, 1, 1, 1, 2]
    (site.folder / "m-00002-of-00003.gguf").unlink()
    with pytest.raises(ModelNotFoundError, match="Part 2 of 3 of the split model is missing"):
        load_model(f"{site.url}/m-00001-of-00003.gguf")


def test_truncated_on_the_server(site: Site) -> None:
    path = write_model(site.folder / "tiny.gguf")
    os.truncate(path, path.stat().st_size - 1000)
    with pytest.raises(ModelError, match=r"tiny\.gguf is cut short: 1000 bytes"):
        load_model(f"{site.url}/tiny.gguf")


def test_a_small_file_may_come_whole(site: Site) -> None:
    write_model(site.folder / "tiny.gguf")
    site.behaviour["/tiny.gguf"] = "whole"
    assert load_model(f"{site.url}/tiny.gguf").layers == 2


MISBEHAVIOUR = {
    "no-range": "does not answer range requests",
    "unknown-size": "does not answer range requests",
    "other-range": "sent a different range",
    "breaks-off": "the connection ended early",
    "stalls": r"the connection broke \(no answer in time\)",
    "drips": "too slow",
    "changes": "changed on the server",
}


@pytest.mark.parametrize("behaviour", MISBEHAVIOUR)
def test_misbehaving_servers(site: Site, behaviour: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SLOWEST_BYTES_PER_S", 1e9)
    big_file(site.folder)
    site.behaviour["/big.gguf"] = behaviour
    start = time.monotonic()
    with pytest.raises(ModelError, match=MISBEHAVIOUR[behaviour]) as caught:
        read_header(open_url(f"{site.url}/big.gguf", timeout_s=0.4))
    assert time.monotonic() - start < 1.9
    assert caught.value.hint
    assert site.sent_bytes < 16 * 2**20, "the file was read whole"


STATUS = {
    (401, ""): (ModelError, "refuses access"),
    (403, "GatedRepo"): (ModelError, "refuses access"),
    (401, "RepoNotFound"): (ModelNotFoundError, "does not exist or is private"),
    (404, "EntryNotFound"): (ModelNotFoundError, "there is no such file"),
    (404, "RevisionNotFound"): (ModelNotFoundError, "no such revision"),
    (404, ""): (ModelNotFoundError, "was not found at 127.0.0.1"),
    (416, ""): (ModelError, "empty on the server"),
    (429, ""): (ModelError, "asks to slow down"),
    (503, ""): (ModelError, "cannot answer now"),
    (418, ""): (ModelError, "refuses the request"),
}


@pytest.mark.parametrize("status", STATUS)
def test_status(site: Site, status: tuple[int, str]) -> None:
    site.status["/m.gguf"] = status
    kind, words = STATUS[status]
    with pytest.raises(kind, match=words) as caught:
        load_model(f"{site.url}/m.gguf")
    assert type(caught.value) is kind
    if status[0] in {401, 403}:
        assert "hf auth login" in caught.value.hint


def test_redirect_keeps_the_range_and_drops_the_token_elsewhere(site: Site, tmp_path: Path) -> None:
    (tmp_path / "cdn").mkdir()
    with serve(tmp_path / "cdn") as cdn:
        big_file(cdn.folder)
        site.moved["/a/m.gguf"] = "/b/m.gguf"
        site.moved["/b/m.gguf"] = f"{cdn.url}/big.gguf?signature=1"
        read_header(open_url(f"{site.url}/a/m.gguf", token="secret"))
        first = "bytes=0-1048575"
        assert site.requests == [("/a/m.gguf", first, "Bearer secret"), ("/b/m.gguf", first, "Bearer secret")]
        assert [request[0] for request in cdn.requests] == ["/big.gguf?signature=1"] * 3
        assert cdn.requests[0][1] == first
        assert {request[2] for request in cdn.requests} == {""}


def test_redirect_circle(site: Site) -> None:
    site.moved["/m.gguf"] = "/m.gguf"
    with pytest.raises(ModelError, match="HTTP 302"):
        load_model(f"{site.url}/m.gguf")


def test_redirect_to_a_file_of_this_computer(site: Site) -> None:
    site.moved["/m.gguf"] = "file:///etc/passwd"
    with pytest.raises(ModelError, match="HTTP 302"):
        load_model(f"{site.url}/m.gguf")


def test_redirect_from_https_to_http_is_refused() -> None:
    request = urllib.request.Request("https://huggingface.co/m.gguf")
    with pytest.raises(urllib.error.URLError, match="insecure"):
        remote._Redirects().redirect_request(
            request, BytesIO(), 302, "Found", Message(), "http://huggingface.co/m.gguf"
        )


def test_json_that_is_none(site: Site) -> None:
    site.documents["/broken"] = (b"<html>", "")
    site.documents["/deep"] = (0, "")
    with pytest.raises(ModelError, match="hub: the server's answer is not JSON"):
        fetch_json(f"{site.url}/broken", None, "hub")
    assert fetch_json(f"{site.url}/deep", None, "hub") == (0, None)


def test_nobody_listens() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    with pytest.raises(ModelError, match=r"127\.0\.0\.1 cannot be reached \(Connection refused\)"):
        load_model(f"http://127.0.0.1:{port}/m.gguf")


def test_a_server_that_never_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/m.gguf"
        with pytest.raises(ModelError, match=r"cannot be reached \(no answer in time\)"):
            open_url(url, timeout_s=0.2)


def test_a_server_that_speaks_something_else() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"SSH-2.0-OpenSSH\r\n")

        thread = threading.Thread(target=talk)
        thread.start()
        with pytest.raises(ModelError, match=r"127\.0\.0\.1 cannot be reached"):
            open_url(f"http://127.0.0.1:{server.getsockname()[1]}/m.gguf", timeout_s=1)
        thread.join()


@pytest.mark.parametrize(
    "url", ["http://", "https:///m.gguf", "http://[::1", "http://h:99999/m", "http://h h/m", "http://\x1b/x"]
)
def test_unusable_addresses(url: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_model(url)
    assert caught.value.message.isprintable()


def test_a_password_in_the_address_stays_out_of_messages() -> None:
    with pytest.raises(ModelError) as caught:
        load_model("http://user:hunter2@127.0.0.1:1/m.gguf")
    assert "hunter2" not in caught.value.message + caught.value.hint


def test_origins() -> None:
    assert origin("https://huggingface.co/a") == origin("https://huggingface.co:443/b")
    assert origin("https://huggingface.co") != origin("http://huggingface.co")
    assert origin("https://huggingface.co.evil.com") != origin("https://huggingface.co")
