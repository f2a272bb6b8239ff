"""The gateway's settings: YAML in one table of keys, an unknown key an error that names the nearest. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import urlsplit

from splitter.engine.command import is_loopback
from splitter.errors import ProfileError
from splitter.gateway.names import MAX_NAME
from splitter.profile.tree import Node, parse_tree

Kind = Literal["text", "integer", "number", "boolean", "texts", "origins", "rate"]
PERIODS: Mapping[str, int] = {
    "s": 1,
    "sec": 1,
    "second": 1,
    "min": 60,
    "minute": 60,
    "h": 3600,
    "hour": 3600,
    "day": 86400,
}
LARGEST = 1e9


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `count` requests in `seconds`."""

    count: int
    seconds: int

    def __str__(self) -> str:
        period = next(name for name, seconds in PERIODS.items() if seconds == self.seconds)
        return f"{self.count}/{period}"


def read_rate(text: str) -> Rate:
    """`60/min`, `5/s`, `1000/day`. ValueError for anything else."""
    count, slash, period = text.strip().lower().partition("/")
    seconds = PERIODS.get(period.strip()) or PERIODS.get(period.strip().removesuffix("s"))
    if not slash or not count.strip().isdecimal() or not seconds or not 0 < int(count) < LARGEST:
        raise ValueError("a rate such as 60/min (also /s, /hour, /day)")
    return Rate(int(count), seconds)


@dataclass(frozen=True, slots=True)
class BackendSettings:
    """An engine that somebody named: `models` are added to what it says itself; `slots` None: asked from it."""

    url: str
    name: str
    api_key_file: str | None = None
    models: tuple[str, ...] = ()
    slots: int | None = None


@dataclass(frozen=True, slots=True)
class QueueSettings:
    """`most` requests may wait, each for `wait_s`; where no backend of the model answers at all, `down_s`. A waiting
    request counts one priority better for every `age_s`."""

    most: int = 1000
    wait_s: float = 120.0
    down_s: float = 15.0
    age_s: float = 30.0


@dataclass(frozen=True, slots=True)
class LimitSettings:
    """What one request, one connection and all of them may take. `rate`, `at_once`: of a key that has no own."""

    body_mib: float = 32.0
    header_kib: float = 64.0
    header_s: float = 10.0
    body_s: float = 60.0
    stall_s: float = 60.0
    connections: int = 2048
    rate: Rate | None = None
    at_once: int | None = None
    output_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class HistorySettings:
    """How long requests are kept, and whether with their texts."""

    days: float = 30.0
    text: bool = False


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """Tokens that somebody else signs: HS256 with a secret, RS256 with a public key, in `key_file`."""

    algorithm: str = ""
    key_file: str = ""
    audience: str | None = None
    issuer: str | None = None


@dataclass(frozen=True, slots=True)
class HaproxySettings:
    """HAProxy in front of `gateways` (URLs; none: this one) on host:port, and on `engines_port` straight before the
    engines. `path`: its program."""

    port: int | None = None
    host: str = "127.0.0.1"
    gateways: tuple[str, ...] = ()
    engines_port: int | None = None
    metrics_port: int | None = None
    path: str = "haproxy"


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """Everything that a gateway is told."""

    host: str = "127.0.0.1"
    port: int = 8000
    backends: tuple[BackendSettings, ...] = ()
    found: bool = True
    aliases: Mapping[str, str] = field(default_factory=dict)
    default_model: str | None = None
    keys_required: bool | None = None
    database: str | None = None
    shared: str | None = None
    join_key_file: str | None = None
    cors: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()
    stop_s: float = 120.0
    queue: QueueSettings = QueueSettings()
    limits: LimitSettings = LimitSettings()
    history: HistorySettings = HistorySettings()
    jwt: JwtSettings = JwtSettings()
    haproxy: HaproxySettings = HaproxySettings()

    @property
    def guarded(self) -> bool:
        """Whether every request needs a key: always beyond loopback."""
        return bool(self.keys_required) or not is_loopback(self.host)


