"""Refits the constants of the speed model to published runs and prints how far they are off runs on other cards.

    python -m tests.plan.fit_speeds            # prints, and writes splitter/plan/speed_constants.py
    python -m tests.plan.fit_speeds --check    # prints only

The runs are data/published_speeds.csv, their work data/speed_work.json (tests/plan/speed_work.py). Logarithms of times
are fitted by least squares, far-off runs weighted down (Huber); every constant has a prior with a width, so that a
family with few cards stays near what its makers' cards reach. Cross-validation holds out GPU sets in five parts, with
the public measurements of their cards.
"""

import hashlib
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from math import exp, hypot, log
from pathlib import Path
from typing import Any

import numpy as np

from splitter.plan.families import NAMES, family_of, type_class
from splitter.plan.speed import UNKNOWN, Constants, prompt_s, token_s
from splitter.plan.work import Work
from splitter.rig.catalog import find
from splitter.rig.device import Device, Host
from splitter.rig.files import load_catalog
from tests.plan.speed_work import key, rows, works

OUT = Path(__file__).parents[2] / "splitter" / "plan" / "speed_constants.py"
UNSAID_RAM = 51.2e9  # dual-channel DDR4-3200, where a run does not say
FOLDS, ITERATIONS, HUBER, NOISE = 5, 12, 0.25, 0.12
RAM_DOUBT = 0.4  # of the logarithm of a RAM bandwidth that a run does not say: from dual DDR4-2400 to DDR5-6400
SUSPECT = 0.6  # a run further off than this is named


@dataclass(frozen=True, slots=True)
class Published:
    """One run as the speed model sees it; `kind` is single, multi, offload or tensor."""

    row: dict[str, str]
    work: Work
    ubatch_size: int
    devices: tuple[Device, ...]
    host: Host
    kind: str

    def cards(self) -> str:
        return ";".join(device.name for device in self.devices)

    def words(self) -> set[str]:
        """What the constants that matter here are called."""
        parts = [
            part
            for portion in (*self.work.devices, self.work.host, self.work.moved)
            for part in (*portion.parts, *portion.output)
        ]
        families = {family_of(device) for device in self.devices}
        names = {type_class(part.ggml_type) for part in parts}
        backends = {f"{family.vendor} {device.backend}" for device in self.devices for family in families}
        old = {f"old {name}" for name in names} if any(family.old for family in families) else set()
        reductions = {"old" if old else "new"} if self.work.shares else set()
        return names | old | reductions | {f.name for f in families} | backends | {self.work.model_class}


@dataclass(frozen=True, slots=True)
class Knob:
    """One constant: a field of Constants (and a key of it), its prior and how far it may move (of its logarithm)."""

    field: str
    key: str
    prior: float
    width: float


