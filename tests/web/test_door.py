"""Attacks on the page: each is refused, and the words of thirty hostile models stay words."""

import http.client
import json
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gguf
import pytest

from splitter.web.door import HEADERS
from tests.web.served import Served

pytestmark = pytest.mark.engine


@dataclass(frozen=True)
class Attack:
    """A request that must not get through. `headers` are those it sends; {key}, {session}, {csrf}, {port} and {base}
    stand for the server's own. `inside`: what would be in the answer if it did."""

    about: str
    path: str
    refused: tuple[int, ...]
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""
    inside: str = "instances"


IN = ("Cookie", "splitter-{port}={session}")
KEYED = ("Authorization", "Bearer {key}")
JSON = ("Content-Type", "application/json")
STOP = '{"all": true}'
SECRET = "root:x:0"

ATTACKS = (
    Attack("no session", "/api/v1/ps", (401,)),
    Attack("no session, a page", "/run", (401,)),
    Attack(
        "a guessed key", "/api/v1/ps", (401,), headers=(("Authorization", "Bearer AAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),)
    ),
    Attack("an empty key", "/api/v1/ps", (401,), headers=(("Authorization", "Bearer "),)),
    Attack("half of the key", "/api/v1/ps", (401,), headers=(("Authorization", "Bearer {half}"),)),
    Attack("the key as a password", "/api/v1/ps", (401,), headers=(("Authorization", "Basic {key}"),)),
    Attack("a guessed token in the first address", "/?token=AAAA", (401,)),
    Attack("the key as the cookie", "/api/v1/ps", (401,), headers=(("Cookie", "splitter-{port}={key}"),)),
    Attack("the cookie of another port", "/api/v1/ps", (401,), headers=(("Cookie", "splitter-1={session}"),)),
    Attack("a broken cookie", "/api/v1/ps", (400, 401), headers=(("Cookie", "\x01;=;splitter-{port}"),)),
    Attack(
        "DNS rebinding: a name that points here", "/api/v1/ps", (421,), headers=(("Host", "evil.example:{port}"), KEYED)
    ),
    Attack("DNS rebinding with the first address", "/?token={key}", (421,), headers=(("Host", "evil.example:{port}"),)),
    Attack("DNS rebinding with a session", "/run", (421,), headers=(("Host", "localhost.evil.example:{port}"), IN)),
    Attack("our name with another port", "/run", (421,), headers=(("Host", "127.0.0.1:1"), IN)),
    Attack("no host", "/run", (400, 421), headers=(("Host", ""), IN)),
    Attack("a fetch of another site's page", "/api/v1/ps", (403,), headers=(("Origin", "http://evil.example"), IN)),
    Attack("a page without an origin of its own", "/api/v1/ps", (403,), headers=(("Origin", "null"), IN)),
    Attack(
        "a page on another port of this machine", "/api/v1/ps", (403,), headers=(("Origin", "http://127.0.0.1:1"), IN)
    ),
    Attack(
        "an image on another site",
        "/api/v1/ps",
        (403,),
        headers=(("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "no-cors"), IN),
    ),
    Attack(
        "CSRF: a form of another site",
        "/start/stop",
        (403,),
        "POST",
        (("Origin", "http://evil.example"), IN),
        "all=true",
    ),
    Attack("CSRF: no origin, no token", "/start/stop", (403,), "POST", (IN,), "all=true"),
    Attack("CSRF: our origin, no token", "/api/v1/stop", (403,), "POST", (("Origin", "{base}"), IN, JSON), STOP),
    Attack(
        "CSRF: our origin, a guessed token",
        "/api/v1/stop",
        (403,),
        "POST",
        (("Origin", "{base}"), ("X-CSRF-Token", "0" * 64), IN, JSON),
        STOP,
    ),
    Attack("CSRF: the token, no origin", "/api/v1/stop", (403,), "POST", (("X-CSRF-Token", "{csrf}"), IN, JSON), STOP),
    Attack("CSRF by a GET", "/api/v1/stop?all=true", (405,), headers=(IN,)),
    Attack("a system file as a model", "/api/v1/inspect?model=/etc/passwd", (400,), headers=(KEYED,), inside=SECRET),
    Attack(
        "a path that climbs",
        "/api/v1/inspect?model=models/../../../../../etc/passwd",
        (400,),
        headers=(KEYED,),
        inside=SECRET,
    ),
    Attack(
        "a link out of the folder", "/api/v1/inspect?model=models/link.gguf", (400,), headers=(KEYED,), inside=SECRET
    ),
    Attack("a system file as a rig", "/api/v1/rig?rig=/etc/passwd", (400,), headers=(KEYED,), inside=SECRET),
    Attack(
        "a system file as a profile", "/api/v1/profile/show?name=/etc/passwd", (400,), headers=(KEYED,), inside=SECRET
    ),
    Attack(
        "a profile that climbs", "/api/v1/profile/show?name=../../secret.yaml", (400,), headers=(KEYED,), inside=SECRET
    ),
    Attack(
        "a system file as a script", "/api/v1/check?target=/etc/profile.sh", (400,), headers=(KEYED,), inside=SECRET
    ),
    Attack(
        "a system file in a command",
        "/api/v1/check?command=llama-server+-m+/etc/passwd",
        (400,),
        headers=(KEYED,),
        inside=SECRET,
    ),
    Attack(
        "a program of one's own as the engine",
        "/api/v1/launch",
        (400,),
        "POST",
        (KEYED, JSON),
        '{"model": "models/tiny.gguf", "engine_path": "/bin/sh"}',
        inside='"id"',
    ),
    Attack(
        "a file of the system as the key",
        "/api/v1/plan",
        (400,),
        "POST",
        (KEYED, JSON),
        '{"model": "models/tiny.gguf", "gpus": "3060", "api_key_file": "/etc/passwd"}',
        inside=SECRET,
    ),
    Attack(
        "a request to another machine",
        "/api/v1/bench",
        (400,),
        "POST",
        (KEYED, JSON),
        '{"url": "http://169.254.169.254/latest"}',
        inside='"id"',
    ),
    Attack(
        "a model from anywhere",
        "/api/v1/inspect?model=http://169.254.169.254/m.gguf",
        (400,),
        headers=(KEYED,),
        inside='"layers"',
    ),
    Attack(
        "writing somewhere else",
        "/api/v1/script",
        (400,),
        "POST",
        (KEYED, JSON),
        '{"model": "models/tiny.gguf", "gpus": "3060", "folder": "/tmp"}',
        inside='"files"',
    ),
    Attack("a static file that climbs", "/static/../door.py", (404,), headers=(IN,), inside="hmac"),
    Attack("a static file that climbs, in disguise", "/static/%2e%2e%2fdoor.py", (404,), headers=(IN,), inside="hmac"),
    Attack("a log that climbs", "/part/log/..%2f..%2fetc%2fpasswd", (404,), headers=(IN,), inside=SECRET),
    Attack("a body without end", "/api/v1/ps", (411,), "POST", (KEYED, ("Transfer-Encoding", "chunked"))),
    Attack("a body of a gigabyte", "/api/v1/ps", (413,), "POST", (KEYED, ("Content-Length", "1000000000"))),
    Attack("a work that is another's", "/work/..%2f..%2fetc", (404,), headers=(IN,), inside=SECRET),
)


def own(served: Served) -> Mapping[str, str]:
    from splitter.web.door import Door

    door = Door(served.port, served.key)
    return {"key": served.key, "half": served.key[:20], "session": door.session(), "csrf": door.csrf(),
            "port": str(served.port), "base": served.base}  # fmt: skip


def sent(served: Served, attack: Attack) -> tuple[int, dict[str, str], str]:
    """The answer to it; the path goes out as it stands."""

    def filled(text: str) -> str:
        for name, value in own(served).items():
            text = text.replace("{" + name + "}", value)
        return text

    connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
    connection.putrequest(attack.method, filled(attack.path), skip_host=any(n == "Host" for n, _ in attack.headers))
    for name, value in attack.headers:
        connection.putheader(name, filled(value))
    names = {name for name, _ in attack.headers}
    if attack.body and "Content-Length" not in names:
        connection.putheader("Content-Length", str(len(attack.body)))
    connection.endheaders()
    if attack.body:
        connection.send(attack.body.encode())
    answer = connection.getresponse()
    body = answer.read().decode("utf-8", "replace")
    connection.close()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, body


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.about)
def test_refused(served: Served, folder: Path, attack: Attack) -> None:
    link = folder / "models" / "link.gguf"
    if not link.is_symlink():
        link.symlink_to("/etc/passwd")
    status, headers, body = sent(served, attack)
    assert status in attack.refused, body
    assert attack.inside not in body
    if status not in {400} or body.startswith("{"):
        assert headers["content-security-policy"] == HEADERS["content-security-policy"]


def test_there_are_at_least_25_attacks() -> None:
    assert len(ATTACKS) >= 25


def test_who_belongs_here_gets_in(served: Served) -> None:
    """The same requests with everything right: the table above fails for the reason that it names."""
    right = (
        Attack("the key", "/api/v1/ps", (200,), headers=(KEYED,)),
        Attack("the session", "/api/v1/ps", (200,), headers=(IN,)),
        Attack("the session, by another name of ours", "/run", (200,), headers=(("Host", "localhost:{port}"), IN)),
        Attack(
            "our page changes something",
            "/api/v1/stop",
            (200,),
            "POST",
            (("Origin", "{base}"), ("X-CSRF-Token", "{csrf}"), IN, JSON),
            STOP,
        ),
        Attack(
            "a link from a letter",
            "/run",
            (200,),
            headers=(("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), IN),
        ),
    )
    for attack in right:
        status, _, body = sent(served, attack)
        assert status in attack.refused, (attack.about, body)


def test_the_first_address_becomes_a_cookie_that_is_not_the_key(served: Served) -> None:
    status, headers, _ = sent(served, Attack("", "/?token={key}", (303,)))
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"]
    assert served.key not in cookie
    assert {"HttpOnly", "SameSite=Strict"} <= {part.strip() for part in cookie.split(";")}


def test_beyond_this_machine_a_key_is_needed(folder: Path) -> None:
    served = Served(folder, ("--host", "0.0.0.0"), engine=False)
    try:
        assert served.key == ""  # the address that is printed does not open by itself
        assert served.ask("/api/v1/ps", X_Nothing="1").status == 401
        key = next(folder.rglob("api.key")).read_text().strip()
        assert served.ask("/api/v1/ps", Authorization=f"Bearer {key}").status == 200
        assert served.ask("/login", X_Nothing="1").text.count('type="password"') == 1
        opened = served.ask("/login", method="POST", body=f"key={key}".encode(), Origin=served.base)
        assert (opened.status, "SameSite=Strict" in opened.headers["set-cookie"]) == (303, True)
        assert served.ask("/login", method="POST", body=b"key=wrong", Origin=served.base).status == 401
    finally:
        served.close()


HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    '"><svg onload=alert(1)>',
    "' onmouseover='alert(1)",
    "javascript:alert(1)",
    "</title><script>alert(1)</script>",
    "</textarea><b>bold</b>",
    "{{7*7}}",
    "{% raw %}",
    "${7*7}",
    "<a href=//evil.example>x</a>",
    "\u202egnp.exe",
    "\u200bzero",
    "\x1b[31mred",
    "a\r\nSet-Cookie: x=1",
    "<!--",
    "]]>",
    "<iframe src=http://evil.example>",
    "<base href=http://evil.example/>",
    "<meta http-equiv=refresh content=0>",
    "<style>*{display:none}</style>",
    "<link rel=stylesheet href=//evil.example>",
    "&lt;b&gt;",
    "%3Cscript%3E",
    "<input autofocus onfocus=alert(1)>",
    "<details open ontoggle=alert(1)>",
    'hx-get="/x"',
    "<div hx-post=/start/stop>",
    "<form action=//evil.example>",
    "'+alert(1)+'",
)


def hostile_model(path: Path, words: str) -> None:
    """A model that can be planned, whose every text is `words`."""
    tiny = gguf.GGUFReader(Path(__file__).parents[2] / "examples" / "tiny.gguf")
    writer = gguf.GGUFWriter(str(path), "llama")
    for field in tiny.fields.values():
        name = field.name
        if name.startswith("GGUF.") or name == "general.architecture":
            continue
        kind, value = field.types[0], field.contents()
        if kind == gguf.GGUFValueType.STRING:
            writer.add_string(name, words if name.startswith("general.") else value)
        else:
            writer.add_key_value(name, value, kind, field.types[1] if len(field.types) > 1 else None)
    for text in ("general.name", "general.description", "general.basename", "general.license", "general.url"):
        if text not in tiny.fields:
            writer.add_string(text, words)
    for tensor in tiny.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(scope="module")
def hostile(folder: Path, served: Served) -> list[Path]:
    made = []
    for number, words in enumerate(HOSTILE):
        path = folder / "models" / f"hostile-{number}.gguf"
        hostile_model(path, words)
        made.append(path)
    return made


class Markup(HTMLParser):
    """What a browser would take for markup."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.foreign: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        ours = tag != "script" or given.get("src", "").startswith("/static/")
        if tag in {"iframe", "base", "style", "img", "object", "embed"} or not ours:
            self.foreign.append(tag)
        if tag == "meta" and "http-equiv" in given:
            self.foreign.append("meta http-equiv")
        self.foreign += [name for name in given if name.startswith("on")]
        for name in ("href", "src", "action", "hx-get", "hx-post", "sse-connect"):
            if not given.get(name, "/").startswith(("/", "#", "http://127.0.0.1")) or given.get(name, "").startswith(
                "//"
            ):
                self.foreign.append(f"{name}={given[name]}")


def test_the_reader_of_pages_sees_markup() -> None:
    seen = [found for words in HOSTILE for found in Markup(words).foreign]
    assert {"script", "img", "onerror", "iframe", "base", "style", "href=//evil.example"} <= set(seen)


def test_the_words_of_hostile_models_stay_words(served: Served, hostile: list[Path]) -> None:
    assert len(hostile) >= 30
    for path, words in zip(hostile, HOSTILE, strict=True):
        said: Any = served.ask(f"/api/v1/plan?model=models/{path.name}&gpus=3060&context=512")
        assert said.status == 200, said.body
        assert said.headers["content-type"] == "application/json"
        assert json.loads(said.body)["data"]["model"]["name"]
        page = served.ask(f"/part/plan?model=models/{path.name}&gpus=3060&context_size=512&full=1").text
        page += served.ask(f"/plan?model=models/{path.name}&gpus=3060&context_size={quote(words)}").text
        assert 'id="verdict"' in page
        assert Markup(page).foreign == [], words
    listed = served.ask("/part/models?gpus=3060").text
    assert Markup(listed).foreign == []


def test_what_stands_in_the_address_stays_words(served: Served) -> None:
    for words in HOSTILE:
        for path in (
            "/plan?model={}",
            "/plan?model=models/tiny.gguf&gpus={}",
            "/part/plan?model=models/tiny.gguf&goal={}",
            "/models?rig={}",
            "/measure?model={}",
            "/measure?url={}",
            "/run/{}",
            "/part/log/x?find={}",
            "/work/{}",
            "/record/{}",
        ):
            page = served.ask(path.format(quote(words, safe="")))
            assert page.status in {200, 400, 404, 422}, (path, words, page.status)
            assert Markup(page.text).foreign == [] or "json" in page.headers["content-type"], (path, words)
            assert (
                "text/html" in page.headers["content-type"]
                or not [c for c in "<>" if c in page.text]
                or "json" in page.headers["content-type"]
            )
