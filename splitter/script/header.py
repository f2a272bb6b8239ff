"""The comment at the top of a script: what was planned, for which rig, how to make it again. Pure."""

from splitter import __version__
from splitter.engine.command import EngineCommand
from splitter.plan.plan import Plan, PlannedDevice
from splitter.script.file import MARK
from splitter.units import format_bytes


def header_lines(plan: Plan, command: EngineCommand, remake: str) -> tuple[str, ...]:
    """The lines, without comment signs; each one word first, then text on one line."""
    engine = command.engine
    return tuple(
        _one_line(line)
        for line in (
            f"{MARK} {__version__}: starts a planned engine; can be run from any folder.",
            f"Model:    {plan.facts.name}, {plan.facts.quantization or 'unknown quantisation'}, {plan.facts.path}",
            f"Rig:      {plan.rig.name}",
            f"Engine:   {engine.kind} {engine.version or '(flags of the newest release)'}",
            f"Plan:     context {plan.settings.context_size}, {plan.settings.gpu_layers} layers on GPUs",
            *(f"Device:   {_device(device)}" for device in plan.devices),
            f"Remake:   {remake}",
        )
    )


def _device(planned: PlannedDevice) -> str:
    output = " and the output layer" if planned.holds_output else ""
    return (
        f"{planned.device.id} {planned.device.name}: {len(planned.layers)} layers{output}, "
        f"{format_bytes(planned.used_bytes())} of {format_bytes(planned.device.free_bytes)} free"
    )


def _one_line(text: str) -> str:
    """`text` without control or format characters, and without a caret at its end (it would swallow cmd's next
    line)."""
    return "".join(c if c.isprintable() else " " for c in text).rstrip(" ^")
