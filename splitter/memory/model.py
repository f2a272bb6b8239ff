"""MemoryModel: what every device holds for one model and one set of settings, placement by placement."""

from collections.abc import Sequence
from functools import cached_property

from splitter.memory.compute.model import ComputeModel, ComputeUse
from splitter.memory.context import context_bytes as layer_context_bytes
from splitter.memory.footprint import Footprint, MemoryUse, Placement
from splitter.memory.host_ram import Growth, growth
from splitter.memory.rules import LLAMA_CPP, Cut, MemoryRules
from splitter.memory.settings import Settings
from splitter.memory.speculation import uses_mtp
from splitter.memory.tensor_split import TensorSplit
from splitter.memory.weights import Sites, Weights, read_weights, sites
from splitter.model.attention import LayerCache, cache_layers, is_known
from splitter.model.facts import ModelFacts
from splitter.model.families import family, supports_tensor_split
from splitter.model.hparams import has_mtp

COMPUTE_NOTE = "compute buffers of architecture '{}' are a general estimate: verify with the engine's dry run"
REFUSED_NOTE = "llama.cpp build 11434 refuses -sm tensor for architecture '{}'"
OTHER_GRAPH_NOTE = "this engine builds another graph than llama.cpp, so its compute buffers are an estimate"
UNKNOWN_NOTE = "architecture '{}' is not in llama.cpp build 11434: planned from what its header says"


