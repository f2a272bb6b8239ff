"""The models beside the main one: a draft model (-md) and a multimodal projector (-mm), where they lie, what they hold.

Source: tools/server/server-context.cpp and common/speculative.cpp (common_base_params_to_speculative), common/arg.cpp,
llama.cpp build 11434. The draft model takes over the main model's context, batches, slots and -ts, with a cache of its
own type (f16), on the devices of -devd (else those of the main model); the projector lies on one device whole.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from splitter.memory.footprint import MemoryUse, Placement
from splitter.memory.model import MemoryModel
from splitter.memory.projector import flops_per_image, projector_use
from splitter.memory.rules import LLAMA_CPP, MemoryRules
from splitter.memory.settings import Settings
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts
from splitter.plan.placement import placement_of

DRAFT, PROJECTOR = "draft model", "projector"
EVERYTHING = 10**6  # -ngld auto: all layers


@dataclass(frozen=True, slots=True)
class Share:
    """What one model holds on one device (None: in RAM)."""

    model: str
    device: str | None
    use: MemoryUse


@dataclass(frozen=True, slots=True)
class Held:
    """The shares of all models beside the main one."""

    shares: tuple[Share, ...] = ()

    def on(self, device: str | None) -> tuple[tuple[str, int], ...]:
        """Named bytes on a device (None: in RAM), as parts of its overhead."""
        return tuple((share.model, share.use.used_bytes()) for share in self.shares if share.device == device)

    def host_bytes(self) -> int:
        return sum(size for _, size in self.on(None))

    def devices(self) -> tuple[str, ...]:
        """The devices that hold something, each once."""
        return tuple(dict.fromkeys(share.device for share in self.shares if share.device is not None))


@dataclass(frozen=True, slots=True)
class ExtraModels:
    """Headers of the draft model and the projector; None: there is none, or it cannot be read."""

    draft: ModelFacts | None = None
    projector: ModelFacts | None = None
    models: dict[Settings, MemoryModel] = field(default_factory=dict, repr=False, compare=False)

    def is_empty(self) -> bool:
        return self.draft is None and self.projector is None

    def held(self, settings: Settings, free: Mapping[str, int], rules: MemoryRules = LLAMA_CPP) -> Held:
        """What they hold under the main model's `settings`; `free` bytes by device id once that is loaded."""
        return Held((*self._draft(settings, free, rules), *self._projector(settings)))

    def draft_memory(self, settings: Settings, rules: MemoryRules = LLAMA_CPP) -> MemoryModel | None:
        """The memory model of the draft model beside a main model with `settings`."""
        if self.draft is None:
            return None
        key = replace(draft_settings(settings, rules), gpu_layers=0, tensor_split=(), main_gpu=0, device_order=())
        if key not in self.models:
            self.models[key] = MemoryModel(self.draft, key, rules)
        return self.models[key]

    def draft_placement(
        self, settings: Settings, free: Mapping[str, int], rules: MemoryRules = LLAMA_CPP
    ) -> Placement | None:
        if self.draft is None:
            return None
        own = draft_settings(settings, rules)
        room = [max(free.get(name, 0), 1) for name in own.device_order]
        return placement_of(placed_layers(self.draft), own, room)

    def _draft(self, settings: Settings, free: Mapping[str, int], rules: MemoryRules) -> tuple[Share, ...]:
        memory, placement = self.draft_memory(settings, rules), self.draft_placement(settings, free, rules)
        if memory is None or placement is None:
            return ()
        footprint = memory.footprint(placement)
        order = draft_settings(settings, rules).device_order
        on_devices = zip(order, footprint.devices, strict=True)
        shares = [Share(DRAFT, name, use) for name, use in on_devices if use.used_bytes()]
        return (*shares, Share(DRAFT, None, footprint.host))

    def _projector(self, settings: Settings) -> tuple[Share, ...]:
        if self.projector is None:
            return ()
        use = projector_use(self.projector, flash=settings.flash_attention != "off")
        return (Share(PROJECTOR, projector_device(settings), use),)

    def image_flops(self) -> float:
        return flops_per_image(self.projector) if self.projector else 0.0


ALONE = ExtraModels()


def draft_settings(settings: Settings, rules: MemoryRules = LLAMA_CPP) -> Settings:
    """The settings of the draft model, its placement included, beside a main model with `settings`."""
    named = settings.draft_device_order
    order = settings.device_order if named is None else named
    layers = EVERYTHING if settings.draft_gpu_layers is None else settings.draft_gpu_layers
    if rules.draft_sees_all:
        return _on_all_devices(settings, layers if order else 0)
    return _draft_of(settings, order, layers)


def _on_all_devices(settings: Settings, layers: int) -> Settings:
    """The draft model's settings where devices are chosen by shares: all compute, the named ones hold its layers.

    While the main model's devices are not chosen yet, the named ones are all there is.
    """
    named = settings.draft_device_order
    everywhere = settings.device_order if settings.device_order or not named else named
    shares = tuple(float(name in named) for name in everywhere) if named else ()
    own = _draft_of(settings, everywhere, layers)
    return replace(own, tensor_split=shares if len(everywhere) > 1 else (), split_mode="layer")


def _draft_of(settings: Settings, order: tuple[str, ...], layers: int) -> Settings:
    alone = len(order) == 1
    return Settings(
        context_size=settings.context_size,
        gpu_layers=layers if order else 0,
        device_order=order,
        tensor_split=() if alone else settings.tensor_split,
        split_mode="layer" if alone else settings.split_mode,
        main_gpu=0 if alone else settings.main_gpu,
        batch_size=settings.batch_size,
        ubatch_size=settings.ubatch_size,
        cache_type_k=settings.draft_cache_type_k,
        cache_type_v=settings.draft_cache_type_v,
        flash_attention=settings.flash_attention,
        parallel=settings.parallel,
        kv_unified=settings.kv_unified,
        swa_full=settings.swa_full,
        kv_offload=settings.kv_offload,
        op_offload=settings.op_offload,
        mmap=settings.mmap,
    )


def projector_device(settings: Settings) -> str | None:
    """The device of the projector, None for the CPU: -mmdev, else the first of --device."""
    if settings.mmproj_device is not None:
        return None if settings.mmproj_device == "none" else settings.mmproj_device
    return settings.device_order[0] if settings.device_order else None
