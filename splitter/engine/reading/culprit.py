"""Why a command does not fit, and what to change: single changes are evaluated by the memory model and ranked. Pure.

A change costs nothing (a flag that nobody needs, a better split), prompt speed, a little quality, or what the user
asked for (context, slots, generation speed). The cheapest that makes everything fit is named; where no single one does,
the cheap ones are taken together, then the rest is solved.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from splitter.engine.reading.blame import worst_device
from splitter.engine.reading.changes import candidates, ladders
from splitter.errors import DoesNotFitError, UsageError
from splitter.memory.settings import Settings
from splitter.plan.plan import Plan

Evaluate = Callable[[Settings], Plan]
Solve = Callable[[Mapping[str, Any]], Plan]  # fixed fields -> the best plan; DoesNotFitError, UsageError
Allowed = Callable[[Plan], bool]  # whether this engine's version can be told a plan

WORTH = 0.05  # a change counts when it takes this part of what is missing
FREE = 1.0  # changes cheaper than this are taken at once
STEPS = 3  # changes taken together before the rest is solved
PLACEMENT = (
    "override_tensors", "split_mode", "device_order", "n_cpu_moe", "gpu_layers", "cpu_moe", "main_gpu", "tensor_split",
)  # fmt: skip
SIZES = ("context_size", "cache_type_k", "cache_type_v", "ubatch_size", "batch_size", "swa_full", "parallel")


@dataclass(frozen=True, slots=True)
class Change:
    """One thing to change. `cost` ranks: below 1 nothing is lost, below 2 prompt speed, below 2.5 a little quality,
    above that what the user asked for. `names` are the changed fields, `words` what it is, for people; `saved_bytes`
    what it takes off the device that was short most (negative: it adds)."""

    names: tuple[str, ...]
    words: str
    cost: float
    plan: Plan
    saved_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Remedy:
    """What makes the command fit: `changes` in order, the culprit first; `plan` is the outcome."""

    changes: tuple[Change, ...]
    plan: Plan

    @property
    def culprit(self) -> Change:
        return self.changes[0]

    def cost(self) -> float:
        """What all changes cost together."""
        return sum(change.cost for change in self.changes)

    def names(self) -> tuple[str, ...]:
        """The fields that differ from the command's."""
        return tuple(dict.fromkeys(name for change in self.changes for name in change.names))


