"""Pages of other origins, and tokens that somebody else signs: one gateway that needs keys, with an engine of known
speed."""

import base64
import hmac
import json
import time
import urllib.request
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key

from tests.gateway.scene import ask, emulated, gateway

CHAT = {"model": "emulated-7b", "max_tokens": 2, "messages": [{"role": "user", "content": "hi"}]}
PAGE = "https://chat.example.org"


def public(key: RSAPrivateKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


@pytest.fixture(scope="module")
def signer() -> RSAPrivateKey:
    return generate_private_key(65537, 2048)


@pytest.fixture(scope="module")
def url(signer: RSAPrivateKey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder: Path = tmp_path_factory.mktemp("browsers")
    (folder / "public.pem").write_text(public(signer))
    settings = f"""
keys_required: true
cors: ["{PAGE}"]
jwt: {{algorithm: RS256, key_file: "{folder / "public.pem"}", audience: splitter}}
"""
    with (
        emulated(folder, "--gen", "2000") as engine,
        gateway(folder, "--backend", engine.url, settings=settings) as door,
    ):
        yield door.url


def token(key: Any, algorithm: str = "RS256", **claims: Any) -> str:
    told = {"sub": "ann", "aud": "splitter", "exp": time.time() + 60, **claims}
    return jwt.encode(told, key, algorithm)


def test_a_token_signed_with_the_private_key_is_taken(url: str, signer: RSAPrivateKey) -> None:
    assert ask(f"{url}/v1/chat/completions", CHAT, token(signer))[0] == 200
    assert ask(f"{url}/v1/chat/completions", CHAT, token(signer, models=["another"]))[0] == 403


def test_other_tokens_are_not(url: str, signer: RSAPrivateKey) -> None:
    """Another's signature, another's audience, one that has ended, and the public key used as a secret."""
    stranger = generate_private_key(65537, 2048)
    wrong = [
        token(stranger),
        token(signer, aud="others"),
        token(signer, exp=time.time() - 60),
        signed_as_secret(signer),
    ]
    assert [ask(f"{url}/v1/chat/completions", CHAT, each)[0] for each in wrong] == [401] * 4


def signed_as_secret(key: RSAPrivateKey) -> str:
    """HS256 with the text of the public key: PyJWT itself would not make it."""

    def part(value: bytes) -> str:
        return base64.urlsafe_b64encode(value).rstrip(b"=").decode()

    claims = {"sub": "eve", "aud": "splitter", "exp": time.time() + 60}
    text = part(b'{"alg":"HS256","typ":"JWT"}') + "." + part(json.dumps(claims).encode())
    return f"{text}.{part(hmac.digest(public(key).strip().encode(), text.encode(), 'sha256'))}"


def asked(url: str, method: str, origin: str, **headers: str) -> tuple[int, dict[str, str]]:
    """Status and headers of what a browser sends for a page of `origin`."""
    connection = HTTPConnection("127.0.0.1", int(url.rpartition(":")[2]), timeout=20)
    connection.request(method, "/v1/models", headers={"Origin": origin, **headers})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}


WANTS = {"Access-Control-Request-Method": "GET", "Access-Control-Request-Headers": "authorization"}


def test_a_named_origin_is_answered(url: str, signer: RSAPrivateKey) -> None:
    status, headers = asked(url, "OPTIONS", PAGE, **WANTS)
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
    assert "authorization" in headers["access-control-allow-headers"]
    status, headers = asked(url, "GET", PAGE, Authorization=f"Bearer {token(signer)}")
    assert (status, headers["access-control-allow-origin"]) == (200, PAGE)
    assert "access-control-allow-credentials" not in headers
    status, headers = asked(url, "GET", PAGE)  # the page may read why it was refused
    assert (status, headers["access-control-allow-origin"]) == (401, PAGE)


def test_another_origin_is_not(url: str, signer: RSAPrivateKey) -> None:
    status, headers = asked(url, "OPTIONS", "https://evil.example", **WANTS)
    assert status == 400
    assert "access-control-allow-origin" not in headers
    status, headers = asked(url, "GET", "https://evil.example", Authorization=f"Bearer {token(signer)}")
    assert status == 403
    assert "access-control-allow-origin" not in headers


def test_what_only_the_engines_start_decides_is_named(url: str, signer: RSAPrivateKey) -> None:
    body = {**CHAT, "stream": False, "keep_alive": "5m", "options": {"num_ctx": 8192, "num_predict": 2}}
    head = {"Authorization": f"Bearer {token(signer)}"}
    request = urllib.request.Request(f"{url}/api/chat", json.dumps(body).encode(), head)
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.headers["x-splitter-ignored"] == "keep_alive, num_ctx"
        assert json.loads(answer.read())["message"]["content"]
