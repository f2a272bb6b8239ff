"""The turn: its seconds for any placement, and the speeds that a plan shows."""

from collections.abc import Sequence
from math import ceil

from splitter.memory.footprint import Placement
from splitter.memory.model import MemoryModel
from splitter.memory.settings import Settings
from splitter.plan.plan import Bound, Speed, Turn
from splitter.plan.speed import BOUND, Constants, prompt_s, token_s
from splitter.plan.speed_constants import GENERATION_RANGE, PROMPT_RANGE, TYPICAL
from splitter.plan.work import LayerParts, Work, work_in
from splitter.plan.workload import CHAT, Workload
from splitter.rig.device import Device, Host

CALIBRATED, CALIBRATED_RANGE = "calibrated", (0.9, 1.1)  # runs of calibrated cards repeat within this


def largest_micro_batch(settings: Settings) -> int:
    """The most tokens that are computed at once."""
    return max(min(settings.ubatch_size, settings.batch_size, settings.context_size), 1)


def micro_batch(settings: Settings, turn: Workload) -> int:
    """The mean micro-batch of a turn's prompt: it is cut evenly enough for the last one not to matter."""
    most = largest_micro_batch(settings)
    return max(turn.prompt_tokens // max(ceil(turn.prompt_tokens / most), 1), 1) if turn.prompt_tokens else most


def turn_s(
    memory: MemoryModel,
    placement: Placement,
    devices: Sequence[Device],
    host: Host,
    *,
    constants: Constants,
    workload: Workload = CHAT,
    parts: LayerParts | None = None,
) -> float | None:
    """Seconds of one turn; None where a bandwidth or throughput that matters is unknown."""
    turn = workload.within(memory.settings.context_size)
    work = work_in(memory, placement, turn.generation_depth(), turn.prompt_depth(), parts)
    generated = token_s(work, devices, host, constants)
    prompted = prompt_s(work, devices, micro_batch(memory.settings, turn), constants)
    if generated is None or prompted is None:
        return None
    return turn.generated_tokens * generated + turn.prompt_tokens * prompted


def predict(
    memory: MemoryModel,
    placement: Placement,
    devices: Sequence[Device],
    host: Host,
    *,
    constants: Constants,
    workload: Workload = CHAT,
    depth: int = 0,
    parts: LayerParts | None = None,
) -> Speed:
    """Tokens per second of one sequence with `depth` tokens in the cache, prompts in full micro-batches; and a turn."""
    work = work_in(memory, placement, depth, depth, parts)
    ubatch_size = largest_micro_batch(memory.settings)
    generation, prompt = _rates(work, devices, host, ubatch_size, constants)
    seconds = turn_s(memory, placement, devices, host, constants=constants, workload=workload, parts=parts)
    turn = workload.within(memory.settings.context_size)
    return Speed(
        generation,
        prompt,
        _basis(devices, constants),
        generation_range=_range(generation, work, constants, GENERATION_RANGE),
        prompt_range=_range(prompt, work, constants, PROMPT_RANGE),
        bound=Bound(*_rates(work, devices, host, ubatch_size, BOUND)),
        turn=Turn(turn.prompt_tokens, turn.generated_tokens, turn.depth_tokens, seconds),
    )


def _rates(
    work: Work, devices: Sequence[Device], host: Host, ubatch_size: int, constants: Constants
) -> tuple[float | None, float | None]:
    generation = token_s(work, devices, host, constants)
    prompt = prompt_s(work, devices, ubatch_size, constants)
    return 1 / generation if generation else None, 1 / prompt if prompt else None


def _range(
    rate: float | None, work: Work, constants: Constants, ranges: dict[str, tuple[float, float]]
) -> tuple[float, float] | None:
    if rate is None or constants.basis == BOUND.basis:
        return None
    low, high = CALIBRATED_RANGE if constants.basis == CALIBRATED else ranges[kind_of(work)]
    return rate * low, rate * high


def _basis(devices: Sequence[Device], constants: Constants) -> str:
    """Calibrated only where one of these very cards is."""
    known = constants.basis != CALIBRATED or any(device.id in constants.cards for device in devices)
    return constants.basis if known else TYPICAL.basis


def kind_of(work: Work) -> str:
    """What the accuracy of a prediction depends on: tensor, offload (something in RAM), multi or single."""
    if work.shares:
        return "tensor"
    if work.host.parts or work.moved.parts:
        return "offload"
    return "multi" if work.used() > 1 else "single"
