"""Ports, URLs, keys and what an endpoint's answers mean."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from splitter.engine.command import Server
from splitter.errors import EngineError, UsageError
from splitter.run import endpoint
from splitter.run.keys import key_of
from tests.bench.fake_server import KOBOLD_PAGES, serving


@pytest.fixture
def taken() -> Iterator[int]:
    """A port that this process listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080"),
        ("0.0.0.0", "http://127.0.0.1:8080"),
        ("::", "http://[::1]:8080"),
        ("fe80::7", "http://[fe80::7]:8080"),
        ("rig.local", "http://rig.local:8080"),
    ],
)
def test_urls_reach_the_server_from_here(host: str, url: str) -> None:
    assert endpoint.url_of(Server(host, 8080)) == url


def test_the_first_key_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("\none\ntwo\n", encoding="utf-8")
    assert key_of(Server(api_key_file=str(tmp_path / "keys"))) == "one"
    assert key_of(Server()) is None
    with pytest.raises(EngineError, match="cannot be read"):
        key_of(Server(api_key_file=str(tmp_path / "nowhere")))


def test_a_taken_port_is_seen_on_every_address_that_includes_it(taken: int) -> None:
    assert not endpoint.is_free("127.0.0.1", taken)
    assert not endpoint.is_free("0.0.0.0", taken)
    assert endpoint.is_free("127.0.0.1", endpoint.any_free_port())
    free = endpoint.next_free_port("127.0.0.1", taken)
    assert free is not None
    assert free > taken


def test_a_port_just_left_is_free() -> None:
    """A closed connection lingers in TIME_WAIT: a restart on the same port must still be allowed."""
    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            accepted, _ = server.accept()
            accepted.close()
    assert endpoint.is_free("127.0.0.1", port)


def test_the_owner_of_a_port_is_named(taken: int) -> None:
    assert f"(pid {os.getpid()})" in (endpoint.port_owner(taken) or "")
    assert endpoint.port_owner(endpoint.any_free_port()) is None
    with pytest.raises(EngineError, match=rf"already used by .*{os.getpid()}") as caught:
        endpoint.require_free(Server(port=taken))
    assert "--port" in caught.value.hint


def test_an_address_of_another_machine() -> None:
    with pytest.raises(UsageError, match="is not an address"):
        endpoint.is_free("no-such-host.invalid", 8080)


def test_who_listens(taken: int) -> None:
    assert endpoint.listens(os.getpid(), taken)
    assert not endpoint.listens(os.getpid(), endpoint.any_free_port())
    assert not endpoint.listens(2**22 + 1, taken)


def test_health_of_llama_server() -> None:
    with serving({"/health": {"status": "ok"}}, []) as server:
        assert endpoint.health("llama-server", server.url) == "ready"
    with serving({}, [], status=503) as server:
        assert endpoint.health("embedded", server.url) == "loading"
    assert endpoint.health("llama-server", server.url) == "absent"


def test_health_of_koboldcpp() -> None:
    with serving(KOBOLD_PAGES, []) as server:
        assert endpoint.health("koboldcpp", server.url) == "ready"
    with serving({**KOBOLD_PAGES, "/api/v1/model": {"result": "inactive"}}, []) as server:
        assert endpoint.health("koboldcpp", server.url) == "no_model"
    with serving({"/api/extra/version": ["not", "kobold"]}, []) as server:
        assert endpoint.health("koboldcpp", server.url) == "loading"
