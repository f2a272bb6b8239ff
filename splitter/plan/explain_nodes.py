"""Reasons about other machines: what their network costs per token, and what their cards save. Real numbers only."""

from collections.abc import Iterator
from dataclasses import replace

from splitter.memory.footprint import Placement
from splitter.plan.costs import layer_costs
from splitter.plan.evaluate import assemble
from splitter.plan.fastest import find_fastest
from splitter.plan.plan import Plan
from splitter.plan.remote import Sending, hops, link_s, message_s, sending, token_bytes
from splitter.plan.task import Task
from splitter.plan.work import work_of
from splitter.rig.device import Device
from splitter.units import format_bytes


def used_nodes(task: Task, plan: Plan) -> Iterator[str]:
    """What the cards of other machines in `plan` cost and save, and how long their weights travel."""
    away = [planned.device for planned in plan.devices if planned.device.node and planned.layers]
    if not away:
        return
    cost = _cost_s(plan)
    named = " and ".join(device.where for device in away)
    costs, saves = ("costs", "saves") if len(away) == 1 else ("cost", "save")
    yield f"{named} {costs} {_ms(cost)} per token on the network{_saved(task, plan, cost, saves)}"
    yield _loading(sending(plan.placement, [planned.device for planned in plan.devices], plan.facts))


def why_not(task: Task, plan: Plan, device: Device) -> str:
    """Why a card of another machine is left out of `plan`."""
    cost = message_s(device) + link_s(device, token_bytes(work_of(plan), first=True, output=False))
    saved = _would_save_s(task, plan, device, cost)
    if saved is None:
        return f"all layers fit without it, and the network would cost {_ms(cost)} per token"
    return f"the network would cost {_ms(cost)} per token, and its layers would save {_ms(max(saved, 0.0))}"


def _cost_s(plan: Plan) -> float:
    """Seconds per token on the network."""
    work = work_of(plan)
    devices = [planned.device for planned in plan.devices]
    return sum(
        message_s(device) + link_s(device, token_bytes(work, first=first, output=output))
        for device, first, output in hops(work, devices)
    )


def _saved(task: Task, plan: Plan, cost: float, saves: str) -> str:
    """What the best plan of this machine alone takes longer."""
    alone, own = task.alone(), plan.speed.generation_tokens_per_s
    if alone is None or not own:
        return ""
    found = find_fastest(alone, plan.settings.context_size, **task.scene.engine.batches(plan.settings.ubatch_size))
    if found is None:
        return ", and without that nothing fits"
    other = assemble(alone.scene, found.settings, found.placement)
    slower = other.speed.generation_tokens_per_s
    if not slower:
        return ""
    what = "of RAM reads" if None in other.placement.layers or other.settings.n_cpu_moe else "of reads"
    return f" and {saves} {_ms(max(1 / slower - 1 / own + cost, 0.0))} {what}"


def _would_save_s(task: Task, plan: Plan, device: Device, cost: float) -> float | None:
    """What a token would take less if the card held the last of the layers in RAM, as many as fit; None where no layer
    is there."""
    host = plan.placement.layers.count(None)
    room, held = task.scene.budget_bytes(device), layer_costs(task.scene, task.scene.memory(plan.settings), ()).held
    count = 0
    while count < host and room >= held[host - 1 - count]:
        room -= held[host - 1 - count]
        count += 1
    now = plan.speed.generation_tokens_per_s
    if not host or not now:
        return None
    if not count:
        return 0.0
    moved = Placement(
        tuple(None if i < host - count else 0 if i < host else owner + 1 if owner is not None else None
              for i, owner in enumerate(plan.placement.layers)),
        plan.placement.devices + 1,
    )  # fmt: skip
    order = (device.id, *plan.settings.device_order)
    settings = replace(plan.settings, device_order=order, tensor_split=(), gpu_layers=plan.settings.gpu_layers + count)
    then = assemble(task.scene, settings, moved).speed.generation_tokens_per_s
    return None if not then else 1 / now - 1 / then + cost


def _loading(sent: Sending) -> str:
    again = "" if sent.cached_s > 0.9 * sent.first_s else f"; later ones take {_seconds(sent.cached_s)} with the cache"
    size = format_bytes(sent.size_bytes)
    return f"its first start sends {size} of weights over the network in {_seconds(sent.first_s)}{again}"


def _seconds(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:.0f} ms" if seconds >= 0.01 else f"{1000 * seconds:.1f} ms"
