"""Why a start failed for want of memory, and what would have fitted, from the log's own figures. Pure.

The arithmetic of one device: what was free less what it held is the room; a cache grows with the context, a compute
buffer with the micro-batch, weights with the layers. Exact answers need the model's header: see app/checking_log.py.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from splitter.engine.log.shortage import Stage
from splitter.engine.log.story import LoggedDevice, LogStory
from splitter.units import GIB, MIB, format_bytes

WHAT: dict[Stage, str] = {
    "model": "the weights",
    "context": "the cache (KV)",
    "compute": "the compute buffer",
    "running": "a buffer while a prompt was being worked on",
}
# CUDA's own context, where the log does not say what was free (see memory/overhead.py for the measured ones).
CONTEXT_BYTES = 400 * MIB
HALF = {"f16": "q8_0", "bf16": "q8_0", "f32": "q8_0"}
# What other programs call llama.cpp's flags.
SPELLED = {
    "Ollama": "num_gpu for -ngl, num_ctx for -c, num_batch for -ub, OLLAMA_KV_CACHE_TYPE=q8_0 with "
    "OLLAMA_FLASH_ATTENTION=1 for -ctk and -ctv",
    "koboldcpp": "--gpulayers for -ngl, --contextsize for -c, --batchsize for -ub, --quantkv for -ctk and -ctv",
    "LM Studio": "GPU Offload for -ngl, Context Length for -c, Evaluation Batch Size for -ub, K and V Cache "
    "Quantization for -ctk and -ctv",
    "text-generation-webui": "gpu-layers for -ngl, ctx-size for -c, batch-size for -ub, cache-type for -ctk and -ctv",
}
SMALLEST_UBATCH = 64
LEAST = 8
NO_CARD = 128 * GIB
SMALLEST_CONTEXT = 1024


@dataclass(frozen=True, slots=True)
class Explained:
    """`sentence` says what had no room where, `largest` which term was too large, `fitting` what would have fitted,
    `spelled` how this program calls those flags (None: as llama.cpp does)."""

    sentence: str
    largest: str
    fitting: tuple[str, ...]
    spelled: str | None = None


def explain_log(story: LogStory) -> Explained | None:
    """None where the log blames no memory."""
    short = story.short
    if short is None:
        return None
    device = story.device(short.device) or (LoggedDevice(short.device) if short.device else None)
    size = "more memory" if short.size_bytes is None else format_bytes(short.size_bytes)
    name = "a device" if device is None else f"{device.id} ({device.name})" if device.name else device.id
    spelled = SPELLED.get(story.engine or "")
    sentence = f"{name} had no room for {size}: {WHAT[short.stage]}"
    if device is None:
        return Explained(sentence, "the log does not say which device", tuple(_general(story)), spelled)
    return Explained(sentence + _held(device), _largest(story, device), tuple(_fitting(story, device)), spelled)


def _held(device: LoggedDevice) -> str:
    parts = [
        f"{format_bytes(size)} of {what}"
        for size, what in (
            (device.model_bytes, "weights"), (device.context_bytes, "cache"), (device.compute_bytes, "compute buffers"),
        )
        if size
    ]  # fmt: skip
    holds = f"; it held {', '.join(parts)}" if parts else ""
    free = "" if device.free_bytes is None else f"; {format_bytes(device.free_bytes)} was free before the start"
    return holds + free


def room_bytes(device: LoggedDevice) -> int | None:
    """What was left when the allocation failed; None where the log says neither free nor total memory."""
    if device.free_bytes is not None:
        return device.free_bytes - device.held_bytes()
    return None if device.total_bytes is None else device.total_bytes - CONTEXT_BYTES - device.held_bytes()


def missing_bytes(story: LogStory, device: LoggedDevice) -> int | None:
    """By how much the failed allocation was too large: all of it where the room is unknown, an eighth at least (a card
    that seems to have had room held what no log tells)."""
    short, room = story.short, room_bytes(device)
    if short is None or short.size_bytes is None:
        return None
    return max(short.size_bytes - max(room or 0, 0), short.size_bytes // LEAST)


def _largest(story: LogStory, device: LoggedDevice) -> str:
    """The term that is too large, with what makes it so."""
    short = story.short
    size = (short.size_bytes or 0) if short else 0
    if _beyond_any_card(story):
        return (
            f"a compute buffer of {format_bytes(size)} fits on no card: pipeline parallelism keeps copies of tensors "
            "that lie in RAM"
        )
    if short and short.stage == "compute" and story.facts.get("flash_attention") in {"0", "off", "disabled"}:
        return f"the compute buffer: flash attention is off, so it grows with the context ({_context(story)} tokens)"
    terms = [
        (device.model_bytes + (size if short and short.stage == "model" else 0), "the weights"),
        (device.context_bytes + (size if short and short.stage == "context" else 0),
         f"the cache of {_context(story)} tokens"),
        (device.compute_bytes + (size if short and short.stage == "compute" else 0),
         f"the compute buffer (micro-batch {story.facts.get('ubatch_size', '?')})"),
    ]  # fmt: skip
    largest, what = max(terms)
    return f"{what}, {format_bytes(largest)}, is the largest part there"


def _context(story: LogStory) -> str:
    return story.facts.get("context_size", "?")


def _fitting(story: LogStory, device: LoggedDevice) -> Iterator[str]:
    """Every single change that covers what was missing, the least costly first."""
    missing = missing_bytes(story, device)
    if missing is None:
        yield from _general(story)
        return
    found = [*_pipeline(story), *_flash(story), *_ubatch(story, missing), *_cache(story, device, missing),
             *_shorter(story, device, missing), *_layers(story, device, missing)]  # fmt: skip
    yield from found or _general(story)


def _beyond_any_card(story: LogStory) -> bool:
    """Whether the compute buffer that was asked for is larger than any card."""
    short = story.short
    return short is not None and short.stage == "compute" and (short.size_bytes or 0) > NO_CARD


def _pipeline(story: LogStory) -> Iterator[str]:
    if _beyond_any_card(story):
        yield "build with -DGGML_SCHED_MAX_COPIES=1, or take a build in which tensor overrides turn pipelining off"


def _flash(story: LogStory) -> Iterator[str]:
    short = story.short
    off = story.facts.get("flash_attention") in {"0", "off", "disabled"}
    if off and short is not None and short.stage == "compute":
        yield "-fa on (the buffer no longer grows with the context)"


def _ubatch(story: LogStory, missing: int) -> Iterator[str]:
    """A compute buffer follows the micro-batch."""
    short, size = story.short, story.number("ubatch_size")
    if short is None or short.stage not in {"compute", "running"} or not size or not short.size_bytes:
        return
    if short.size_bytes > NO_CARD:
        return
    if short.size_bytes <= missing:
        missing = short.size_bytes // 2  # nobody knows the room: half of it is what a first try saves
    fits = size
    while fits > SMALLEST_UBATCH and short.size_bytes * fits / size > short.size_bytes - missing:
        fits //= 2
    if fits < size and short.size_bytes * fits / size <= short.size_bytes - missing:
        yield f"-ub {fits}: about {format_bytes(int(short.size_bytes * (1 - fits / size)))} less"


def _cache(story: LogStory, device: LoggedDevice, missing: int) -> Iterator[str]:
    kind = story.facts.get("cache_type_k", "")
    saved = int(_cache_bytes(story, device) * (1 - 34 / 64))
    if kind in HALF and saved >= missing > 0:
        yield f"-ctk q8_0 -ctv q8_0: {format_bytes(saved)} less"


def _cache_bytes(story: LogStory, device: LoggedDevice) -> int:
    short = story.short
    asked = short.size_bytes or 0 if short and short.stage == "context" else 0
    return device.context_bytes + asked


def _shorter(story: LogStory, device: LoggedDevice, missing: int) -> Iterator[str]:
    size, held = story.number("context_size"), _cache_bytes(story, device)
    if not size or held <= missing:
        return
    fits = int(size * (1 - missing / held)) // 256 * 256
    if SMALLEST_CONTEXT <= fits < size:
        yield f"-c {fits}: {format_bytes(int(held * (1 - fits / size)))} less"


def _layers(story: LogStory, device: LoggedDevice, missing: int) -> Iterator[str]:
    """Weights and cache leave with their layers; the share of this device in all devices' weights tells how many."""
    short = story.short
    asked = short.size_bytes or 0 if short and short.stage == "model" else 0
    held = device.model_bytes + device.context_bytes + asked
    everywhere = sum(other.model_bytes for other in story.devices if not other.is_host()) + asked
    if not story.offloaded or not held or not everywhere:
        total = story.number("layers")
        if total and held and short and short.stage == "model":
            fewer = -(-missing * total // held)
            if 0 < fewer < total:
                yield f"about {fewer} of {total} layers fewer on {device.id} (-ngl, or another -ts)"
        return
    count = story.offloaded[0] * (device.model_bytes + asked) / everywhere
    spared = -(-missing * count // held)
    if 0 < spared < count:
        yield f"about {spared:.0f} of its {count:.0f} layers fewer on {device.id} (-ngl, or another -ts)"


def _general(story: LogStory) -> Iterator[str]:
    if story.short and story.short.stage == "running":
        yield "keep 500 MiB to 1 GiB free on the main card: long prompts take more while they are worked on"
    yield "a shorter -c, -ctk q8_0 -ctv q8_0, a smaller -ub, or fewer layers (-ngl)"
