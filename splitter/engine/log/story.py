"""A whole log of a start, told as values: engine, model, settings, devices with their buffers, and what failed. Pure.

Understands llama.cpp's lines of 2023 to build 11434 (and so LM Studio's and text-generation-webui's, which print them),
ik_llama.cpp's, koboldcpp's and Ollama's own. What a log does not say is None.
"""

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from splitter.engine.log.events import BufferAllocated, DeviceFree, Event, LayersOffloaded, Loading, OutOfMemory, Ready
from splitter.engine.log.events import event as event_in
from splitter.engine.log.last_words import EngineFailure, blamed_by
from splitter.engine.log.shortage import Shortage, shortage_of
from splitter.units import GIB, KIB, MIB, from_mib

KINDS: Mapping[str, str] = {"model": "model_bytes", "KV": "context_bytes", "RS": "context_bytes",
                            "compute": "compute_bytes", "output": "output_bytes"}  # fmt: skip
HOSTS = re.compile(r"CPU|_Host$|^Host$|AARCH64|REPACK")
_SIZE = re.compile(r"([\d.]+) ?(B|KiB|MiB|GiB|TiB)")
_UNITS = {"B": 1, "KiB": KIB, "MiB": MIB, "GiB": GIB, "TiB": KIB * GIB}


@dataclass(frozen=True, slots=True)
class LoggedDevice:
    """A device (or RAM: `CPU`) with the buffers that the log says it holds; free and total None where unsaid."""

    id: str
    name: str | None = None
    total_bytes: int | None = None
    free_bytes: int | None = None
    model_bytes: int = 0
    context_bytes: int = 0
    compute_bytes: int = 0
    output_bytes: int = 0

    def held_bytes(self) -> int:
        return self.model_bytes + self.context_bytes + self.compute_bytes + self.output_bytes

    def is_host(self) -> bool:
        return HOSTS.search(self.id) is not None


@dataclass(frozen=True, slots=True)
class LogStory:
    """`facts` are the log's words about model and context by a stable name (FACTS); `command` the engine's own line
    where it is printed; `short` the device that had no room, `failure` what else ended it."""

    engine: str | None = None
    version: str | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    devices: tuple[LoggedDevice, ...] = ()
    offloaded: tuple[int, int] | None = None
    command: tuple[str, ...] = ()
    ready: bool = False
    short: Shortage | None = None
    failure: EngineFailure | None = None

    def number(self, name: str) -> int | None:
        """A fact as a whole number, None where it is unsaid."""
        found = re.match(r"-?\d{1,15}", self.facts.get(name, ""))
        return int(found[0]) if found else None

    def device(self, name: str | None) -> LoggedDevice | None:
        return next((device for device in self.devices if device.id == name), None)


