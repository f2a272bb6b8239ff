"""Every key a profile may hold, with its type: the one table behind validation, JSON Schema and `profile show`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from splitter.engine.engines import NAMES
from splitter.errors import UsageError
from splitter.memory.setting_table import ALL_CACHE_TYPES, SETTINGS, Setting
from splitter.plan.workload import read_workload

Kind = Literal["text", "integer", "number", "boolean", "choice", "version", "numbers", "texts", "context", "workload"]


LARGEST = 1e15  # of any number in a profile: keeps infinities, NaN and absurd integers out


@dataclass(frozen=True, slots=True)
class Key:
    """One key: `path` is dotted (`server.port`); `minimum` and `maximum` bound numbers and the items of lists."""

    path: str
    kind: Kind
    about: str
    choices: tuple[str, ...] = ()
    minimum: float | None = None
    maximum: float | None = None

    def section(self) -> str:
        return self.path.rpartition(".")[0]

    def name(self) -> str:
        return self.path.rpartition(".")[2]

    def expected(self) -> str:
        """What a value must be, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        return _WORDS[self.kind] + self._bounds()

    def _bounds(self) -> str:
        if self.maximum is not None:
            return f" from {self.minimum:g} to {self.maximum:g}"
        if self.minimum is not None:
            return f" of at least {self.minimum:g}"
        return ""

    def accept(self, value: Any) -> Any:
        """`value` as the program uses it (lists become tuples); ValueError when it is not what is expected."""
        accepted = _READERS[self.kind](self, value)
        if accepted is None:
            raise ValueError(self.expected())
        return accepted

    def in_bounds(self, value: float) -> bool:
        highest = LARGEST if self.maximum is None else self.maximum
        return (0 if self.minimum is None else self.minimum) <= value <= highest


_WORDS = {
    "text": "a text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "version": 'a version in quotes, such as "1.123"',
    "numbers": "a number or a list of numbers, such as [1.5, 4.5, 3], each",
    "texts": "a list of texts, such as [CUDA1, CUDA0]",
    "context": 'a whole number of tokens or "max",',
    "workload": 'chat, agent, rag, writing, or tokens in and out in quotes, such as "4096:512" or "4096:512@8192"',
}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _text(_: Key, value: Any) -> str | None:
    return value if isinstance(value, str) and value.strip() and "\0" not in value else None


