"""Which device a draft model and a projector go to: every device is tried, the one that costs least is kept.

With its home fixed, another model is so many bytes less on that device: the search for the main model stays exact.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

from splitter.errors import DoesNotFitError, UsageError
from splitter.memory.speculation import drafted_tokens
from splitter.plan.extra_models import DRAFT, PROJECTOR
from splitter.plan.families import FLOAT
from splitter.plan.finder import Solution
from splitter.plan.goals import Choice, choose
from splitter.plan.request import Request
from splitter.plan.scene import Scene
from splitter.plan.speculating import draft_pass_s
from splitter.plan.speed import price_of
from splitter.plan.task import Task
from splitter.rig.device import Device
from splitter.units import format_bytes

# Tokens generated per image: what shares the cost of encoding it.
TOKENS_PER_IMAGE = 256
CPU = "none"


@dataclass(frozen=True, slots=True)
class Homes:
    """Where the other models go, as fields of Settings, and the seconds that they add to a turn."""

    draft: tuple[str, ...] | None
    projector: str | None
    seconds: float

    def fixing(self, task: Task) -> Task:
        chosen = {"draft_device_order": self.draft, "mmproj_device": self.projector}
        return task.fixing(**{name: value for name, value in chosen.items() if value is not None})


def choose_with_homes(task: Task, request: Request) -> tuple[Task, Choice]:
    """The choice for `request` with every other model at home; the task has their homes fixed.

    Devices come before the CPU for a projector, which takes seconds per image there. DoesNotFitError when the main
    model has no plan beside them.
    """
    if task.scene.extra.is_empty():
        return task, choose(task, request)
    options = sorted(candidates(task), key=lambda homes: (homes.projector == CPU, homes.seconds))
    best: tuple[Task, Choice, Homes] | None = None
    alone_s = cache(lambda: _alone_s(task, request))
    for homes in options:
        if best is not None and (homes.projector == CPU or not _may_beat(homes, alone_s, best, request)):
            continue
        trial = homes.fixing(task)
        choice = _try(trial, request)
        if choice and (best is None or _price(choice, homes, request) < _price(best[1], best[2], request)):
            best = trial, choice, homes
    if best is None:
        raise _does_not_fit(options[0].fixing(task), request)
    return best[0], replace(best[1], reasons=(*best[1].reasons, *_reasons(best[0], best[1].found, request)))


def candidates(task: Task) -> Iterator[Homes]:
    """All homes that the user leaves open and the engine can name."""
    scene = task.scene
    among_its_own = "device_order" in task.fixed and not scene.engine.homes_beside
    devices = task.devices() if among_its_own else scene.usable()
    devices = tuple(device for device in devices if not device.node)  # each draft would cross the network
    for draft, projector in product(_draft_homes(task, devices), _projector_homes(task, devices)):
        per_token = _draft_s(task, draft) + _image_s(scene, projector) / TOKENS_PER_IMAGE
        yield Homes(draft, projector, per_token * scene.workload.generated_tokens)


def _draft_homes(task: Task, devices: Sequence[Device]) -> list[tuple[str, ...] | None]:
    if task.scene.extra.draft is None:
        return [None]
    fixed = task.fixed.get("draft_device_order")
    if fixed is not None and len(fixed) > 1:
        raise UsageError("splitter places a draft model on one device", "name one in -devd, or leave it out")
    if fixed is not None:
        task.scene.devices(fixed)
        return [fixed]
    if task.fixed.get("draft_gpu_layers") == 0:
        return [()]
    return [*((device.id,) for device in devices), ()]


def _projector_homes(task: Task, devices: Sequence[Device]) -> list[str | None]:
    if task.scene.extra.projector is None:
        return [None]
    fixed = task.fixed.get("mmproj_device")
    if fixed is not None:
        task.scene.devices(() if fixed == CPU else (fixed,))
        return [fixed]
    return [*(device.id for device in devices), *((CPU,) if task.scene.engine.projector_on_cpu or not devices else ())]


def _draft_s(task: Task, home: tuple[str, ...] | None) -> float:
    """Seconds that drafting adds to a pass of the main model; 0 where a bandwidth is unknown."""
    scene = task.scene
    base = task.settings(context_size=task.fixed.get("context_size", 256))
    settings = replace(base, device_order=home or (), draft_device_order=home)
    return drafted_tokens(base) * (draft_pass_s(scene, settings) or 0.0)


def _image_s(scene: Scene, home: str | None) -> float:
    """Seconds to encode an image; 0 where a device's throughput is unknown."""
    if home is None or home == CPU:
        return scene.extra.image_flops() / scene.constants.host_flops
    price = price_of(scene.devices((home,))[0], scene.constants)
    return 0.0 if price is None or price.guessed else scene.extra.image_flops() * price.flop_s[FLOAT]