# Who wrote the log: the first pattern that stands in it.
ENGINES: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("Ollama", r"source=(?:server|sched|routes|ggml|runner|device|types|images|amd_linux|gpu)\.go|ollama runner"),
        ("koboldcpp", r"Welcome to KoboldCpp|Namespace\(|koboldcpp"),
        ("LM Studio", r"\[LM ?STUDIO|LM Studio|lmstudio|\[LMSInternal"),
        (
            "text-generation-webui",
            r"INFO +Loading \"|llama\.cpp weights detected|modules[\\/]models\.py|text-generation-webui",
        ),
        ("ik_llama.cpp", r"ik_llama|HAVE_FANCY_SIMD|llama_new_context_with_model: (?:mla_attn|fused_moe|attn_max_b)"),
        ("llama-server", r"llama_model_loader|load_tensors|llm_load|srv +\w+:|common_init"),
    )
)
VERSIONS = re.compile(
    r"KoboldCpp - Version ([\d.]+)|build: (\d+)|\bbuild[ =:]+b?(\d{3,})|Listening on .*version ([\d.]+)"
)
# Stable name -> the forms in which logs state it.
FACTS: tuple[tuple[str, re.Pattern[str]], ...] = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("path", r"tensors from (.+?) \(version"),
        ("path", r"(?:Loading (?:Text )?Model|weights detected): \"?(.+?\.gguf)"),
        ("name", r"general\.name +(?:str +)?= +(.+?)\s*$"),
        (
            "architecture",
            r"print_info: arch += (\S+)|llm_load_print_meta: arch += (\S+)|general\.architecture str += (\S+)",
        ),
        ("quantization", r"(?:file type|model ftype) += +(?:\(guessed\) )?(.+?)\s*$"),
        ("file_size", r"(?:file|model) size += +([\d.]+ [KMGT]iB)"),
        ("parameters", r"model params += +([\d.]+ [BMK])"),
        ("layers", r"(?:print_info|print_meta): n_layer +=\s+(\d+)"),
        ("embedding", r"(?:print_info|print_meta): n_embd +=\s+(\d+)"),
        ("experts", r"(?:print_info|print_meta): n_expert +=\s+(\d+)"),
        ("vocabulary", r"(?:print_info|print_meta): n_vocab +=\s+(\d+)"),
        ("context_train", r"n_ctx_train +=\s+(\d+)"),
        ("context_size", r"(?:llama_context|llama_new_context_with_model|llama_init_from_model): n_ctx +=\s+(\d+)"),
        ("batch_size", r"\bn_batch +=\s+(\d+)"),
        ("ubatch_size", r"\bn_ubatch +=\s+(\d+)"),
        ("flash_attention", r"\bflash_attn +=\s+(\w+)"),
        ("parallel", r"\bn_seq_max +=\s+(\d+)"),
        ("cache_type_k", r"\bK \((\w+)\):|type_k = '(\w+)'"),
        ("cache_type_v", r"\bV \((\w+)\):|type_v = '(\w+)'"),
    )
)
_CARD = re.compile(r"\bDevice (\d+): (.+?)(?:, compute capability|, gfx|, VRAM|$)")
_VRAM = re.compile(r"\bDevice (\d+): .*VRAM: (\d+) MiB")
_VULKAN = re.compile(r"ggml_vulkan: (\d+) = (.+?) \(")
_USING = re.compile(r"using device (\S+) \((.+?)\)(?: \([^)]*\))? - (\d+) MiB free")
_OLD_MODEL = re.compile(r"llm_load_tensors: +(\S+) buffer size = +([\d.]+) MiB")
_BREAKDOWN = re.compile(
    r"\|\s+- (\S+) \((.+?)\)\s+\|\s*(\d+)\s*=\s*(\d+)\s*\+\s*\(\s*\d+\s*=\s*(\d+)\s*\+\s*(\d+)\s*\+\s*(\d+)\)"
)
_OLLAMA_CARD = re.compile(
    r'msg="inference compute".*?library=(\w+).*?name="?([^"]+?)"?(?: \w+=|$).*?total="([^"]+)" available="([^"]+)"'
)
_OLLAMA_USE = re.compile(r'msg="(model weights|kv cache|compute graph)" device=(\S+) size="([^"]+)"')
_OLLAMA_USES = {"model weights": "model_bytes", "kv cache": "context_bytes", "compute graph": "compute_bytes"}
_COMMANDS = re.compile(
    r'cmd="([^"]*(?:ollama|llama)[^"]*)"|^(?:\$|>|PS [^>]*>|#)?\s*((?:\S*[/\\])?llama-server(?:\.exe)? -.+)$'
)


def read_log(text: str) -> LogStory:
    """The story of a log."""
    lines = tuple(text.splitlines())
    teller = _Teller()
    for line in lines:
        teller.hear(line)
    short = _placed(shortage_of(teller.events, lines, {}, loading=not teller.failed_working), lines)
    return LogStory(
        engine=next((name for name, pattern in ENGINES if pattern.search(text)), None),
        version=next((next(filter(None, m.groups())) for m in [VERSIONS.search(text)] if m), None),
        facts=teller.facts,
        devices=teller.told(),
        offloaded=teller.offloaded,
        command=teller.command,
        ready=teller.ready,
        short=short,
        failure=None if short else blamed_by(teller.events, {}),
    )


def _placed(short: Shortage | None, lines: tuple[str, ...]) -> Shortage | None:
    """The stage of an allocation in a graph's allocator is compute, whatever follows."""
    if short is None or short.stage != "model":
        return short
    return replace(short, stage="compute") if any("ggml_gallocr_reserve" in line for line in lines) else short