@dataclass(frozen=True, slots=True)
class Culprits:
    """Looks for the culprit of `plan`. `given` are the fields that the command itself sets."""

    plan: Plan
    given: frozenset[str]
    evaluate: Evaluate
    solve: Solve
    allowed: Allowed

    def remedy(self) -> Remedy | None:
        """The cheapest remedy, None where nothing helps (or nothing has to)."""
        if self.plan.fits():
            return None
        singles = tuple(self._singles(self.plan))
        fitting = [change for change in singles if change.plan.fits()]
        cheap = _cheapest(fitting)
        if cheap is not None and cheap.cost < FREE:
            return Remedy((cheap,), cheap.plan)
        if cheap is None and self._fixing(self.plan, (*PLACEMENT, *SIZES), override_tensors=()) is None:
            return None  # not with any placement, cache, batch or context
        solved = [change for change in self._solved(self.plan) if change.plan.fits()]
        best = _cheapest([*fitting, *solved])
        if best is None or best.cost > 3:
            best = _cheapest([change for change in (*solved, *fitting, *self._open(self.plan)) if change.plan.fits()])
        together = None if best is not None and best.cost < FREE else self._together(singles)
        if best is not None and (together is None or best.cost <= together.cost()):
            return Remedy((best,), best.plan)
        return together

    def _together(self, singles: tuple[Change, ...]) -> Remedy | None:
        """The changes that take most for little, one after the other, and then the cheapest that finishes it."""
        taken: list[Change] = []
        found: list[Remedy] = []
        now = self.plan
        for _ in range(STEPS):
            useful = [change for change in singles if change.cost < 2.5 and _takes(change, now)]
            if not useful:
                break
            taken.append(max(useful, key=_worth(now)))
            now = taken[-1].plan
            if now.fits():
                found.append(Remedy(tuple(taken), now))
                break
            singles = tuple(self._singles(now))
            last = _cheapest([change for change in (*singles, *self._solved(now)) if change.plan.fits()])
            found += [Remedy((*taken, last), last.plan)] if last else []
        return min(found, key=Remedy.cost, default=None) or self._anew(tuple(taken), now)

    def _anew(self, taken: tuple[Change, ...], now: Plan) -> Remedy | None:
        """The whole placement solved anew, with the changes `taken` or without them."""
        with_them = _cheapest([change for change in self._open(now) if change.plan.fits()])
        if with_them is not None:
            return Remedy((*taken, with_them), with_them.plan)
        without = _cheapest([change for change in self._open(self.plan) if change.plan.fits()])
        return Remedy((without,), without.plan) if without else None

    def _singles(self, plan: Plan) -> Iterator[Change]:
        """Every single change of `plan` that helps at all and that the engine can be told."""
        for names, words, cost, settings in candidates(plan):
            changed = self._try(settings)
            if changed is not None and short_bytes(changed) < short_bytes(plan):
                yield Change(names, words, cost, changed, _saved(plan, changed))
        yield from self._stepped(plan)

    def _try(self, settings: Settings) -> Plan | None:
        try:
            plan = self.evaluate(settings)
        except (UsageError, DoesNotFitError):
            return None
        return plan if self.allowed(plan) else None

    def _stepped(self, plan: Plan) -> Iterator[Change]:
        """Changes by degrees: the least of each that suffices, else all of it."""
        for names, cost, ladder in ladders(plan, self.given):
            found: tuple[str, Plan, float] | None = None
            for share, words, settings in ladder:
                tried = self._try(settings)
                if tried is None:
                    continue
                found = (words, tried, cost + share)
                if tried.fits():
                    break
            if found is not None and short_bytes(found[1]) < short_bytes(plan):
                yield Change(names, found[0], found[2], found[1], _saved(plan, found[1]))

    def _solved(self, plan: Plan) -> Iterator[Change]:
        """What solving some of the placement anew brings, the rest kept as it is."""
        settings = plan.settings
        if len(settings.device_order) > 1:
            yield from self._solving(plan, ("tensor_split",), 0.5)
        if plan.facts.hparam("expert_count") and not settings.cpu_moe:
            yield from self._experts(plan)
        yield from self._solving(plan, ("gpu_layers", "tensor_split"), 2.6)

    def _experts(self, plan: Plan) -> Iterator[Change]:
        """The fewest layers whose experts must stay in RAM, the other layers split anew."""
        low, high = plan.settings.n_cpu_moe, len(plan.placement.layers) - 1
        found: Plan | None = None
        while high - low > 1 or found is None:
            middle = (low + high + (high - low == 1)) // 2
            tried = self._with_experts(plan, middle) if middle > low else None
            if tried is not None and tried.fits():
                found, high = tried, middle
            elif high - low <= 1:
                break
            else:
                low = middle
        if found is not None:
            names = ("n_cpu_moe", *(("tensor_split",) if len(found.settings.device_order) > 1 else ()))
            yield Change(names, _placed(plan, found), 2.0 + _slower(plan, found), found, _saved(plan, found))

    def _with_experts(self, plan: Plan, count: int) -> Plan | None:
        settings = replace(plan.settings, n_cpu_moe=count)
        if len(settings.device_order) < 2:
            return self._try(settings)
        return self._fixing(plan, ("tensor_split",), n_cpu_moe=count)

    def _open(self, plan: Plan) -> Iterator[Change]:
        """Everything about the placement solved anew; then the context too."""
        yield from self._solving(plan, PLACEMENT, 3.0)
        yield from self._solving(plan, PLACEMENT[1:], 3.2)
        yield from self._solving(plan, (*PLACEMENT, "ubatch_size", "batch_size"), 3.4)
        yield from self._solving(plan, (*PLACEMENT, "context_size"), 4.0)

    def _solving(self, plan: Plan, free: tuple[str, ...], cost: float) -> Iterator[Change]:
        if "device_order" not in free and any(not d.layers and d.memory.model_bytes for d in plan.devices):
            return  # overrides put tensors on cards without a layer: counts do not describe that
        # fractions of layers (-ot) are more than a person wants to read: whole layers, whole experts
        plain = {"override_tensors": ()} if "override_tensors" in free else {}
        solved = self._fixing(plan, free, **plain)
        if solved is None:
            return
        split = len(solved.settings.device_order) > 1
        names = tuple(n for n in free if (n == "tensor_split" and split) or _differs(plan, solved, n))
        yield Change(names, _placed(plan, solved), cost + _slower(plan, solved), solved, _saved(plan, solved))

    def _fixing(self, plan: Plan, free: tuple[str, ...], **wanted: Any) -> Plan | None:
        """The best plan with everything but `free` as in `plan`, and `wanted`; None where there is none to tell."""
        kept = {field.name: getattr(plan.settings, field.name) for field in fields(Settings) if field.name not in free}
        try:
            solved = self.solve({name: value for name, value in (kept | wanted).items() if value is not None})
        except (UsageError, DoesNotFitError):
            return None
        return solved if self.allowed(solved) else None


