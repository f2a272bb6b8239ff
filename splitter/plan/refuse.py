"""Why nothing fits, and the nearest thing that does."""

from dataclasses import replace

from splitter.errors import DoesNotFitError
from splitter.memory.setting_table import flag_of
from splitter.model.attention import placed_layers
from splitter.plan.defaults import CONTEXT_STEP
from splitter.plan.evaluate import evaluate_in
from splitter.plan.microbatch import best_at
from splitter.plan.plan import Plan
from splitter.plan.task import Task
from splitter.units import format_bytes

# Settings that a message names by their flags.
NAMED = (
    "gpu_layers",
    "tensor_split",
    "device_order",
    "split_mode",
    "main_gpu",
    "ubatch_size",
    "cache_type_k",
    "n_cpu_moe",
    "parallel",
)


def does_not_fit(task: Task, context_size: int) -> DoesNotFitError:
    """The error for a task that has no plan at `context_size` tokens: what the limit is, and what would fit."""
    facts, scene = task.scene.facts, task.scene
    asked = [f"{flag_of(name)} {_text(task.fixed[name])}" for name in NAMED if name in task.fixed]
    wish = f" with {' '.join(asked)}" if asked else ""
    message = (
        f"{facts.name} at {context_size} tokens{wish} does not fit {scene.rig.name}: {_what_binds(task, context_size)}"
    )
    if not task.hints:
        return DoesNotFitError(message)
    nearest = [text for text in (_context(task, context_size), *_dropping(task, context_size)) if text]
    return DoesNotFitError(message, "; ".join(nearest) or "take a smaller quantisation or a smaller model")


def _text(value: object) -> str:
    return (
        ",".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
        if isinstance(value, tuple)
        else str(value)
    )


def _what_binds(task: Task, context_size: int) -> str:
    """The fullest place of the nearest thing to what was asked, in words."""
    plan = _as_asked(task, context_size)
    short = min(plan.devices, key=lambda d: d.headroom_bytes(), default=None)
    pool = plan.pool_headroom_bytes()
    if pool is not None and pool < 0:
        free = format_bytes(plan.rig.pool_free_bytes() or 0)
        return f"host and GPU share one memory: they need {format_bytes(plan.pool_used_bytes())}; only {free} is free"
    ram, host = plan.rig.host.ram_free_bytes, plan.footprint.host.used_bytes()
    if ram is not None and host > ram:
        return f"it needs {format_bytes(host)} of RAM; only {format_bytes(ram)} is free"
    if short is None or short.headroom_bytes() >= 0:
        return "no device has room for even one layer next to its buffers and margin"
    budget = sum(task.scene.budget_bytes(d.device) for d in plan.devices)
    need = sum(d.memory.breakdown_bytes() for d in plan.devices)
    if need > budget:
        return f"the devices need {format_bytes(need)}; only {format_bytes(max(budget, 0))} is available"
    return f"{short.device.id} ({short.device.name}) is {format_bytes(-short.headroom_bytes())} short"


def _as_asked(task: Task, context_size: int) -> Plan:
    layers = placed_layers(task.scene.facts) + 1
    order = tuple(device.id for device in task.devices())
    wanted = (
        {"gpu_layers": layers} if task.split_mode() == "tensor" or "gpu_layers" in task.fixed else {"gpu_layers": 0}
    )
    if "tensor_split" in task.fixed:
        wanted = {"gpu_layers": layers}
    return evaluate_in(task.scene, task.settings(context_size=context_size, device_order=order, **wanted))


def _context(task: Task, context_size: int) -> str:
    """The largest shorter context at which the same wishes fit."""
    open_context = replace(task, fixed={k: v for k, v in task.fixed.items() if k != "context_size"})
    low, high = 0, context_size // CONTEXT_STEP
    while high - low > 1:
        middle = (low + high) // 2
        if best_at(open_context, middle * CONTEXT_STEP):
            low = middle
        else:
            high = middle
    return f"-c {low * CONTEXT_STEP} fits" if low else ""


def _dropping(task: Task, context_size: int) -> list[str]:
    """What fits at the same context when one wish is dropped."""
    hints = []
    for name in ("gpu_layers", "tensor_split", "device_order", "split_mode", "n_cpu_moe"):
        if name not in task.fixed or (name == "device_order" and "tensor_split" in task.fixed):
            continue
        freed = replace(task, fixed={k: v for k, v in task.fixed.items() if k != name})
        found = best_at(freed, context_size)
        if found is not None:
            value = getattr(found.settings, name)
            helped = found.settings.override_tensors and "override_tensors" not in task.fixed
            single = not isinstance(value, tuple) and not helped
            hints.append(f"{flag_of(name)} {value} fits" if single else f"it fits without {flag_of(name)}")
    return hints