class MemoryModel:
    """Bytes per layer, precomputed, so that the footprint of a placement is a sum.

    Per-layer tuples have one entry per placed layer (`splitter.model.attention.placed_layers`) and a last one for the
    output layer. The placement fields of `settings` (gpu_layers, tensor_split) are not used. `fixed_device_bytes` are
    weights that -ot puts on a device of device_order whatever the placement, `input_bytes` those that stay in RAM,
    `everywhere_bytes` those that every device with a layer gets a copy of.
    """

    def __init__(
        self,
        facts: ModelFacts,
        settings: Settings,
        rules: MemoryRules = LLAMA_CPP,
        *,
        like: "MemoryModel | None" = None,
    ) -> None:
        """`rules` are those of the engine's version.

        `like` is a model of the same facts under other settings, whose reading of the tensors is reused.
        """
        own = rules.own
        self.facts = facts = own.loaded(facts) if own else facts
        self.rules, self.asked = rules, settings
        self.settings = settings = rules.seen(settings)
        self._like: MemoryModel | None = like if like is None or like._like is None else like._like
        self.mtp = uses_mtp(settings) and has_mtp(facts)
        alike = like if like and like.mtp == self.mtp else None
        self.sites: Sites = alike.sites if alike else sites(facts, mtp=self.mtp)
        self._read: dict[tuple[object, ...], Weights] = alike._read if alike else {}
        self.weights = self._weights()
        self.caches: tuple[LayerCache, ...] = alike.caches if alike else cache_layers(facts, mtp=self.mtp)
        self.caches = own.caches(facts, settings, self.caches) if own else self.caches
        known = family(facts.architecture)
        flash = known is None or known.flash
        self.layer_model_bytes = self.weights.device
        self.host_layer_bytes = self.weights.moved
        padding = rules.window_padding
        once = layer_context_bytes(facts, self.caches, settings, flash_possible=flash, window_padding=padding)
        self.layer_context_bytes = (*(size * rules.contexts for size in once), 0)
        self.fixed_device_bytes = self.weights.fixed
        self.input_bytes = self.weights.input_bytes
        self.everywhere_bytes = self.weights.everywhere_bytes
        self._last_split: Cut | None = None
        self.notes = (*_notes(facts, settings, rules), *((OTHER_GRAPH_NOTE,) if own else ()))

    def _weights(self) -> Weights:
        """The tensors where the settings put them, read once for all models of the same facts."""
        s = self.settings
        key = (s.override_tensors, s.n_cpu_moe, s.cpu_moe, s.device_order)
        if key not in self._read:
            self._read[key] = read_weights(self.facts, s, self.sites)
        return self._read[key]

    @cached_property
    def compute_model(self) -> ComputeModel:
        """The compute-buffer model, built when first asked for."""
        read = None if self._like is None else self._like.compute_model
        return ComputeModel(self.facts, self.settings, self.rules, like=read)

    @cached_property
    def _growth(self) -> Growth:
        """What the host's part grows by while the server runs: no placement changes it."""
        return growth(self.facts, self.caches, self.settings, self.rules)

    def with_settings(self, settings: Settings) -> "MemoryModel":
        """The same model under other settings; the tensor table is read again only if they move tensors."""
        return MemoryModel(self.facts, settings, self.rules, like=self)

    def footprint(self, placement: Placement) -> Footprint:
        """Model and context exactly, compute estimated, no overhead.

        The host's model bytes are whole tensors: llama.cpp's own host row leaves out those its CPU backend repacks.
        """
        model, host_model = self.model_bytes(placement)
        context, host_context = self.context_bytes(placement)
        use = self.compute_model.use(placement)
        compute, host_compute = self._with_drafting(use, placement)
        notes = self.notes if use.proven or self.notes else (COMPUTE_NOTE.format(self.facts.architecture),)
        return Footprint(
            devices=tuple(MemoryUse(m, c, b) for m, c, b in zip(model, context, compute, strict=True)),
            host=MemoryUse(host_model, host_context, host_compute),
            pipeline=use.pipeline,
            growth=self._growth,
            proven=not notes,
            notes=notes,
        )

    def compute(self, placement: Placement) -> tuple[tuple[int, ...], int]:
        """Compute-buffer bytes per device, and the host's; those of the context that drafts by MTP included."""
        return self._with_drafting(self.compute_model.use(placement), placement)

    def _with_drafting(self, use: ComputeUse, placement: Placement) -> tuple[tuple[int, ...], int]:
        devices, host = _per_device(use, placement), use.host
        if self.mtp:
            drafting = self.compute_model.mtp_use(placement)
            devices = tuple(_sums(list(devices), _per_device(drafting, placement)))
            host += drafting.host
        if self.rules.own is None:
            return devices, host
        layers = placement.layers[:-1]
        held = [bool(placement.shares) or number in layers for number in range(placement.devices)]
        raised = tuple(max(size, self._least[0] * has) for size, has in zip(devices, held, strict=True))
        return raised, max(host, self._least[1] * (None in layers))

    @cached_property
    def _least(self) -> tuple[int, int]:
        """What the buffer of a device with a layer has at least, and the host's."""
        own = self.rules.own
        if own is None:
            return 0, 0
        return own.least_compute(self.facts, self.settings, True), own.least_compute(self.facts, self.settings, False)

    def model_bytes(self, placement: Placement) -> tuple[list[int], int]:
        """Weight bytes of each device, and the host's."""
        fixed = self.fixed_device_bytes[: placement.devices]
        devices = [*fixed, *[0] * (placement.devices - len(fixed))]
        host = self.input_bytes + sum(self.host_layer_bytes)
        for layer, owner in enumerate(placement.layers):
            if owner is None:
                host += self.weights.host[layer]
            elif not placement.shares:
                devices[owner] += self.weights.device[layer]
        if placement.shares:
            return _sums(devices, self._split(placement).weights(self.weights, placement)), host
        for owner in set(placement.layers[: self.weights.sharing_layers]):
            if owner is None:
                host += self.everywhere_bytes
            else:
                devices[owner] += self.everywhere_bytes
        return devices, host

    def context_bytes(self, placement: Placement) -> tuple[list[int], int]:
        """KV-cache and state bytes of each device, and the host's."""
        devices, host = [0] * placement.devices, 0
        for owner, size in zip(placement.layers, self.layer_context_bytes, strict=True):
            if owner is None or not self.settings.kv_offload:
                host += size
            elif not placement.shares:
                devices[owner] += size
        if placement.shares and self.settings.kv_offload:
            padding, contexts = self.rules.window_padding, self.rules.contexts
            once = self._split(placement).caches(self.caches, self.settings, placement, padding)
            devices = _sums(devices, [size * contexts for size in once])
        return devices, host

    def _split(self, placement: Placement) -> Cut:
        """The cut of `-sm tensor`: by -ts itself where the shares come from it, for llama.cpp's own rounding."""
        own = self.rules.own
        given = self.settings.tensor_split[: placement.devices]
        total = sum(given)
        same = total > 0 and all(abs(g / total - s) < 1e-9 for g, s in zip(given, placement.shares, strict=False))
        split = given + (0.0,) * (placement.devices - len(given)) if same else placement.shares
        if self._last_split is None or self._last_split.split != split:
            self._last_split = own.cut(self.facts, split) if own else TensorSplit(self.facts, split)
        return self._last_split


def _per_device(use: ComputeUse, placement: Placement) -> tuple[int, ...]:
    """In `-sm tensor` the meta backend gives every device the same buffer (ggml/src/ggml-backend-meta.cpp)."""
    return (max(use.devices),) * placement.devices if placement.shares else use.devices


def _notes(facts: ModelFacts, settings: Settings, rules: MemoryRules) -> tuple[str, ...]:
    if not is_known(facts):
        return (UNKNOWN_NOTE.format(facts.architecture),)
    refused = settings.split_mode == "tensor" and rules.own is None and not supports_tensor_split(facts.architecture)
    return (REFUSED_NOTE.format(facts.architecture),) if refused else ()


def _sums(first: list[int], second: Sequence[int]) -> list[int]:
    return [a + b for a, b in zip(first, second, strict=True)]