KEYS: Mapping[str, tuple[Kind, str]] = {
    "host": ("text", "address to listen on"),
    "port": ("integer", "port to listen on"),
    "found": ("boolean", "whether this machine's running instances are backends"),
    "default_model": ("text", "the model of a request that names none"),
    "keys_required": ("boolean", "whether loopback needs a key too"),
    "database": (
        "text",
        "where keys and history lie: a SQLAlchemy URL, such as postgresql+psycopg://...; absent: SQLite",
    ),
    "shared": ("text", "Redis or Valkey for limits and leases of several gateways: redis://..."),
    "join_key_file": ("text", "file of the key with which engines join"),
    "cors": ("origins", "origins whose pages may use the gateway"),
    "hosts": ("texts", "names by which this gateway is called, beside localhost and its address"),
    "trusted_proxies": ("texts", "addresses whose X-Forwarded-For is believed"),
    "stop_s": ("number", "how long running requests may take when the gateway stops"),
    "queue.most": ("integer", "how many requests may wait"),
    "queue.wait_s": ("number", "how long a request may wait"),
    "queue.down_s": ("number", "how long a request waits for a model whose backends are all down"),
    "queue.age_s": ("number", "how long until a waiting request counts one priority better"),
    "limits.body_mib": ("number", "the largest body"),
    "limits.header_kib": ("number", "the largest head of a request"),
    "limits.header_s": ("number", "how long the head of a request may take"),
    "limits.body_s": ("number", "how long a body may take"),
    "limits.stall_s": ("number", "how long a client may take no bytes of its answer"),
    "limits.connections": ("integer", "connections at once"),
    "limits.rate": ("rate", "requests of a key that has no rate of its own, such as 60/min"),
    "limits.output_tokens": ("integer", "the longest answer to a request that sets no limit: some models never end"),
    "limits.at_once": ("integer", "requests that a key may have running and waiting at once"),
    "history.days": ("number", "how long requests are kept"),
    "history.text": ("boolean", "whether prompts and answers are kept too"),
    "jwt.algorithm": ("text", "HS256 or RS256"),
    "jwt.key_file": ("text", "the secret (HS256) or the public key (RS256)"),
    "jwt.audience": ("text", "the audience that a token must name"),
    "jwt.issuer": ("text", "the issuer that a token must name"),
    "haproxy.path": ("text", "HAProxy's program"),
    "haproxy.host": ("text", "address of HAProxy"),
    "haproxy.port": ("integer", "port of HAProxy in front of the gateways"),
    "haproxy.gateways": ("texts", "URLs of the gateways behind HAProxy; absent: this one"),
    "haproxy.engines_port": ("integer", "port of HAProxy straight before the engines"),
    "haproxy.metrics_port": ("integer", "port of HAProxy's own Prometheus metrics"),
}
BACKEND_KEYS: Mapping[str, tuple[Kind, str]] = {
    "url": ("text", "such as http://192.168.1.20:8080"),
    "name": ("text", "what it is called here"),
    "api_key_file": ("text", "file of the key that it wants"),
    "models": ("texts", "names of its model beside its own"),
    "slots": ("integer", "how many requests it works on at once"),
}
SECTIONS = ("queue", "limits", "history", "jwt", "haproxy")
TREES = ("backends", "aliases")


def read_settings(text: str, source: str) -> GatewaySettings:
    """The settings written in `text`. ProfileError names file, line, key and what was expected."""
    given: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, node in parse_tree(text, source).items():
        if name in SECTIONS:
            sections[name] = _section(name, node, source)
        elif name == "backends":
            given[name] = _backends(node, source)
        elif name == "aliases":
            given[name] = _aliases(node, source)
        elif name in KEYS:
            given[name] = _checked(name, KEYS[name], node, source)
        else:
            raise _unknown(name, [*(k for k in KEYS if "." not in k), *SECTIONS, *TREES], node.line, source)
    told = GatewaySettings(**given)
    return checked(replace(told, **{n: replace(getattr(told, n), **values) for n, values in sections.items()}), source)


def checked(settings: GatewaySettings, source: str) -> GatewaySettings:
    """`settings` where they agree with each other. ProfileError otherwise."""
    names = [backend.name for backend in settings.backends]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ProfileError(f"{source}: two backends are called {min(twice)}", "give each a name of its own")
    if settings.jwt.algorithm not in {"", "HS256", "RS256"}:
        raise ProfileError(f"{source}: jwt.algorithm must be HS256 or RS256", "others are not accepted")
    if bool(settings.jwt.algorithm) != bool(settings.jwt.key_file):
        raise ProfileError(f"{source}: jwt needs both algorithm and key_file", "give both, or neither")
    for port in (settings.port, settings.haproxy.port, settings.haproxy.engines_port, settings.haproxy.metrics_port):
        if port is not None and not 0 < port < 65536:
            raise ProfileError(f"{source}: {port} is not a port", "use a number from 1 to 65535")
    if wrong := [origin for origin in settings.cors if not _is_origin(origin)]:
        raise ProfileError(
            f"{source}: cors: {wrong[0][:60]!r} is not an origin", "write it like https://chat.example.org"
        )
    if settings.keys_required is False and not is_loopback(settings.host):
        raise ProfileError(f"{source}: keys_required: false needs a loopback host", "beyond it a key is always needed")
    return settings