def _differs(before: Plan, after: Plan, name: str) -> bool:
    return bool(getattr(before.settings, name) != getattr(after.settings, name))


def _cheapest(changes: list[Change]) -> Change | None:
    """The cheapest change; of equally cheap ones the one that takes most."""
    return min(changes, key=lambda change: (round(change.cost, 1), -change.saved_bytes), default=None)


def _worth(plan: Plan) -> Callable[[Change], float]:
    """What a change takes off for what it costs."""
    return lambda change: (short_bytes(plan) - short_bytes(change.plan)) / (1 + change.cost)


def _takes(change: Change, plan: Plan) -> bool:
    return short_bytes(plan) - short_bytes(change.plan) > WORTH * short_bytes(plan)


def short_bytes(plan: Plan) -> int:
    """What is missing, over all devices and the host's RAM."""
    ram = plan.rig.host.ram_free_bytes
    host = 0 if ram is None else max(plan.footprint.host.used_bytes() - ram, 0)
    return host + sum(max(-device.headroom_bytes(), 0) for device in plan.devices)


def _saved(before: Plan, after: Plan) -> int:
    """What a change takes off the device (or the RAM) that is short most."""
    worst = worst_device(before)
    if worst is None:
        return before.footprint.host.used_bytes() - after.footprint.host.used_bytes()
    now = next((device for device in after.devices if device.device.id == worst.device.id), None)
    return worst.used_bytes() - (now.used_bytes() if now else 0)


def _slower(before: Plan, after: Plan) -> float:
    """The part of the predicted generation speed (else of the layers on devices) that is lost, thrice: 0 to 3."""
    old, new = before.speed.generation_tokens_per_s, after.speed.generation_tokens_per_s
    if not old or not new:
        old, new = float(before.settings.gpu_layers), float(after.settings.gpu_layers)
    return 3 * max(1 - new / old, 0.0) if old else 0.0


def _placed(before: Plan, after: Plan) -> str:
    """What a solved placement does differently."""
    old, new = before.settings, after.settings
    told = []
    if old.override_tensors and not new.override_tensors:
        told.append("drop the tensor overrides")
    if old.device_order != new.device_order:
        told.append(f"use {', '.join(new.device_order)}")
    if old.n_cpu_moe != new.n_cpu_moe or old.cpu_moe != new.cpu_moe:
        told.append(f"keep the experts of {new.n_cpu_moe} layers in RAM")
    if old.gpu_layers != new.gpu_layers:
        told.append(f"offload {new.gpu_layers} layers")
    if old.context_size != new.context_size:
        told.append(f"take {new.context_size} tokens of context")
    counts = [len(device.layers) + device.holds_output for device in after.devices]
    if len(counts) > 1:
        told.append(f"split the layers {' + '.join(map(str, counts))}")
    return ", ".join(told) or "place the layers differently"