SHARES = {
    "maxwell": 0.55, "pascal": 0.55, "gp100": 0.35, "volta": 0.75, "turing-16": 0.78, "turing": 0.78,
    "turing-pro": 0.75, "ampere": 0.87, "ampere-pro": 0.83, "ga100": 0.52, "ada": 0.93, "ada-pro": 0.88,
    "hopper": 0.52, "blackwell": 0.9, "blackwell-pro": 0.82, "blackwell-dc": 0.5, "polaris": 0.42, "vega": 0.42,
    "rdna1": 0.72, "rdna2": 0.78, "rdna3": 0.75, "rdna4": 0.75, "cdna": 0.4, "arc-a": 0.38, "arc-b": 0.63,
    "apple": 0.75,
    "amd-integrated": 0.75, "intel-integrated": 0.6, UNKNOWN: 0.75,
}  # fmt: skip
COMPUTE = {
    "maxwell": 1.0, "pascal": 1.2, "gp100": 0.55, "volta": 0.28, "turing-16": 0.25, "turing": 0.8, "turing-pro": 0.36,
    "ampere": 1.1, "ampere-pro": 0.5, "ga100": 0.28, "ada": 1.1, "ada-pro": 0.45, "hopper": 0.2, "blackwell": 1.1,
    "blackwell-pro": 0.45, "blackwell-dc": 0.2, "polaris": 0.6, "vega": 0.5, "rdna1": 0.45, "rdna2": 0.5,
    "rdna3": 0.4, "rdna4": 0.35, "cdna": 0.18, "arc-a": 0.09, "arc-b": 0.065, "apple": 0.6,
    "amd-integrated": 0.2, "intel-integrated": 0.08, UNKNOWN: 0.45,
}  # fmt: skip
GENERATION: tuple[Knob, ...] = (
    *(Knob("bandwidth_shares", name, share, 0.15) for name, share in SHARES.items()),
    Knob("backend_bandwidth", "nvidia Vulkan", 1.0, 0.15),
    Knob("backend_bandwidth", "amd ROCm", 1.0, 0.15),
    Knob("backend_bandwidth", "apple Vulkan", 0.7, 0.25),
    *(Knob("read_factors", name, 1.0, 0.15) for name in ("k", "low_k", "float", "mxfp4")),
    Knob("read_factors", "iq", 1.3, 0.15),
    Knob("read_factors", "old k", 1.05, 0.03),
    Knob("read_factors", "old low_k", 1.8, 0.25),
    Knob("layer_s", "dense", 40e-6, 0.3),
    Knob("layer_s", "hybrid", 80e-6, 0.3),
    Knob("layer_s", "moe", 70e-6, 0.3),
    Knob("layer_s", "hybrid moe", 140e-6, 0.25),
    Knob("token_s", "", 1e-4, 0.5),
    Knob("device_s", "", 1e-4, 0.5),
    Knob("several_s", "", 8e-4, 0.6),
    Knob("host_share", "", 0.6, 0.1),
    Knob("host_factors", "iq", 1.4, 0.2),
    Knob("host_factors", "low_k", 1.1, 0.1),
    Knob("moved_layer_s", "", 60e-6, 0.3),
    Knob("reduction_s", "new", 20e-6, 0.4),
    Knob("reduction_s", "old", 80e-6, 0.4),
)
PROMPT: tuple[Knob, ...] = (
    *(Knob("compute_shares", name, share, 0.3) for name, share in COMPUTE.items()),
    Knob("backend_compute", "nvidia Vulkan", 0.8, 0.25),
    Knob("backend_compute", "amd ROCm", 1.15, 0.25),
    Knob("backend_compute", "apple Vulkan", 0.25, 0.4),
    Knob("compute_factors", "k", 1.2, 0.12),
    Knob("compute_factors", "low_k", 1.4, 0.15),
    Knob("compute_factors", "iq", 1.3, 0.15),
    Knob("compute_factors", "float", 0.82, 0.12),
    Knob("compute_factors", "mxfp4", 1.1, 0.15),
    Knob("compute_factors", "old float", 1.35, 0.2),
    Knob("layer_prompt_s", "", 1e-4, 0.5),
    Knob("device_prompt_s", "", 1.5e-3, 0.5),
    Knob("link_share", "", 0.8, 0.3),
    Knob("half_expert_tokens", "", 50.0, 0.25),
)
# Not told by these runs. Micro-batches of 64, 128 and 256 reach 0.4, 0.6 and 0.8 of 512's throughput (llama-bench on
# GeForce cards, ggml-org/llama.cpp#3776 and #6017); attention from the fall of pp512 to pp8192 in #6017 (A100, F16).
FIXED = Constants(half_ubatch=100.0, attention_share=0.25, scoreboard_weight=0.5, basis="typical")


