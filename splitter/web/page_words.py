"""What the page says of a plan: its controls, its verdict, what would make it fit. Pure."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from splitter.engine.engines import ENGINES
from splitter.memory.setting_table import CACHE_TYPES, SETTINGS, Setting
from splitter.model.facts import ModelFacts
from splitter.model.summary import summarize
from splitter.plan.explain import waits_in_ram
from splitter.plan.plan import Plan
from splitter.plan.workload import WORKLOADS
from splitter.rig.device import Rig
from splitter.units import format_bytes, to_mib

CONTEXT_LEAST, CONTEXT_STEP = 512, 512
UBATCHES = (64, 128, 256, 512, 1024, 2048, 4096)
MOST_SLOTS = 16
PLAIN = {
    "context_size": "Context",
    "cache_type_k": "Cache type",
    "cache_type_v": "Cache type of V",
    "ubatch_size": "Micro-batch",
    "parallel": "Slots",
    "n_cpu_moe": "Experts in RAM",
    "device_order": "Cards and their order",
    "margin": "Margin",
    "margin_mib": "Margin",
    "goal": "Goal",
    "workload": "Workload",
    "gpu_layers": "Layers on GPUs",
    "split_mode": "Split mode",
    "tensor_split": "Shares",
}
# What belongs to the choice of model, rig and engine; everything else is a wish that can be freed.
CHOICE = ("model", "rig", "gpus", "engine", "engine_version", "backend", "profile")
NOT_A_WISH = (*CHOICE, "full", "shown_device_order", "shown_ubatch_size")


@dataclass(frozen=True, slots=True)
class Control:
    """One thing to move. `kind` is range, choice, cards or margins; `value` what was fixed, None while it is free."""

    name: str
    label: str
    about: str
    kind: str
    value: str | None
    least: int = 0
    most: int = 0
    step: int = 1
    choices: tuple[tuple[str, str], ...] = ()
    unit: str = ""


def controls(facts: ModelFacts, rig: Rig, given: Mapping[str, Any]) -> tuple[Control, ...]:
    """The controls of a model on a rig; `given` are the wishes by keyword."""

    def text(name: str) -> str | None:
        found = given.get(name)
        return None if found is None or found == "" else str(found)

    longest = facts.context_train or 32768
    listed = [
        Control("context_size", "Context", "How many tokens the model can look back on. "
                "Longer needs more cache memory.",
                "range", text("context_size"), CONTEXT_LEAST, longest, CONTEXT_STEP, unit="tokens"),
        Control("cache_type_k", "Cache type", "How the cache is stored. q8_0 takes half of f16 and loses next to "
                "nothing; q4_0 takes a quarter and loses some.", "choice", text("cache_type_k"),
                choices=tuple((name, name) for name in CACHE_TYPES)),
        Control("ubatch_size", "Micro-batch", "Tokens of a prompt that are computed at once. Larger reads prompts "
                "faster and needs more buffer memory.", "choice", text("ubatch_size"),
                choices=tuple((str(size), str(size)) for size in UBATCHES)),
        Control("parallel", "Slots", "How many requests are served at the same time.", "range", text("parallel"),
                1, MOST_SLOTS, 1),
    ]  # fmt: skip
    if summarize(facts).expert_count:
        listed.append(
            Control("n_cpu_moe", "Experts in RAM", "The experts of this many layers stay in RAM: they are large, and "
                    "each token uses few of them.", "range", text("n_cpu_moe"), 0, facts.layers, 1, unit="layers")
        )  # fmt: skip
    if len(rig.devices) > 1:
        listed.append(
            Control("device_order", "Cards and their order", "Which cards are used. The first holds the first layers.",
                    "cards", text("device_order"),
                    choices=tuple((device.id, f"{device.id} {device.name}") for device in rig.devices))
        )  # fmt: skip
    if rig.devices:
        listed.append(
            Control("margin", "Margin per card", "Memory that stays free on purpose: the screen, a browser, other "
                    "programs.", "margins", text("margin"), 0, 4096, 64,
                    tuple((device.id, f"{device.id} {device.name}") for device in rig.devices), "MiB")
        )  # fmt: skip
    listed.append(
        Control("workload", "Workload", "The turn that is made short: how many tokens come in and go out.", "choice",
                text("workload"), choices=tuple((name, _turn_words(name)) for name in WORKLOADS))
    )  # fmt: skip
    listed.append(
        Control("goal", "Goal", "What the plan prefers when it cannot have both.", "choice", text("goal"),
                choices=(("speed", "speed"), ("context", "long context"), ("balanced", "both")))
    )  # fmt: skip
    return tuple(listed)


def _turn_words(name: str) -> str:
    turn = WORKLOADS[name]
    return f"{name}: {turn.prompt_tokens} in, {turn.generated_tokens} out"


def solved_values(plan: Plan) -> dict[str, Any]:
    """What the plan came to, by the controls' names."""
    settings = plan.settings
    order = {device.id: number for number, device in enumerate(plan.rig.devices)}
    margins = {used.device.id: round(to_mib(used.margin_bytes)) for used in plan.devices}
    return {
        "context_size": settings.context_size,
        "cache_type_k": settings.cache_type_k,
        "ubatch_size": settings.ubatch_size,
        "parallel": settings.parallel,
        "n_cpu_moe": settings.n_cpu_moe,
        "device_order": ",".join(settings.device_order),
        "margin": ",".join(str(margins.get(name, "")) for name in order),
    }


