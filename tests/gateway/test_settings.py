"""The settings file: an unknown key is an error with the nearest known one."""

import pytest

from splitter.engine.command import is_loopback
from splitter.errors import ProfileError
from splitter.gateway.settings import Rate, read_rate, read_settings

WHOLE = """
host: 127.0.0.1
port: 8001
backends:
  - {name: winbox, url: "http://192.168.1.20:8080/v1", slots: 2, models: [qwen]}
  - http://192.168.1.21:5001
aliases: {gpt-4o: qwen2.5-32b}
queue: {wait_s: 30, most: 10}
limits: {rate: 60/min, body_mib: 4}
history: {days: 3, text: true}
"""


def test_a_whole_file() -> None:
    settings = read_settings(WHOLE, "g.yaml")
    assert [(b.name, b.url) for b in settings.backends] == [
        ("winbox", "http://192.168.1.20:8080"),
        ("192.168.1.21:5001", "http://192.168.1.21:5001"),
    ]
    assert settings.limits.rate == Rate(60, 60)
    assert (settings.queue.wait_s, settings.queue.most, settings.history.text) == (30.0, 10, True)
    assert not settings.guarded


@pytest.mark.parametrize(
    ("text", "says", "hint"),
    [
        ("prot: 1", "g.yaml:1: unknown key 'prot'", "did you mean port?"),
        ("queue: {wait: 3}", "unknown key 'wait'", "did you mean queue.wait_s?"),
        ("backends: [{uri: x}]", "unknown key 'uri'", "did you mean backends.url?"),
        ("port: high", "port must be a whole number above 0", "port to listen on"),
        ("port: 70000", "70000 is not a port", "1 to 65535"),
        ('cors: "*"', "cors: '*' is not an origin", "https://"),
        ("limits: {rate: fast}", "limits.rate must be a rate such as 60/min", ""),
        ("backends: [ftp://x]", "is not the URL of a server", "http://127.0.0.1:8080"),
        ("backends: [{name: x}]", "a backend needs its url", ""),
        ("backends: [{name: a, url: 'http://a'}, {name: a, url: 'http://b'}]", "two backends are called a", ""),
        ("jwt: {algorithm: none, key_file: k}", "jwt.algorithm must be HS256 or RS256", ""),
        ("jwt: {algorithm: HS256}", "jwt needs both", ""),
        ("host: 0.0.0.0\nkeys_required: false", "needs a loopback host", ""),
        ("queue: 3", "queue must contain keys of its own", ""),
    ],
)
def test_a_mistake_is_named_with_its_line_and_the_next_step(text: str, says: str, hint: str) -> None:
    with pytest.raises(ProfileError) as raised:
        read_settings(text, "g.yaml")
    assert says in raised.value.message
    assert hint in raised.value.hint


@pytest.mark.parametrize("text", ["60", "x/min", "0/s", "-1/s", "60/fortnight", "1e9/s"])
def test_a_wrong_rate(text: str) -> None:
    with pytest.raises(ValueError):
        read_rate(text)


def test_beyond_loopback_a_key_is_always_needed() -> None:
    assert [is_loopback(host) for host in ("localhost", "127.0.0.1", "::1", "0.0.0.0", "box", "::")] == [
        *[True] * 3,
        *[False] * 3,
    ]
    assert read_settings("host: 0.0.0.0", "g").guarded
    assert read_settings("keys_required: true", "g").guarded