@cache
def published() -> tuple[Published, ...]:
    """The runs on cards that the catalog knows, without the noisy set `localscore`."""
    known, found = works(), []
    for row in rows():
        cards = [find(load_catalog(), name) for name in row["gpus"].split(";")]
        if row["set"] == "localscore" or any(card is None for card in cards):
            continue
        work, ubatch_size = known[key(row)]
        backend = "CUDA" if "CUDA" in row["backend"] else row["backend"]
        devices = tuple(
            Device(
                f"{backend}{i}", card.name, card.total_bytes or 0, card.total_bytes or 0, card.bandwidth_bytes_per_s,
                fp16_flops=card.fp16_flops, link_bytes_per_s=card.link_bytes_per_s, family=card.family,
                measured=card.measured,
            )
            for i, card in enumerate(cards[: len(work.devices)])
            if card
        )  # fmt: skip
        ram = float(row["ram_gb_per_s"]) * 1e9 if row["ram_gb_per_s"] else UNSAID_RAM
        kind = "tensor" if work.shares else row["kind"]
        found.append(Published(row, work, ubatch_size, devices, Host(ram_bandwidth_bytes_per_s=ram), kind))
    return tuple(run for run in found if run.kind != "row")


def measured(run: Published, generation: bool) -> float | None:
    """The published seconds per token; None where that was not published."""
    text = run.row["tg_tps" if generation else "pp_tps"]
    return 1 / float(text) if text else None


def predicted(run: Published, constants: Constants, generation: bool) -> float:
    """The model's seconds per token."""
    if generation:
        found = token_s(run.work, run.devices, run.host, constants)
    else:
        found = prompt_s(run.work, run.devices, run.ubatch_size, constants)
    assert found is not None
    return found


def with_values(base: Constants, knobs: Sequence[Knob], values: Iterable[float]) -> Constants:
    """`base` with the knobs set to exp(values)."""
    changed: dict[str, Any] = {}
    for knob, value in zip(knobs, values, strict=True):
        if knob.key:
            changed.setdefault(knob.field, dict(getattr(base, knob.field)))[knob.key] = exp(value)
        else:
            changed[knob.field] = exp(value)
    return replace(base, **changed)


def fit(runs: Sequence[Published], knobs: Sequence[Knob], base: Constants, generation: bool) -> Constants:
    """The constants that explain `runs` best; public measurements of cards take no part, the runs are among them."""
    base = replace(base, scoreboard_weight=0.0)
    runs = [run for run in runs if measured(run, generation)]
    wanted = np.array([log(measured(run, generation) or 1.0) for run in runs])
    affected = [[i for i, run in enumerate(runs) if _matters(knob, run)] for knob in knobs]
    priors = np.array([log(knob.prior) for knob in knobs])
    widths = np.array([knob.width for knob in knobs])
    values = priors.copy()
    for _ in range(ITERATIONS):
        now = with_values(base, knobs, values)
        spent = np.array([log(predicted(run, now, generation)) for run in runs])
        slopes = np.zeros((len(runs), len(knobs)))
        for j in range(len(knobs)):
            moved = values.copy()
            moved[j] += 1e-4
            other = with_values(base, knobs, moved)
            for i in affected[j]:
                slopes[i, j] = (log(predicted(runs[i], other, generation)) - spent[i]) / 1e-4
        off = wanted - spent
        scale = np.array([doubt(run, now, generation) for run in runs]) / NOISE
        weights = np.sqrt(np.minimum(1.0, HUBER * scale / np.maximum(np.abs(off), 1e-9))) / (NOISE * scale)
        system = np.vstack([slopes * weights[:, None], np.diag(1 / widths)])
        right = np.concatenate([off * weights, (priors - values) / widths])
        step = np.clip(np.linalg.lstsq(system, right, rcond=None)[0], -0.5, 0.5)
        values = values + step
        if np.abs(step).max() < 1e-3:
            break
    return replace(with_values(base, knobs, values), scoreboard_weight=FIXED.scoreboard_weight)


def doubt(run: Published, constants: Constants, generation: bool) -> float:
    """The noise of a run (of its logarithm): more where it waits for RAM whose speed it does not say."""
    if run.kind != "offload" or run.row["ram_gb_per_s"] or not generation:
        return NOISE
    instant = replace(run, host=Host(ram_bandwidth_bytes_per_s=1e15))
    share = 1 - predicted(instant, constants, generation) / predicted(run, constants, generation)
    return hypot(NOISE, share * RAM_DOUBT)


