"""Quant advisor: ranks the files of one repository by what this rig would get from them, and recommends one. Pure."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from splitter.errors import SplitterError
from splitter.model.facts import ModelFacts
from splitter.plan.explain import waits_in_ram
from splitter.plan.plan import Plan
from splitter.plan.quality import QUALITIES, Quality, bits_per_weight, quality_of
from splitter.units import format_rate

# About twice the pace of reading (some 250 words, 330 tokens a minute): slower generation is waited for.
ACCEPTABLE_TOKENS_PER_S = 10.0
# Within a class the losses are close to each other, so more bits must not cost more than a fifth of the speed.
SPEED_KEPT = 0.8


@dataclass(frozen=True, slots=True)
class RankedModel:
    """One file: its header, and the plan or why there is none. `facts` None: the header could not be read."""

    file: str
    facts: ModelFacts | None
    outcome: Plan | SplitterError

    @property
    def plan(self) -> Plan | None:
        return self.outcome if isinstance(self.outcome, Plan) else None

    @property
    def error(self) -> SplitterError | None:
        return None if isinstance(self.outcome, Plan) else self.outcome


@dataclass(frozen=True, slots=True)
class RankedFile:
    """A candidate with its plan's figures. None = unknown; `gpu_layers` counts the output layer."""

    candidate: RankedModel
    quality: Quality | None = None
    bits_per_weight: float | None = None
    fits: bool | None = None
    on_gpus: bool = False
    gpu_layers: int | None = None
    layers: int | None = None
    context_size: int | None = None
    tokens_per_s: float | None = None

    @property
    def file(self) -> str:
        return self.candidate.file

    def is_quick(self) -> bool:
        """Fast enough; where no speed can be predicted, all layers on GPUs count as fast enough."""
        return self.on_gpus if self.tokens_per_s is None else self.tokens_per_s >= ACCEPTABLE_TOKENS_PER_S

    def class_index(self) -> int:
        """0 for the best class; an unknown one counts as the worst."""
        return QUALITIES.index(self.quality) if self.quality else len(QUALITIES) - 1


@dataclass(frozen=True, slots=True)
class Advice:
    """All files, the most advisable first, those without a plan last.

    `recommended` None: nothing fits, or the files are not quantisations of one model.
    """

    files: tuple[RankedFile, ...]
    recommended: str | None
    reason: str

    def fits(self) -> bool:
        """Whether any file fits."""
        return any(file.fits for file in self.files)


def advise(candidates: Iterable[RankedModel]) -> Advice:
    """Ranks and recommends: what runs on GPUs alone before what spills, then the quality class, then speed."""
    files = tuple(_ranked(candidate) for candidate in candidates)
    chosen, reason = _recommend([file for file in files if file.fits])
    if chosen and not _is_one_model(files):
        chosen, reason = (
            None,
            "these are different models, and a quality class only says what quantising cost each of them",
        )
    rest = sorted((file for file in files if file is not chosen), key=_order)
    return Advice((*([chosen] if chosen else []), *rest), chosen.file if chosen else None, reason)


def _is_one_model(files: Sequence[RankedFile]) -> bool:
    """Whether all files that could be read are quantisations of the same weights."""
    read = [file.candidate.facts for file in files if file.candidate.facts]
    return len({(facts.architecture, facts.layers, facts.hparam("embedding_length")) for facts in read}) <= 1


def _ranked(candidate: RankedModel) -> RankedFile:
    facts, plan = candidate.facts, candidate.plan
    if facts is None:
        return RankedFile(candidate)
    quality, bits = quality_of(facts), bits_per_weight(facts)
    if plan is None:
        known = candidate.error is not None and candidate.error.code == "does_not_fit"
        return RankedFile(candidate, quality, bits, False if known else None)
    owners = plan.placement.layers
    return RankedFile(
        candidate,
        quality,
        bits,
        fits=plan.fits(),
        on_gpus=not waits_in_ram(plan),
        gpu_layers=sum(owner is not None for owner in owners),
        layers=len(owners),
        context_size=plan.settings.context_size,
        tokens_per_s=plan.speed.generation_tokens_per_s,
    )


def _order(file: RankedFile) -> tuple[bool, bool, bool, int, float, float, str]:
    """What fits, undegraded and quick first; then on GPUs alone, the class, the bits and the speed."""
    return (
        file.fits is not True,
        file.quality == "degraded" or not file.is_quick(),
        not file.on_gpus,
        file.class_index(),
        -(file.bits_per_weight or 0.0),
        -(file.tokens_per_s or 0.0),
        file.file,
    )


def _recommend(fitting: Sequence[RankedFile]) -> tuple[RankedFile | None, str]:
    """The first of these groups that is not empty, and the best file of it."""
    sound = [file for file in fitting if file.quality != "degraded"]
    groups = (
        ([file for file in sound if file.on_gpus and file.is_quick()], "runs on the GPUs alone"),
        (
            [file for file in sound if file.is_quick()],
            "fast enough with a part in RAM; no file of this quality fits on the GPUs alone",
        ),
        ([file for file in fitting if file.on_gpus and file.is_quick()], "every better file is slow on this rig"),
    )
    for group, why in groups:
        if group:
            chosen = _best_of_class(group)
            return chosen, _reason(chosen, group, why)
    if not fitting:
        return None, "none of the files fits this rig"
    chosen = max(sound or fitting, key=lambda file: (file.tokens_per_s or 0.0, file.bits_per_weight or 0.0))
    return chosen, _reason(chosen, fitting, "no file is fast on this rig; this is the fastest of acceptable quality")


def _best_of_class(group: Sequence[RankedFile]) -> RankedFile:
    """In the best class of `group`, the most bits that keep four fifths of that class's speed."""
    best = min(file.class_index() for file in group)
    peers = [file for file in group if file.class_index() == best]
    fastest = max(file.tokens_per_s or 0.0 for file in peers)
    kept = [file for file in peers if (file.tokens_per_s or 0.0) >= SPEED_KEPT * fastest]
    return max(kept, key=lambda file: (file.bits_per_weight or 0.0, file.tokens_per_s or 0.0, file.file))


def _reason(chosen: RankedFile, group: Sequence[RankedFile], why: str) -> str:
    speed = "" if chosen.tokens_per_s is None else f", {format_rate(chosen.tokens_per_s)} t/s predicted"
    text = f"{chosen.quality or 'unknown quality'}, {why}: {_placed(chosen)}, {chosen.context_size} tokens{speed}"
    peers = [file for file in group if file.quality == chosen.quality and file is not chosen]
    larger = [file for file in peers if (file.bits_per_weight or 0.0) > (chosen.bits_per_weight or 0.0)]
    if not larger or chosen.tokens_per_s is None:
        return text
    next_up = min(larger, key=lambda file: file.bits_per_weight or 0.0)
    lost = 100 * (1 - (next_up.tokens_per_s or 0.0) / chosen.tokens_per_s)
    return f"{text}; {next_up.file} would be {lost:.0f} % slower, for a gain that can hardly be measured"


def _placed(file: RankedFile) -> str:
    if file.on_gpus:
        return "all layers on GPUs"
    if file.gpu_layers == file.layers:
        return "all layers on GPUs, some tensors in RAM"
    return f"{file.gpu_layers} of {file.layers} layers on GPUs"