def _alone_s(task: Task, request: Request) -> float | None:
    """Seconds of a turn of the main model on the empty rig: no home can do better. None where nothing fits."""
    scene = replace(task.scene, extra=type(task.scene.extra)())
    choice = _try(replace(task, scene=scene), request)
    return choice.found.seconds if choice else None


def _may_beat(
    homes: Homes, alone_s: Callable[[], float | None], best: tuple[Task, Choice, Homes], request: Request
) -> bool:
    if _by_context(request):
        return True
    least = alone_s()
    return least is None or (least + homes.seconds,) < _price(best[1], best[2], request)[:1]


def _by_context(request: Request) -> bool:
    return request.context_max or (request.goal == "context" and "context_size" not in request.fixed)


def _price(choice: Choice, homes: Homes, request: Request) -> tuple[float, float]:
    """What to minimise: the turn, after the context where that is what is wanted."""
    context, seconds = -choice.found.settings.context_size, choice.found.seconds + homes.seconds
    return (context, seconds) if _by_context(request) else (seconds, context)


def _try(task: Task, request: Request) -> Choice | None:
    """The choice under one pair of homes; None where nothing fits or the engine has no words for it."""
    try:
        choice = choose(replace(task, hints=False), request)
    except DoesNotFitError:
        return None
    return choice if _can_be_said(task, choice.found) else None


def _can_be_said(task: Task, found: Solution) -> bool:
    """Without `homes_beside` a projector lies on the first device, a draft model on devices of the main model."""
    if task.scene.engine.homes_beside:
        return True
    order, settings = found.settings.device_order, found.settings
    first = settings.mmproj_device in (None, CPU, *order[:1])
    return first and set(settings.draft_device_order or ()) <= set(order)


def _does_not_fit(task: Task, request: Request) -> DoesNotFitError:
    """The refusal of the cheapest homes, with what leaving the other models out would bring."""
    names = [name for name, facts in _named(task.scene) if facts is not None]
    alone = _alone_s(task, request)
    without = f"it fits without the {' and the '.join(names)}" if alone is not None else ""
    try:
        choose(task, request)
    except DoesNotFitError as error:
        return DoesNotFitError(error.message, "; ".join(filter(None, (without, error.hint))))
    return DoesNotFitError(f"no device has room for the {' and the '.join(names)}", without)


def _named(scene: Scene) -> tuple[tuple[str, object], ...]:
    return (DRAFT, scene.extra.draft), (PROJECTOR, scene.extra.projector)


def _reasons(task: Task, found: Solution, request: Request) -> Iterator[str]:
    scene = task.scene
    shares = scene.held(found.settings).shares
    for name, facts in _named(scene):
        if facts is None:
            continue
        places = [share for share in shares if share.model == name]
        where = next((share for share in places if share.device), places[0])
        use = where.use
        parts = [(use.model_bytes, "weights"), (use.context_bytes, "cache"), (use.compute_bytes, "buffers")]
        held = ", ".join(f"{format_bytes(size)} {what}" for size, what in parts if size)
        yield f"the {name} goes to {where.device or 'RAM'} ({held}): {_why(task, name, where.device, request)}"


def _why(task: Task, name: str, device: str | None, request: Request) -> str:
    if ("draft_device_order" if name == DRAFT else "mmproj_device") in request.fixed:
        return "as asked"
    if not task.scene.usable():
        return "this engine computes on the CPU"
    if name == PROJECTOR:
        return "any other device would cost more" if device else "no device has room for it"
    seconds = _draft_s(task, (device,) if device else ())
    drafted = drafted_tokens(task.settings(context_size=256))
    return f"{drafted} drafted tokens take {1000 * seconds:.1f} ms there, and this costs the main model least"
