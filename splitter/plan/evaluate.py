"""What given settings do on a rig: the Plan of a placement, whether it fits or not."""

from collections.abc import Sequence
from dataclasses import replace

from splitter.memory.footprint import Footprint, MemoryUse, Placement
from splitter.memory.host_ram import PROMPT_CACHE
from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts
from splitter.plan import warn
from splitter.plan.engine_rules import NEWEST, EngineRules
from splitter.plan.extra_models import ALONE, ExtraModels, Held
from splitter.plan.overhead import Overhead, driver_overhead
from splitter.plan.plan import Plan, PlannedDevice
from splitter.plan.scene import Scene
from splitter.plan.speculating import with_drafts
from splitter.plan.speed import Constants
from splitter.plan.speed_constants import TYPICAL
from splitter.plan.turn import predict
from splitter.plan.workload import CHAT, Workload
from splitter.rig.device import Device, Rig
from splitter.units import MIB, from_mib

RAM_KEPT_BYTES = from_mib(512)  # for the system and the server's own small needs


def evaluate(
    facts: ModelFacts,
    rig: Rig,
    settings: Settings,
    *,
    margin_bytes: tuple[int, ...] = (),
    engine: EngineRules = NEWEST,
    constants: Constants = TYPICAL,
    overhead: Overhead = driver_overhead,
    extra: ExtraModels = ALONE,
    workload: Workload = CHAT,
) -> Plan:
    """The plan that `settings` amount to. Never raises because it does not fit: ask `Plan.fits()`.

    `margin_bytes` and `engine` as in Request; `extra` holds the headers of the models that `settings` name beside the
    main one.
    Raises UsageError for settings that make no sense (an unknown device).
    """
    return evaluate_in(Scene(facts, rig, engine, margin_bytes, constants, overhead, extra, workload), settings)


def evaluate_in(scene: Scene, settings: Settings) -> Plan:
    """`evaluate` with the request's shared values gathered."""
    return assemble(scene, settings, scene.place(settings))


def assemble(scene: Scene, settings: Settings, placement: Placement) -> Plan:
    """The Plan of `settings`, which put the layers where `placement` says."""
    settings = scene.told(settings, placement)
    memory = scene.memory(settings)
    devices = scene.devices(settings.device_order)
    footprint = memory.footprint(placement)
    held = scene.held(settings, [use.breakdown_bytes() for use in footprint.devices])
    footprint = add_overhead(scene, settings, devices, footprint, held)
    margin = scene.margins()
    planned = tuple(
        PlannedDevice(
            device=device,
            layers=_layers_on(placement, index),
            holds_output=_holds_output(placement, index),
            memory=footprint.devices[index],
            margin_bytes=margin[device.id],
        )
        for index, device in enumerate(devices)
    )
    speed = predict(
        memory,
        placement,
        devices,
        scene.rig.host,
        constants=scene.constants,
        workload=scene.workload,
        parts=scene.layer_parts(memory),
    )
    speed = with_drafts(scene, speed, settings, placement, devices)
    plan = Plan(
        facts=scene.facts,
        rig=scene.rig,
        engine=scene.engine,
        settings=settings,
        placement=placement,
        footprint=footprint,
        devices=(*planned, *_homes_beside(scene, settings, held)),
        speed=speed,
    )
    return replace(plan, warnings=warn.warnings(plan))


def add_overhead(
    scene: Scene, settings: Settings, devices: Sequence[Device], footprint: Footprint, held: Held
) -> Footprint:
    """`footprint` with what the driver takes where the engine opens a context, and what the other models hold.

    llama.cpp opens one on each listed device, also without a layer; `-sm none` keeps the main GPU alone.
    """
    uses = tuple(
        replace(use, overhead=(*use.overhead, *scene.overhead(device, scene.rig.host), *held.on(device.id)))
        if opens_context(settings, index) or held.on(device.id)
        else use
        for index, (device, use) in enumerate(zip(devices, footprint.devices, strict=True))
    )
    host = replace(footprint.host, overhead=(*footprint.host.overhead, *held.on(None)))
    return replace(footprint, devices=uses, host=host)


def _homes_beside(scene: Scene, settings: Settings, held: Held) -> tuple[PlannedDevice, ...]:
    """The devices that only another model uses."""
    others = scene.devices([name for name in held.devices() if name not in settings.device_order])
    return tuple(
        PlannedDevice(
            device=device,
            layers=(),
            holds_output=False,
            memory=MemoryUse(overhead=(*scene.overhead(device, scene.rig.host), *held.on(device.id))),
            margin_bytes=scene.margins()[device.id],
        )
        for device in others
    )


def opens_context(settings: Settings, index: int) -> bool:
    """Whether the engine opens a driver context on the device at `index` of the device order."""
    return settings.split_mode != "none" or index == settings.main_gpu


def _layers_on(placement: Placement, index: int) -> tuple[int, ...]:
    if placement.shares:
        shared = placement.shares[index] > 0
        return tuple(i for i, owner in enumerate(placement.layers[:-1]) if owner is not None and shared)
    return placement.layers_on(index)


def _holds_output(placement: Placement, index: int) -> bool:
    output = placement.output_device()
    if placement.shares:
        return output is not None and placement.shares[index] > 0
    return output == index


def within_ram(scene: Scene, plan: Plan) -> Plan:
    """`plan` with its prompt cache limited to the RAM that is left, where the user has not said and less is left."""
    left, default = plan.ram_left_bytes(), scene.engine.memory.prompt_cache_mib
    if left is None or not default or plan.settings.cache_ram_mib is not None:
        return plan
    others = sum(size for name, size in plan.footprint.growth if name != PROMPT_CACHE)
    limit = max(0, left - others - RAM_KEPT_BYTES) // MIB
    if limit >= default:
        return plan
    limited = assemble(scene, replace(plan.settings, cache_ram_mib=limit), plan.placement)
    why = f"--cache-ram {limit}: old prompts may take the RAM that is left, not {default} MiB as by default"
    return replace(limited, reasons=(*plan.reasons, why))
