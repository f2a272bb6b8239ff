"""What a trap looks at: one understood command on one rig."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property

from splitter.engine.engines import rules_of
from splitter.engine.llama_server.versions import llama_build
from splitter.engine.reading.devices import hiding_variables
from splitter.engine.reading.value import ReadCommand
from splitter.memory.settings import Settings
from splitter.plan.plan import Notice, Plan
from splitter.rig.device import Device, Rig


@dataclass(frozen=True)
class Case:
    """`settings` are complete, `plan` is what they put where; None when that is not known (no model at hand)."""

    read: ReadCommand
    settings: Settings
    rig: Rig
    plan: Plan | None = None
    version: str | None = None

    @cached_property
    def kobold(self) -> bool:
        return self.read.kind == "koboldcpp"

    @cached_property
    def release(self) -> tuple[int, ...]:
        """koboldcpp's release."""
        from splitter.engine.koboldcpp.versions import koboldcpp_release

        return koboldcpp_release(self.version or self.read.version)

    @cached_property
    def build(self) -> int:
        """llama.cpp's build number."""
        return llama_build(self.version or self.read.version)

    @cached_property
    def devices(self) -> tuple[Device, ...]:
        """The devices in the order of the split."""
        return tuple(self.rig.device(name) for name in self.settings.device_order)

    @cached_property
    def mixed(self) -> bool:
        """Whether the command uses unequal cards."""
        return len({(device.name, device.total_bytes) for device in self.devices}) > 1

    def given(self, name: str) -> bool:
        """Whether the command itself sets the field `name` of Settings."""
        return name in self.read.settings

    def how_to_hide(self, device: Device) -> str:
        """What to write so that the engine leaves `device` alone."""
        return rules_of(self.read.kind, self.version or self.read.version).how_to_hide(device.id)

    def hiding_variable(self) -> str | None:
        """The variable that hides and orders the command's cards, None where they have none or several."""
        names = hiding_variables(self.settings.device_order)
        return names[0] if len(names) == 1 else None

    def split_flag(self) -> str:
        return "--tensor_split" if self.kobold else "-ts"

    def on_cuda(self) -> bool:
        return bool(self.devices) and all(re.fullmatch(r"CUDA\d+", device.id) for device in self.devices)


Trap = Callable[[Case], Iterator[Notice]]


def shown(device: Device) -> str:
    """`CUDA0 (GTX 1050 Ti)`"""
    return f"{device.id} ({device.name})"


def numbers(values: tuple[float, ...] | tuple[int, ...], separator: str) -> str:
    """Shares as a person writes them."""
    return separator.join(f"{value:g}" for value in values)