def _matters(knob: Knob, run: Published) -> bool:
    return not knob.key or knob.key in run.words()


def fit_all(runs: Sequence[Published]) -> Constants:
    """Generation first, for prompts read every weight once per micro-batch."""
    return fit(runs, PROMPT, fit(runs, GENERATION, FIXED, True), False)


def part_of(run: Published) -> int:
    """Which of the five parts a run's GPU set is in."""
    return int(hashlib.md5(run.cards().encode()).hexdigest(), 16) % FOLDS


Error = tuple[float, Published]  # predicted / measured - 1 of tokens per second


def cross_validated() -> tuple[list[Error], list[Error]]:
    """The errors of every run under constants fitted without its GPU set; generation and prompts."""
    found: tuple[list[Error], list[Error]] = ([], [])
    for part in range(FOLDS):
        constants = fit_all([run for run in published() if part_of(run) != part])
        held_out = [_blind(run) for run in published() if part_of(run) == part]
        for errors, generation in zip(found, (True, False), strict=True):
            errors.extend(errors_of(held_out, constants, generation))
    return found


def _blind(run: Published) -> Published:
    """The run without the public measurements of its cards."""
    return replace(run, devices=tuple(replace(device, measured=()) for device in run.devices))


def errors_of(runs: Sequence[Published], constants: Constants, generation: bool) -> list[Error]:
    """Predicted over measured speed, less one, of each run."""
    return [
        (seconds / predicted(run, constants, generation) - 1, run)
        for run in runs
        if (seconds := measured(run, generation)) is not None
    ]


def summary(errors: Sequence[Error]) -> str:
    """Number, median, the 90th percentile of the absolute errors and the worst."""
    off = np.array([error for error, _ in errors])
    worst = off[np.abs(off).argmax()]
    parts = f"{len(off):4d} runs, median {100 * np.median(off):+5.1f} %"
    return f"{parts}, 90 % within {100 * np.quantile(np.abs(off), 0.9):3.0f} %, worst {100 * worst:+.0f} %"


CLASSES: tuple[tuple[str, Callable[[Published], bool]], ...] = (
    ("all", lambda run: True),
    ("single", lambda run: run.kind == "single"),
    ("multi", lambda run: run.kind == "multi"),
    ("offload", lambda run: run.kind == "offload"),
    ("said", lambda run: run.kind == "offload" and bool(run.row["ram_gb_per_s"])),
    ("tensor", lambda run: run.kind == "tensor"),
    ("moe", lambda run: "moe" in run.work.model_class),
)


def report(errors: Sequence[Error]) -> None:
    """Prints the errors by class, and every run that is further off than SUSPECT."""
    for name, belongs in CLASSES:
        some = [error for error in errors if belongs(error[1])]
        if some:
            print(f"  {name:8s}{summary(some)}")
    for off, run in sorted(errors, key=lambda error: -abs(error[0])):
        if abs(off) > SUSPECT:
            speeds = f"{run.row['tg_tps'] or '-'} and {run.row['pp_tps'] or '-'} t/s measured"
            print(
                f"  {100 * off:+5.0f} %  {run.row['gpus'][:44]}, {run.row['model']}, {speeds}; {run.row['note'][:60]}"
            )


def contests(constants: Constants) -> tuple[int, int, list[str]]:
    """(rightly ordered, all, the wrong ones) pairs of one rig and model whose measured speeds differ by over 5 %."""
    right, total, wrong = 0, 0, []
    runs = [run for run in published() if run.row["group"]]
    for i, a in enumerate(runs):
        for b in runs[:i]:
            if a.row["group"] != b.row["group"] or a.row["model"] != b.row["model"]:
                continue
            for generation in (True, False):
                x, y = measured(a, generation), measured(b, generation)
                if not x or not y or max(x, y) / min(x, y) < 1.05:
                    continue
                total += 1
                ours = predicted(a, constants, generation) < predicted(b, constants, generation)
                if ours == (x < y):
                    right += 1
                else:
                    what = "generation" if generation else "prompt"
                    wrong.append(f"{a.row['model']}: {a.row['flags']} | {b.row['flags']} ({what})")
    return right, total, wrong