class _Teller:
    """Hears a log line by line."""

    def __init__(self) -> None:
        self.facts: dict[str, str] = {}
        self.events: list[Event] = []
        self.devices: dict[str, LoggedDevice] = {}
        self.offloaded: tuple[int, int] | None = None
        self.command: tuple[str, ...] = ()
        self.prefix = "CUDA"
        self.planned: dict[str, tuple[int, int, int]] = {}  # what the engine expects before it allocates
        self.ready = False
        self.failed_working: bool | None = None  # whether it listened when memory ran out first

    def hear(self, line: str) -> None:
        for name, pattern in FACTS:
            found = pattern.search(line) if name not in self.facts else None
            if found:
                self.facts[name] = next(filter(None, found.groups()))
        for pattern, told in _TOLD:
            match = pattern.search(line)
            if match:
                told(self, match)
        event = event_in(line)
        if event is not None:
            self.events.append(event)
            self._event(event)

    def told(self) -> tuple[LoggedDevice, ...]:
        """The devices; where no buffer was allocated, what the engine expected to."""
        if any(device.held_bytes() for device in self.devices.values()):
            return tuple(self.devices.values())
        for name, (model, context, compute) in self.planned.items():
            self.know(name, model_bytes=model, context_bytes=context, compute_bytes=compute)
        return tuple(self.devices.values())

    def know(self, device_id: str, **values: Any) -> None:
        self.devices[device_id] = replace(self.devices.get(device_id, LoggedDevice(device_id)), **values)

    def _event(self, event: Event) -> None:
        if isinstance(event, Ready):
            self.ready = True
        elif isinstance(event, OutOfMemory) and self.failed_working is None:
            self.failed_working = self.ready
        if isinstance(event, BufferAllocated):
            self.add(event.device, KINDS[event.kind], event.size_bytes)
        elif isinstance(event, DeviceFree) and self.devices.get(event.device, LoggedDevice("")).free_bytes is None:
            self.know(event.device, free_bytes=event.free_bytes)
        elif isinstance(event, LayersOffloaded):
            self.offloaded = (event.done, event.total)
        elif isinstance(event, Loading) and event.path:
            self.facts.setdefault("path", event.path.strip("\"'"))

    def add(self, name: str, kind: str, size_bytes: int) -> None:
        before = self.devices.get(name, LoggedDevice(name))
        # a compute buffer is told again when it was reserved anew
        size = size_bytes if kind == "compute_bytes" else getattr(before, kind) + size_bytes
        self.know(name, **{kind: size})


def _card(teller: _Teller, match: re.Match[str]) -> None:
    teller.know(f"{teller.prefix}{match[1]}", name=match[2].strip())


def _vram(teller: _Teller, match: re.Match[str]) -> None:
    teller.know(f"{teller.prefix}{match[1]}", total_bytes=from_mib(float(match[2])))


def _using(teller: _Teller, match: re.Match[str]) -> None:
    teller.know(match[1], name=match[2])


def _backend(teller: _Teller, match: re.Match[str]) -> None:
    teller.prefix = {"cuda": "CUDA", "rocm": "ROCm", "hip": "ROCm"}.get(match[1].lower(), "CUDA")


def _breakdown(teller: _Teller, match: re.Match[str]) -> None:
    total, free, model, context, compute = (from_mib(float(number)) for number in match.groups()[2:])
    teller.know(match[1], name=match[2], total_bytes=total)
    if teller.devices[match[1]].free_bytes is None:
        teller.know(match[1], free_bytes=free)
    if not teller.devices[match[1]].held_bytes():
        teller.planned[match[1]] = (model, context, compute)


def _old_model(teller: _Teller, match: re.Match[str]) -> None:
    teller.add(match[1], "model_bytes", from_mib(float(match[2])))


def _ollama_card(teller: _Teller, match: re.Match[str]) -> None:
    prefix = {"cuda": "CUDA", "rocm": "ROCm", "vulkan": "Vulkan"}.get(match[1].lower(), match[1])
    number = sum(name.startswith(prefix) for name in teller.devices)
    teller.know(f"{prefix}{number}", name=match[2], total_bytes=size_of(match[3]), free_bytes=size_of(match[4]))


def _ollama_use(teller: _Teller, match: re.Match[str]) -> None:
    teller.know(match[2], **{_OLLAMA_USES[match[1]]: size_of(match[3])})


def _command(teller: _Teller, match: re.Match[str]) -> None:
    try:
        teller.command = tuple(shlex.split(match[1] or match[2], posix=False))
    except ValueError:
        teller.command = tuple((match[1] or match[2]).split())


def _working(teller: _Teller, _: re.Match[str]) -> None:
    """A request is worked on: it listens, whether the log has the line about it or not."""
    teller.ready = True


_TOLD: tuple[tuple[re.Pattern[str], Callable[[_Teller, re.Match[str]], None]], ...] = (
    (re.compile(r"found \d+ (CUDA|ROCm) devices"), _backend),
    (_CARD, _card),
    (_VRAM, _vram),
    (_VULKAN, lambda teller, m: teller.know(f"Vulkan{m[1]}", name=m[2])),
    (_USING, _using),
    (_BREAKDOWN, _breakdown),
    (_OLD_MODEL, _old_model),
    (_OLLAMA_CARD, _ollama_card),
    (_OLLAMA_USE, _ollama_use),
    (_COMMANDS, _command),
    (re.compile(r"launch_slot_|prompt processing progress|new prompt|Processing Prompt|\"POST /"), _working),
)


def size_of(text: str) -> int:
    """`11.2 GiB` -> bytes."""
    found = _SIZE.search(text)
    return round(float(found[1]) * _UNITS[found[2]]) if found else 0