def _integer(key: Key, value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and key.in_bounds(value) else None


def _number(key: Key, value: Any) -> float | None:
    return value if _is_number(value) and key.in_bounds(value) else None


def _boolean(_: Key, value: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _choice(key: Key, value: Any) -> str | None:
    """YAML reads a bare `on` or `off` as a boolean."""
    if isinstance(value, bool):
        value = "on" if value else "off"
    return value if value in key.choices else None


def _version(key: Key, value: Any) -> str | None:
    """A bare 1.110 would be the number 1.11, so only text and whole build numbers are versions."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else _text(key, value)


def _numbers(key: Key, value: Any) -> tuple[float, ...] | None:
    items = value if isinstance(value, tuple) else (value,)
    ok = 0 < len(items) <= 16 and all(_is_number(item) and key.in_bounds(item) for item in items)
    return tuple(items) if ok else None


def _texts(key: Key, value: Any) -> tuple[str, ...] | None:
    """A card called 2080 is a number to YAML."""
    items = tuple(_version(key, item) for item in (value if isinstance(value, tuple) else (value,)))
    return tuple(item for item in items if item) if items and all(items) else None


def _context(key: Key, value: Any) -> int | str | None:
    return "max" if value == "max" else _integer(key, value)


def _workload(_: Key, value: Any) -> str | None:
    """YAML 1.1 reads a bare 30:20 as a number of base 60."""
    try:
        read_workload(value if isinstance(value, str) else "")
    except UsageError:
        return None
    return str(value)


_READERS = {
    "text": _text,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "choice": _choice,
    "version": _version,
    "numbers": _numbers,
    "texts": _texts,
    "context": _context,
    "workload": _workload,
}

# Kinds of settings that a profile writes as another kind.
AS_WRITTEN: Mapping[str, Kind] = {"layers": "integer", "type": "choice", "items": "texts"}


def _setting_key(setting: Setting) -> Key:
    """The key of one setting, from the table of all."""
    flag = setting.flag() if setting.means else f"false is {setting.flag()}"
    return Key(
        f"settings.{setting.name}",
        AS_WRITTEN.get(setting.kind) or setting.kind,  # type: ignore[arg-type]  # the other kinds have the same name
        f"{flag}: {setting.about}",
        tuple(ALL_CACHE_TYPES) if setting.kind == "type" else setting.choices,
        setting.minimum,
    )


KEYS: tuple[Key, ...] = (
    Key("name", "text", "what the profile is called; the file name if absent"),
    Key("description", "text", "one sentence, shown in lists"),
    Key("model", "text", "path, first file of a split set, hf:OWNER/REPO/FILE or URL"),
    Key("goal", "choice", "what the planner aims at", ("speed", "context", "balanced")),
    Key("workload", "workload", "the turn to make short: chat, agent, rag, writing or IN:OUT[@DEPTH] in tokens"),
    Key("margin_mib", "numbers", "memory kept free per device in MiB, in rig order; one value serves all", minimum=0),
    Key("engine.kind", "choice", "which engine runs the model", NAMES),
    Key("engine.path", "text", "the engine's program, if it is not found by itself"),
    Key("engine.version", "version", "plan for this version when the engine is not here"),
    Key("rig.name", "text", "a shipped or saved rig; absent: this machine"),
    Key("rig.file", "text", "a rig file"),
    Key("rig.gpus", "texts", "cards by name, such as [1050ti, 2080, 1060-6gb]"),
    Key("rig.nodes", "texts", "other machines whose cards take part: names of saved nodes"),
    Key("rig.backend", "choice", "the engine's backend", ("cuda", "vulkan", "rocm", "sycl", "metal")),
    *map(_setting_key, SETTINGS),
    Key("server.host", "text", "address to listen on"),
    Key("server.port", "integer", "port to listen on", minimum=1, maximum=65535),
    Key("server.api_key_file", "text", "file that holds the API key"),
    Key("server.web_ui", "boolean", "whether llama-server shows its web page"),
    Key("server.cors_origins", "text", "whose pages may read answers: localhost, * or URLs with commas (llama-server)"),
    Key("supervision.restart", "choice", "when a stopped engine is started again", ("never", "on-failure", "always")),
    Key("supervision.max_restarts", "integer", "give up after this many restarts in a row", minimum=0),
    Key("supervision.backoff_s", "number", "first pause before a restart; doubles each time", minimum=0),
    Key("supervision.backoff_max_s", "number", "longest pause before a restart", minimum=0),
    Key("supervision.ready_timeout_s", "number", "how long loading may take", minimum=0),
    Key("supervision.stop_timeout_s", "number", "how long stopping may take before the engine is killed", minimum=0),
    Key("supervision.terminate_after_s", "number", "how long an interrupted engine may take to end", minimum=0),
    Key("supervision.kill_timeout_s", "number", "how long a killed engine may take to give its memory back", minimum=0),
    Key("supervision.health_interval_s", "number", "time between two health probes while it runs", minimum=0.1),
    Key("supervision.health_failures", "integer", "failed probes in a row that make it degraded", minimum=1),
    Key("supervision.restart_degraded_s", "number", "a degraded engine is restarted after this", minimum=0),
    Key("supervision.healthy_after_s", "number", "how long without trouble forgives earlier restarts", minimum=0),
    Key("supervision.oom_replans", "integer", "how often to plan again when memory runs out", minimum=0),
    Key("log.max_mib", "number", "size at which the engine's log file is rotated", minimum=0.001),
    Key("log.files", "integer", "how many log files are kept, the newest counted", minimum=1, maximum=1000),
)  # fmt: skip

BY_PATH: Mapping[str, Key] = {key.path: key for key in KEYS}
SECTIONS: tuple[str, ...] = tuple(dict.fromkeys(key.section() for key in KEYS if key.section()))

# Words that people bring from the engines' command lines.
SYNONYMS: Mapping[str, str] = {
    "ngl": "settings.gpu_layers",
    "n_gpu_layers": "settings.gpu_layers",
    "gpulayers": "settings.gpu_layers",
    "c": "settings.context_size",
    "ctx_size": "settings.context_size",
    "contextsize": "settings.context_size",
    "n_ctx": "settings.context_size",
    "context": "settings.context_size",
    "ts": "settings.tensor_split",
    "device": "settings.device_order",
    "devices": "settings.device_order",
    "fa": "settings.flash_attention",
    "flash_attn": "settings.flash_attention",
    "np": "settings.parallel",
    "api_key": "server.api_key_file",
    "gpus": "rig.gpus",
    "backend": "rig.backend",
    "nodes": "rig.nodes",
    "margin": "margin_mib",
    "margins": "margin_mib",
}


def nearest(name: str, section: str) -> str | None:
    """The dotted path of the known key most like `name` written in `section`; None when none is alike."""
    from difflib import get_close_matches

    word = name.lower().replace("-", "_")
    if word in SYNONYMS:
        return SYNONYMS[word]
    local = {key.name(): key.path for key in KEYS if key.section() == section}
    if not section:
        local |= {name: name for name in SECTIONS}
    everywhere = {key.name(): key.path for key in KEYS}
    for names in (local, everywhere):
        found = get_close_matches(word, names, n=1, cutoff=0.6)
        if found:
            return names[found[0]]
    return None
