"""Thirty attacks: refused, told in one line, nothing leaks, and the gateway goes on."""

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.gateway.scene import Running, ask, emulated, gateway, get, key_words, wait_up

SECRET = "a-secret-of-the-signer-that-is-long-enough"
CHAT = json.dumps({"model": "emulated-7b", "max_tokens": 1, "messages": [{"role": "user", "content": "hi"}]})


@dataclass
class Castle:
    """A gateway that needs keys, and what an attacker may know."""

    door: Running
    loose: Running
    engine: Running
    key: str
    join_key: str
    folder: Path


@pytest.fixture(scope="module")
def castle(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Castle]:
    folder = tmp_path_factory.mktemp("castle")
    (folder / "jwt").write_text(SECRET)
    settings = f"""
keys_required: true
jwt: {{algorithm: HS256, key_file: "{folder / "jwt"}"}}
limits: {{body_mib: 1, header_s: 1, body_s: 1, header_kib: 16}}
"""
    key = key_words(folder, "add", "owner", "--admin").stdout.strip()
    with ExitStack() as stack:
        engine = stack.enter_context(emulated(folder))
        door = stack.enter_context(gateway(folder, "--backend", engine.url, settings=settings))
        loose = stack.enter_context(gateway(folder, "--backend", engine.url, name="loose"))
        wait_up(door.url, 1, key)
        wait_up(loose.url, 1)
        yield Castle(
            door, loose, engine, key, (folder / "config" / "splitter" / "keys" / "join.key").read_text().strip(), folder
        )


def raw(port: int, data: bytes, wait_s: float = 5, then: bytes = b"") -> bytes:
    """What comes back for bytes as they are, until the connection ends."""
    with socket.create_connection(("127.0.0.1", port), wait_s) as client:
        client.settimeout(wait_s)
        answer = b""
        try:
            client.sendall(data)
            if then:
                time.sleep(0.1)
                client.sendall(then)
            while more := client.recv(65536):
                answer += more
        except (TimeoutError, ConnectionError):
            pass
    return answer


def post(
    castle: Castle, *headers: str, body: str = CHAT, path: str = "/v1/chat/completions", length: int | None = None
) -> int:
    """The status of a request with these header lines."""
    told = [f"Authorization: Bearer {castle.key}"] if not any(h.startswith("Authorization") for h in headers) else []
    size = len(body) if length is None else length
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: localhost",
        "Connection: close",
        f"Content-Length: {size}",
        *told,
        *headers,
    ]
    return status(raw(castle.door.port, ("\r\n".join(lines) + "\r\n\r\n" + body).encode("latin-1")))


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1]) if answer.startswith(b"HTTP/") else 0


def jwt(head: dict[str, str], claims: dict[str, object], secret: str) -> str:
    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    text = f"{part(json.dumps(head).encode())}.{part(json.dumps(claims).encode())}"
    signature = hmac.new(secret.encode(), text.encode(), hashlib.sha256).digest() if secret else b""
    return f"{text}.{part(signature)}"


LATER = {"sub": "eve", "exp": 4102444800}


def join(castle: Castle, body: object, key: str | None = None, headers: dict[str, str] | None = None) -> int:
    return ask(f"{castle.door.url}/nodes/join", body, castle.join_key if key is None else key, headers=headers)[0]