HEADER = '''"""The speed model's constants. Written by `python -m tests.plan.fit_speeds`: do not edit.

Fitted to {count} published runs (tests/plan/data/published_speeds.csv). Off runs on GPU sets that were held out:
generation {generation}; prompts {prompt}.
"""

from splitter.plan.speed import Constants

'''


def written(constants: Constants, errors: tuple[list[Error], list[Error]]) -> str:
    """The module's text."""
    head = HEADER.format(count=len(published()), generation=_short(errors[0]), prompt=_short(errors[1]))
    lines = ["TYPICAL = Constants("]
    for name in Constants.__dataclass_fields__:
        value = getattr(constants, name)
        if not value or value == Constants.__dataclass_fields__[name].default:
            continue
        if isinstance(value, str | float):
            lines.append(f"    {name}={_number(value)}," if isinstance(value, float) else f'    {name}="{value}",')
        else:
            pairs = "".join(f'        "{k}": {_number(v)},\n' for k, v in value.items())
            lines.append(f"    {name}={{\n{pairs}    }},")
    ranges = []
    for generation, some in ((True, errors[0]), (False, errors[1])):
        pairs = "".join(f'    "{name}": ({low:.2f}, {high:.2f}),\n' for name, low, high in _ranges(some))
        name = "GENERATION_RANGE" if generation else "PROMPT_RANGE"
        ranges.append(f"{name}: dict[str, tuple[float, float]] = {{\n{pairs}}}\n")
    why = '"""Measured over predicted speed of four fifths of the runs, by kind, GPU sets held out."""\n'
    return head + "\n".join([*lines, ")", "", ""]) + why.join(ranges) + why


def _ranges(errors: Sequence[Error]) -> list[tuple[str, float, float]]:
    found = []
    for name in ("single", "multi", "offload", "tensor"):
        ratios = [1 / (1 + off) for off, run in errors if run.kind == name]
        low, high = np.quantile(ratios, [0.1, 0.9])
        found.append((name, min(low, 0.9), max(high, 1.1)))
    return found


def _number(value: float) -> str:
    return f"{value:.3g}"


def _short(errors: Sequence[Error]) -> str:
    off = np.array([error for error, _ in errors])
    return f"median {100 * np.median(off):+.1f} %, 90 % within {100 * np.quantile(np.abs(off), 0.9):.0f} %"


def main(arguments: Sequence[str]) -> None:
    """Fits, prints, and writes the constants."""
    constants = fit_all(published())
    errors = cross_validated()
    for name, some, generation in zip(("generation", "prompts"), errors, (True, False), strict=True):
        print(f"{name}, fitted to all runs")
        report_line = summary(errors_of([_blind(run) for run in published()], constants, generation))
        print(f"  all     {report_line}")
        print(f"{name}, GPU sets held out in {FOLDS} parts")
        report(some)
    others = [run for run in published() if run.row["set"] != "scoreboard" and any(d.measured for d in run.devices)]
    print("runs on cards with a public measurement, which is not among them: with it, and without")
    for generation in (True, False):
        print(f"  {summary(errors_of(others, constants, generation))}")
        print(f"  {summary(errors_of([_blind(run) for run in others], constants, generation))}")
    right, total, wrong = contests(constants)
    print(f"contests: {right} of {total} ordered rightly")
    print("".join(f"  wrong: {line}\n" for line in wrong), end="")
    if "--check" not in arguments:
        OUT.write_text(written(constants, errors), encoding="utf-8")
        print(f"wrote {OUT}")


if __name__ == "__main__":
    assert {knob.key for knob in GENERATION if knob.field == "bandwidth_shares"} == {*NAMES, UNKNOWN}
    main(sys.argv[1:])
