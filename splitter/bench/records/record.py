"""Record: one measurement with all that is needed to understand and repeat it. Frozen values; None is unknown."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from splitter.bench.plain import MalformedError, from_plain, to_plain
from splitter.bench.result import RunSample
from splitter.bench.stats import Percentiles, Spread

Kind = Literal["bench", "compare", "tune", "calibrate"]
LONGEST_NUMBER = 20
KINDS: tuple[Kind, ...] = ("bench", "compare", "tune", "calibrate")

__all__ = ["KINDS", "EngineInfo", "HostInfo", "Kind", "MalformedError", "ModelInfo", "Point", "Predicted", "Record",
           "from_dict", "from_json", "to_dict"]  # fmt: skip


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What was measured: "llama-server", "koboldcpp", "embedded", or "openai" for any other server."""

    kind: str
    version: str | None = None
    path: str | None = None


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """The model; `header_sha256` tells two files of one name apart (see app/recording.py)."""

    path: str | None = None
    name: str | None = None
    architecture: str | None = None
    quantization: str | None = None
    file_bytes: int | None = None
    header_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class HostInfo:
    """The machine that measured; `cores` are physical ones."""

    os: str | None = None
    cpu: str | None = None
    cores: int | None = None
    ram_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Predicted:
    """What the plan promised; `basis` is "typical", "calibrated" or "measured" (older records: "roofline")."""

    generation_tokens_per_s: float | None = None
    prompt_tokens_per_s: float | None = None
    basis: str = "typical"


@dataclass(frozen=True, slots=True)
class Point:
    """One depth and one concurrency.

    `depth` tokens stood in the context before the `n_prompt` measured ones. The speeds are those of all `concurrency`
    requests together, one value per repetition; `request_*` are each request's own (the same when there is only one).
    `prompt_tokens_per_s` counts the measured tokens only. `first_token_s` is from sending, with the depth already in
    the cache (`depth_cached`) or not. `energy_j_per_token` is of all cards, `energy_from` says whether their counters
    or their power gave it. `ended_by` says why there are no more repetitions; `half_width` is the relative half width
    of the 95 % interval of the generation speed's mean; `warnings` are for people.
    """

    n_prompt: int
    n_generate: int
    depth: int = 0
    concurrency: int = 1
    repetitions: int = 0
    launches: int = 1
    prompt_tokens_per_s: Spread | None = None
    generation_tokens_per_s: Spread | None = None
    request_prompt_tokens_per_s: Spread | None = None
    request_generation_tokens_per_s: Spread | None = None
    first_token_s: Percentiles | None = None
    inter_token_s: Percentiles | None = None
    samples: tuple[RunSample, ...] = ()
    energy_j_per_token: float | None = None
    energy_from: str | None = None
    ended_by: str = ""
    half_width: float | None = None
    depth_cached: bool | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """One measurement. `group` ties records of one session: the alternatives of a compare, the trials of a tune.

    `created_at` is ISO 8601 in UTC; `argv` the engine's command (keys never stand in it), () for a server that was
    already running; `settings`, `rig` and `devices` are the plan's, as in design.md 3, and stay JSON: a record is kept
    as it was said, whatever the values' classes become; `error` is why an alternative could not be measured.
    """

    kind: Kind
    engine: EngineInfo
    model: ModelInfo
    created_at: str
    id: int | None = None
    label: str = ""
    group: str = ""
    url: str = ""
    argv: tuple[str, ...] = ()
    argv_sha256: str | None = None
    settings: Mapping[str, Any] | None = None
    rig: Mapping[str, Any] | None = None
    host: HostInfo = field(default_factory=HostInfo)
    driver_version: str | None = None
    cards_before: tuple[Mapping[str, Any], ...] = ()
    cards_after: tuple[Mapping[str, Any], ...] = ()
    predicted: Predicted | None = None
    devices: tuple[Mapping[str, Any], ...] | None = None
    points: tuple[Point, ...] = ()
    note: str = ""
    error: str | None = None


def to_dict(record: Record) -> dict[str, Any]:
    """`record` as JSON takes it."""
    plain: dict[str, Any] = to_plain(record)
    return plain


def from_dict(data: Any) -> Record:
    """The record that `data` describes; fields of a newer splitter are skipped. MalformedError names a wrong field."""
    return from_plain(Record, data)


def from_json(text: str) -> Record:
    """The record written in `text`. MalformedError for anything that is not one."""
    try:
        return from_dict(json.loads(text, parse_int=_whole))
    except MalformedError:
        raise
    except (ValueError, RecursionError) as error:
        raise MalformedError(f"it is not JSON ({error})") from None


def _whole(digits: str) -> int:
    """A count, bytes or a time: nothing that no float could hold."""
    if len(digits) > LONGEST_NUMBER:
        raise MalformedError(f"a number of {len(digits)} digits")
    return int(digits)