MEMBER = {"name": "evil", "port": 9, "models": ["m"]}
ATTACKS: dict[str, tuple[Callable[[Castle], int], set[int]]] = {
    "no key": (lambda c: post(c, "Authorization: x"), {401}),
    "a wrong key": (lambda c: post(c, "Authorization: Bearer sk-splitter-wrong"), {401}),
    "an empty key": (lambda c: post(c, "Authorization: Bearer "), {401}),
    "a key of a megabyte": (lambda c: post(c, "Authorization: Bearer " + "x" * 1_000_000), {401, 431, 400, 0}),
    "the hash of a key": (
        lambda c: post(c, f"Authorization: Bearer {hashlib.sha256(c.key.encode()).hexdigest()}"),
        {401},
    ),
    "history without a key": (lambda c: ask(f"{c.door.url}/history", None)[0], {401}),
    "nodes without a key": (lambda c: ask(f"{c.door.url}/health/nodes", None)[0], {401}),
    "metrics without a key": (lambda c: ask(f"{c.door.url}/metrics", None)[0], {401}),
    "a signed token of alg none": (
        lambda c: post(c, f"Authorization: Bearer {jwt({'alg': 'none', 'typ': 'JWT'}, dict(LATER), '')}"),
        {401},
    ),
    "a token with another secret": (
        lambda c: post(c, f"Authorization: Bearer {jwt({'alg': 'HS256'}, dict(LATER), 'guess' * 8)}"),
        {401},
    ),
    "a token that has run out": (
        lambda c: post(c, f"Authorization: Bearer {jwt({'alg': 'HS256'}, {'sub': 'eve', 'exp': 1}, SECRET)}"),
        {401},
    ),
    "a token without an end": (
        lambda c: post(c, f"Authorization: Bearer {jwt({'alg': 'HS256'}, {'sub': 'eve'}, SECRET)}"),
        {401},
    ),
    "a huge body, announced": (lambda c: post(c, length=10**12, body=""), {413}),
    "a huge body, in chunks": (
        lambda c: status(
            raw(c.door.port, head(c, "Transfer-Encoding: chunked") + (b"40000\r\n" + b"x" * 0x40000 + b"\r\n") * 8)
        ),
        {413, 0},
    ),
    "a body that never comes": (lambda c: post(c, length=100, body="{"), {408}),
    "a head that never ends": (lambda c: status(raw(c.door.port, b"GET / HTTP/1.1\r\nX: y\r\n")), {0, 408}),
    "a head of a megabyte": (lambda c: status(raw(c.door.port, b"GET / HTTP/1.1\r\nX: " + b"y" * 1_000_000)), {431, 0}),
    "both lengths": (
        lambda c: post(c, "Transfer-Encoding: chunked", body="0\r\n\r\nGET /history HTTP/1.1\r\n\r\n"),
        {400},
    ),
    "two lengths": (lambda c: post(c, "Content-Length: 5"), {400}),
    "a bare line feed in a header": (
        lambda c: status(raw(c.door.port, b"GET /history HTTP/1.1\r\nHost: x\nAuthorization: y\r\n\r\n")),
        {400, 401},
    ),
    "a path upwards": (lambda c: ask(f"{c.door.url}/v1/../../etc/passwd", None, c.key)[0], {404}),
    "an encoded path upwards": (lambda c: ask(f"{c.door.url}/inference/%2e%2e%2fkeys/status", None, c.key)[0], {404}),
    "another method": (
        lambda c: status(raw(c.door.port, b"TRACE /v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")),
        {405, 400},
    ),
    "JSON of a hundred thousand levels": (lambda c: post(c, body="[" * 100_000), {400}),
    "a body that is no object": (lambda c: post(c, body="[1]"), {400}),
    "a wrong join key": (lambda c: join(c, MEMBER, "guess"), {401}),
    "a client's key as join key": (lambda c: join(c, MEMBER, c.key), {401}),
    "a joined address elsewhere": (lambda c: join(c, {**MEMBER, "url": "http://169.254.169.254/"}), {422}),
    "a poisoned heartbeat": (lambda c: join(c, {**MEMBER, "generation_tokens_per_s": 1e308, "slots": -1}), {422}),
    "a heartbeat that steers a terminal": (lambda c: join(c, {**MEMBER, "name": "\x1b[2J"}), {422}),
    "a forwarded address": (
        lambda c: join(c, {**MEMBER, "port": c.door.port, "name": "x" * 90}, None, {"X-Forwarded-For": "10.0.0.1"}),
        {422},
    ),
    "a page of another origin": (
        lambda c: ask(
            f"{c.loose.url}/v1/chat/completions", json.loads(CHAT), headers={"Origin": "http://evil.example"}
        )[0],
        {403},
    ),
    "a name that points here": (
        lambda c: ask(f"{c.loose.url}/history", None, headers={"Host": "evil.example"})[0],
        {421},
    ),
}