def wishes_in(given: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """What was fixed, as (keyword, sentence)."""
    return tuple(
        (name, f"{PLAIN.get(name, name.replace('_', ' '))}: {value}")
        for name, value in given.items()
        if name not in NOT_A_WISH and value not in {None, ""}
    )


def verdict_line(plan: Plan) -> tuple[str, str]:
    """("good", "some" or "bad", sentence)."""
    if not plan.fits():
        return "bad", f"Does not fit: {', '.join(_short(plan))}."
    layers = plan.placement.layers
    away = sum(owner is None for owner in layers)
    if not plan.rig.devices or away == len(layers):
        return "some", "Fits in RAM alone: no layer is on a card."
    if not waits_in_ram(plan):
        return "good", "Fits: the whole model is on the cards."
    held = format_bytes(plan.footprint.host.model_bytes)
    what = f"{away} of {len(layers)} layers" if away else "parts of some layers"
    return "some", f"Runs, but does not fit whole on the cards: {what} ({held}) wait in RAM, and each token for them."


def _short(plan: Plan) -> Iterator[str]:
    for used in plan.devices:
        if used.headroom_bytes() < 0:
            yield f"{used.device.id} is {format_bytes(-used.headroom_bytes())} short"
    free, need = plan.rig.host.ram_free_bytes, plan.footprint.host.used_bytes()
    if free is not None and need > free:
        yield f"RAM is {format_bytes(need - free)} short"


def ways_out(hint: str) -> tuple[tuple[str, dict[str, str]], ...]:
    """What would make it fit, out of an error's hint: ("-c 4096 fits", {"context_size": "4096"})."""
    found = []
    for part in hint.split("; "):
        changes = changes_of(part.removesuffix(" fits").split()) if part.endswith(" fits") else {}
        freed = re.search(r"fits without (\S+)", part)
        if freed and (setting := _by_flag().get(freed[1])):
            changes = {setting.name: ""}
        if changes:
            found.append((part, changes))
    return tuple(found)


def changes_of(flags: Sequence[str]) -> dict[str, str]:
    """The keywords that flags of llama.cpp stand for."""
    changes, rest = {}, list(flags)
    while rest:
        setting = _by_flag().get(rest.pop(0))
        if setting is None:
            continue
        if setting.kind == "boolean":
            changes[setting.name] = str(setting.means).lower()
        elif rest:
            changes[setting.name] = rest.pop(0)
    if changes.get("cache_type_k") == changes.get("cache_type_v"):
        changes.pop("cache_type_v", None)
    return changes


def _by_flag() -> dict[str, Setting]:
    return {flag: setting for setting in SETTINGS for flag in setting.flags}


def engine_names() -> tuple[str, ...]:
    """The engines that can be planned for."""
    return tuple(ENGINES)