def _is_origin(text: str) -> bool:
    """Whether browsers say so in their header: a scheme and a host. `*` is none: it would be any page."""
    parts = urlsplit(text)
    return bool(parts.scheme and parts.netloc) and text == f"{parts.scheme}://{parts.netloc}".lower()


def backend_of(url: str, source: str, **more: Any) -> BackendSettings:
    """A backend by its URL. ProfileError for something else."""
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == -1 or parts.username or parts.query:
        raise ProfileError(f"{source}: {url[:60]!r} is not the URL of a server", "write it like http://127.0.0.1:8080")
    name = more.pop("name", None) or parts.netloc
    return BackendSettings(url.rstrip("/").removesuffix("/v1"), name, **more)


def _section(name: str, node: Node, source: str) -> dict[str, Any]:
    if node.value is None:
        return {}
    keys = {key.removeprefix(f"{name}."): kind for key, kind in KEYS.items() if key.startswith(f"{name}.")}
    if not isinstance(node.value, Mapping):
        raise ProfileError(f"{source}:{node.line}: {name} must contain keys of its own", "known: " + ", ".join(keys))
    return _values(node.value, keys, source, f"{name}.")


def _values(tree: Mapping[str, Node], keys: Mapping[str, tuple[Kind, str]], source: str, prefix: str) -> dict[str, Any]:
    for key, child in tree.items():
        if key not in keys:
            raise _unknown(key, list(keys), child.line, source, prefix)
    return {key: _checked(prefix + key, keys[key], child, source) for key, child in tree.items()}


def _backends(node: Node, source: str) -> tuple[BackendSettings, ...]:
    rows = node.value if isinstance(node.value, tuple) else None
    if rows is None:
        raise ProfileError(f"{source}:{node.line}: backends must be a list", "write `- url: http://...` lines below it")
    found = []
    for row in rows:
        where = f"{source}:{row.line}"
        if isinstance(row.value, str):
            found.append(backend_of(row.value, where))
            continue
        values = _values(row.value, BACKEND_KEYS, source, "backends.") if isinstance(row.value, Mapping) else {}
        if "url" not in values:
            raise ProfileError(f"{where}: a backend needs its url", "write `- url: http://192.168.1.20:8080`")
        found.append(backend_of(values.pop("url"), where, **values))
    return tuple(found)


def _aliases(node: Node, source: str) -> dict[str, str]:
    if not isinstance(node.value, Mapping):
        raise ProfileError(f"{source}:{node.line}: aliases must be names and models", "write `gpt-4o: qwen2.5-32b`")
    return {name: _checked(f"aliases.{name}", ("text", "a model"), child, source) for name, child in node.value.items()}


def _checked(path: str, key: tuple[Kind, str], node: Node, source: str) -> Any:
    kind, about = key
    value = node.plain()
    try:
        return _accepted(kind, value)
    except ValueError as problem:
        shown = repr(value)[:57]
        raise ProfileError(f"{source}:{node.line}: {path} must be {problem}, not {shown}", about) from None


def _accepted(kind: Kind, value: Any) -> Any:
    number = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST
    match kind:
        case "text" if isinstance(value, str) and 0 < len(value) <= 4 * MAX_NAME:
            return value
        case "integer" if number and isinstance(value, int) and value > 0:
            return value
        case "number" if number:
            return float(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "rate":
            return read_rate(str(value))
        case "texts" | "origins":
            items = (value,) if isinstance(value, str) else value
            if isinstance(items, tuple) and all(isinstance(item, str) for item in items):
                return items
    words = {"text": "a text", "integer": "a whole number above 0", "number": "a number", "boolean": "true or false"}
    raise ValueError(words.get(kind, "a list of texts"))


def _unknown(name: str, known: list[str], line: int, source: str, prefix: str = "") -> ProfileError:
    near = get_close_matches(name.lower().replace("-", "_"), known, n=1, cutoff=0.5)
    hint = f"did you mean {prefix}{near[0]}?" if near else "known keys: " + ", ".join(known)
    return ProfileError(f"{source}:{line}: unknown key {name[:60]!r}", hint)


def keys_of_settings() -> tuple[str, ...]:
    """Every key that can be written, for documents and tests."""
    own = tuple(item.name for item in fields(GatewaySettings))
    return tuple(key for key in KEYS if key.split(".")[0] in own)
