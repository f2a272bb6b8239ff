"""Log lines of llama.cpp and koboldcpp as typed events, and the sentence for an engine that died. Pure.

Lines as printed by build 11434 (`src/llama-model.cpp`, `ggml/src/ggml-alloc.c`, `tools/server/`) and by koboldcpp 1.60
to 1.123; newer builds put a time, a letter and a name before them, so every pattern is searched for anywhere.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from splitter.units import from_mib


@dataclass(frozen=True, slots=True)
class Loading:
    """The engine began to read the model."""

    path: str | None = None


@dataclass(frozen=True, slots=True)
class LayersOffloaded:
    """`done` of `total` layers (output layer included) went to GPUs."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class OwnPlacement:
    """Where the engine itself put the model, in its own words: `-c 4224 -ngl 43 -ts 8,22,13` (koboldcpp's autofit)."""

    arguments: str


@dataclass(frozen=True, slots=True)
class BufferAllocated:
    """A buffer on a device: `kind` is model, KV, RS (recurrent state), compute or output."""

    device: str
    kind: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class DeviceFree:
    """What the engine found free on a device before it allocated there."""

    device: str
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Ready:
    """The engine says that it listens; only its endpoint proves it."""

    url: str


@dataclass(frozen=True, slots=True)
class OutOfMemory:
    """A device had no room for `size_bytes`; either may be unsaid. Numbers count within the visible devices."""

    device: str | None
    size_bytes: int | None


@dataclass(frozen=True, slots=True)
class ErrorDevice:
    """The device on which the driver call before this line failed."""

    device: str


@dataclass(frozen=True, slots=True)
class PortTaken:
    """The address belongs to another program."""

    port: int | None


@dataclass(frozen=True, slots=True)
class PortBusy:
    """koboldcpp found another program at the port; whether it can share it shows when it binds."""

    port: int


@dataclass(frozen=True, slots=True)
class BadModel:
    """The model file cannot be read; `reason` in the engine's words."""

    reason: str


@dataclass(frozen=True, slots=True)
class MissingFile:
    """A file that the command names is not there."""

    path: str


@dataclass(frozen=True, slots=True)
class InvalidArgument:
    """The engine does not know an argument or a value."""

    text: str


Failed = OutOfMemory | ErrorDevice | PortTaken | BadModel | MissingFile | InvalidArgument
Event = Loading | LayersOffloaded | OwnPlacement | BufferAllocated | DeviceFree | Ready | PortBusy | Failed
Reader = Callable[[re.Match[str]], Event]


def _device(number: str) -> str:
    return f"CUDA{number}" if number.isdigit() else number


# Order matters only between patterns that could match one line: the more telling one stands first.
PATTERNS: tuple[tuple[re.Pattern[str], Reader], ...] = tuple(
    (re.compile(pattern), reader)
    for pattern, reader in (
        (
            r"(\S{1,64}) +(model|KV|RS|compute|output) buffer size *= *(\d{1,12}(?:\.\d{1,9})?) MiB",
            lambda m: BufferAllocated(m[1], m[2], from_mib(float(m[3]))),
        ),
        (
            r"using device (\S+) .*- (\d{1,12}) MiB free",
            lambda m: DeviceFree(m[1], from_mib(float(m[2]))),
        ),
        (r"Autofit Result: *(-\S.{0,2000})", lambda m: OwnPlacement(m[1].strip())),
        (r"offloaded (\d{1,18})/(\d{1,18}) layers to GPU", lambda m: LayersOffloaded(int(m[1]), int(m[2]))),
        (
            r"allocating (\d{1,12}(?:\.\d{1,9})?) MiB on device (\w+): cudaMalloc failed",
            lambda m: OutOfMemory(_device(m[2]), from_mib(float(m[1]))),
        ),
        (r"failed to allocate (\S+) buffer of size (\d{1,18})", lambda m: OutOfMemory(m[1], int(m[2]))),
        (r"Device memory allocation of size (\d{1,18}) failed", lambda m: OutOfMemory(None, int(m[1]))),
        (r"unable to allocate (\S+) buffer", lambda m: OutOfMemory(m[1], None)),
        (r"CUDA error: out of memory|ErrorOutOfDeviceMemory", lambda _: OutOfMemory(None, None)),
        (
            r"failed to allocate (?:compute \w+ buffers|buffer for (?:kv|rs) cache)",
            lambda _: OutOfMemory(None, None),
        ),
        (r"current device: (\d{1,18}), in function", lambda m: ErrorDevice(_device(m[1]))),
        (r"couldn't bind HTTP server socket, hostname: \S+, port: (\d{1,18})", lambda m: PortTaken(int(m[1]))),
        (r"Port (\d{1,18}) already appears to be in use", lambda m: PortBusy(int(m[1]))),
        # Every healthy start of koboldcpp on one address says "IPv6 Socket Failed to Bind".
        (r"Both IPv4 and IPv6 cannot bind|[Aa]ddress already in use", lambda _: PortTaken(None)),
        (r"failed to open GGUF file '(.+)' \(No such file or directory\)", lambda m: MissingFile(m[1])),
        (r"error loading model: (.+)", lambda m: BadModel(m[1].strip())),
        (r"gguf_init_from_\w+: (.+)", lambda m: BadModel(m[1].strip())),
        (r"Cannot find [\w ]+ file: (.+)", lambda m: MissingFile(m[1].strip())),
        (r"Could not load text model: (.+)", lambda m: BadModel(m[1].strip())),
        (r"failed to load model, '(.*)'", lambda m: BadModel(m[1])),
        (r"(?:invalid argument|unrecognized arguments): (.+)", lambda m: InvalidArgument(m[1].strip())),
        (r'error while handling argument ("?\S+?"?: .+)', lambda m: InvalidArgument(m[1].strip())),
        (r"error: (argument .+)", lambda m: InvalidArgument(m[1].strip())),
        (r"listening on (http\S+)", lambda m: Ready(m[1])),
        (r"Please connect to custom endpoint at (\S+)", lambda m: Ready(m[1])),
        (r"loading model '(.+)'|Loading (?:Text )?[Mm]odel: (.+)", lambda m: Loading(m[1] or m[2].strip())),
        (r"loading model", lambda _: Loading()),
    )
)


# Words of which every pattern needs one: most lines hold none, however long they are.
SIGNS = ("buffer size", "using device", "Autofit", "offloaded", "failed", "unable", "emory", "current device", "bind",
         "already", "error", "gguf_init", "Cannot find", "Could not load", "argument", "listening", "connect",
         "oading")  # fmt: skip


def event(line: str) -> Event | None:
    """What `line` tells, None for most lines."""
    if not any(sign in line for sign in SIGNS):
        return None
    for pattern, reader in PATTERNS:
        match = pattern.search(line)
        if match:
            return reader(match)
    return None


def events(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a log, in order."""
    return (found for found in map(event, lines) if found is not None)