def head(castle: Castle, *lines: str) -> bytes:
    told = ["POST /v1/chat/completions HTTP/1.1", "Host: localhost", f"Authorization: Bearer {castle.key}", *lines]
    return ("\r\n".join(told) + "\r\n\r\n").encode()


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_is_refused(castle: Castle, name: str) -> None:
    attack, expected = ATTACKS[name]
    assert attack(castle) in expected
    assert ask(f"{castle.door.url}/v1/chat/completions", json.loads(CHAT), castle.key)[0] == 200
    assert castle.door.process.poll() is None


def test_there_are_thirty() -> None:
    assert len(ATTACKS) >= 30


def test_a_signed_token_is_taken(castle: Castle) -> None:
    token = jwt({"alg": "HS256"}, {**LATER, "models": ["emulated-7b"]}, SECRET)
    assert post(castle, f"Authorization: Bearer {token}") == 200


def test_nothing_leaks_into_log_history_or_answers(castle: Castle) -> None:
    ask(f"{castle.door.url}/v1/chat/completions", json.loads(CHAT), "sk-splitter-mistyped-by-a-person")
    post(castle, "X-Priority: high\x1b[31m", body="{")
    ask(f"{castle.door.url}/v1/chat/completions\x0d\x0aforged".replace("\r\n", "%0d%0a"), {}, castle.key)
    time.sleep(1)
    told = castle.door.words() + castle.loose.words()
    told += json.dumps(get(f"{castle.door.url}/history?limit=1000", castle.key))
    told += json.dumps(get(f"{castle.door.url}/health/nodes", castle.key)) + json.dumps(
        get(f"{castle.door.url}/keys", castle.key)
    )
    for secret in (castle.key, castle.join_key, SECRET, "mistyped-by-a-person"):
        assert secret not in told
    assert "\x1b" not in castle.door.words()
    assert "refused 401" in castle.door.words()
    assert not any(line.startswith("forged") for line in castle.door.words().splitlines())
    kept = b"".join(path.read_bytes() for path in (castle.folder / "data").rglob("*") if path.is_file())
    assert castle.key.encode() not in kept


def test_a_joined_engine_is_reached_where_it_asks_from_and_nowhere_else(castle: Castle) -> None:
    """It names its port alone; what does not answer there gets no request."""
    code, answer = ask(f"{castle.door.url}/nodes/join", {**MEMBER, "port": castle.engine.port}, castle.join_key)
    assert (code, answer["data"]["url"]) == (200, castle.engine.url)
    assert ask(f"{castle.door.url}/nodes/leave", {"port": castle.engine.port}, castle.join_key)[0] == 200


def test_a_client_that_takes_no_bytes_is_let_go(tmp_path: Path) -> None:
    """Its answer is large enough to fill every buffer on the way."""
    settings = "limits: {stall_s: 1}"
    with (
        emulated(tmp_path, "--gen", "200000") as engine,
        gateway(tmp_path, "--backend", engine.url, settings=settings) as door,
    ):
        wait_up(door.url, 1)
        body = json.dumps({**json.loads(CHAT), "stream": True, "max_tokens": 100_000}).encode()
        with socket.create_connection(("127.0.0.1", door.port)) as client:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (len(body), body))  # fmt: skip
            until_s = time.monotonic() + 90  # a busy machine takes long to fill the buffers
            while get(f"{door.url}/inference/queue")["data"]["running"] == 0:
                assert time.monotonic() < until_s
            while get(f"{door.url}/inference/queue")["data"]["running"]:
                assert time.monotonic() < until_s
                time.sleep(0.1)


def test_beyond_loopback_a_gateway_without_a_key_does_not_start(tmp_path: Path) -> None:
    import os
    import subprocess
    import sys

    env = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path)}
    words = [sys.executable, "-m", "splitter", "gateway", "--host", "0.0.0.0", "--port", "1"]
    done = subprocess.run(words, capture_output=True, text=True, env=env, check=False)
    assert done.returncode in {2, 4}
