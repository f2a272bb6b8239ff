"""Compute buffers: what the graph needs on every device besides weights and caches.

The graph that llama.cpp reserves (graph_reserve in src/llama-context.cpp, build 11434) is rebuilt from shapes for a few
representative layers per device, cut into the scheduler's splits and laid out as ggml-alloc does it.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod

from splitter.memory.compute.blocks import Dims, Layer, Net, SsmDims
from splitter.memory.compute.builders import builder_of
from splitter.memory.compute.families import (
    FAMILIES,
    GraphFamily,
    Walk,
    divides_weights,
    draft,
    embedding,
    layer,
    output,
    unscaled,
    without_logits,
)
from splitter.memory.compute.graph import F32, Tensor
from splitter.memory.compute.proof import is_exact, reserved, uncertainty
from splitter.memory.compute.schedule import OFFLOAD_BATCH, assign, peak_bytes
from splitter.memory.context import sequence_cells, ubatch, uses_flash_attention, window_cells
from splitter.memory.footprint import Placement
from splitter.memory.patterns import find_override, read_overrides
from splitter.memory.rules import LLAMA_CPP, MemoryRules
from splitter.memory.settings import Settings, leading_remote
from splitter.memory.speculation import state_copies
from splitter.memory.weights import FIRST_LAYER_NAMES, INPUT_NAMES
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.model.hparams import Hparams, has_mtp, integer, per_layer, read_hparams
from splitter.units import pad

ROPE_FACTORS = ("rope_freqs.weight", "rope_factors_long.weight")
SMALL_BATCH = 32  # tokens: below, graph_get_cb places norms wherever the layers are
UNQUANTISED = ("f16", "f32", "bf16")
REPEATS = 2  # layers of a kind per device after which the layout no longer changes
Sketch = tuple[tuple[int, int | None], ...]  # layer index, owner
STACKS = {"t5": "dec.", "t5encoder": "enc."}  # whose layers the reserved graph runs through
BLOCK = re.compile(r"blk\.(\d+)\.")
ALWAYS_MROPE = frozenset(
    ("qwen2vl", "paddleocr", "qwen3vl", "qwen3vlmoe", "qwen35", "qwen35moe", "clef", "qwen4exp", "qwen3tts")
)
MROPE_BY_SECTIONS = frozenset(("bailingmoe3", "dflash", "glm4", "glm4moe", "hunyuan_vl"))


@dataclass(frozen=True, slots=True)
class ComputeUse:
    """Compute-buffer bytes per device and on the host.

    `pipeline`: llama.cpp enables pipeline parallelism; `proven`: the architecture's graph is compared with llama.cpp by
    the tests; `uncertainty` is by how many bytes each device's truth may lie above (at most; see compute/proof.py).
    """

    devices: tuple[int, ...]
    host: int
    pipeline: bool = False
    proven: bool = True
    uncertainty: tuple[int, ...] = ()


def _rotation(head: int, cache_type: str, *, grow: bool) -> int:
    """Size of the Hadamard rotation that a quantised cache applies (src/llama-kv-cache.cpp), 0 for none."""
    if cache_type in UNQUANTISED or head == 0 or head % 64:
        return 0
    size = 64
    while grow and head % (2 * size) == 0:
        size *= 2
    return size


class ComputeModel:
    """Everything about the graph of one model under one set of settings that does not depend on the placement."""

    def __init__(
        self,
        facts: ModelFacts,
        settings: Settings,
        rules: MemoryRules = LLAMA_CPP,
        *,
        like: "ComputeModel | None" = None,
    ) -> None:
        """`settings` as the engine's core sees them, `rules` those of its version.

        `like` is a model of the same facts whose reading is reused.

        For large batches the first device stages the weights that are in RAM, but for those that the CPU backend
        repacks where no device has a host buffer (Q4_0, Q4_K, IQ4_NL, MXFP4, Q2_K).
        """
        self.facts, self.settings, self.rules = facts, settings, rules
        self.repacks = rules.repacks(settings)
        like = like if like and like.facts is facts else None
        if like is None:
            self.family = FAMILIES.get(facts.architecture, GraphFamily())
            self.hparams = read_hparams(facts)
            self.top = {t.name: t for t in facts.tensors if "blk." not in t.name}
            every = _layers(facts, self.hparams, self.family)
            self.layers = tuple(each for each in every if each.index < self.hparams.trunk)
            self.mtp_layer = next((each for each in every if each.index >= self.hparams.trunk), None)
            self.kinds = [_kind(each) for each in self.layers]
            self._types = [tuple(t.ggml_type for t in each.tensors.values()) for each in self.layers]
        else:
            self.family, self.hparams, self.top = like.family, like.hparams, like.top
            self.layers, self.kinds, self._types = like.layers, like.kinds, like._types
            self.mtp_layer = like.mtp_layer
        known = facts.architecture in FAMILIES
        self.rms = not (self.family.layer_norm if known else facts.hparam("attention.layer_norm_rms_epsilon") is None)
        self.builder = builder_of(facts.architecture)
        self.unscaled = unscaled(facts.architecture)
        self.rope_factors = next((self.top[name] for name in ROPE_FACTORS if name in self.top), None)
        self._sparse = any("indexer.attn_k.weight" in each.tensors for each in self.layers)
        self.dims = self._dims()
        self.overrides = read_overrides(settings)
        self._homes: dict[str, int | None] = {}
        self._moved_kinds = [self._moved(each.tensors) for each in self.layers]
        self._moved(self.top)
        self._first: dict[object, int] = {}
        self._flash: dict[tuple[object, ...], bool] = like._flash if like else {}
        mixed = any(each.recurrent for each in self.layers) or facts.architecture in STACKS
        self._pulled = mixed or bool(self.overrides)
        self._known: dict[tuple[object, ...], ComputeUse] = {}

    def _dims(self) -> Dims:
        s, facts = self.settings, self.facts
        cells = sequence_cells(facts, s)
        streams = 1 if s.kv_unified else s.parallel
        tokens = min(cells * streams, ubatch(facts, s))
        padding = self.rules.window_padding
        swa = window_cells(self.hparams.window, cells, ubatch(facts, s), s.parallel // streams, padding)
        embedding_length = integer(facts, "embedding_length")
        return Dims(
            tokens=pad(tokens, s.parallel),
            positions=_positions(facts),
            outputs=self.rules.output_rows(s, tokens),
            sequences=s.parallel,
            state_copies=state_copies(s),
            embedding=embedding_length,
            embedding_input=embedding_length * (1 + integer(facts, "n_deepstack_layers")),
            cells=cells,
            cells_swa=cells if s.swa_full else swa,
            streams=streams,
            flash=uses_flash_attention(s, self.hparams.family.flash),
            transposed=not uses_flash_attention(s, self.hparams.family.flash),
            type_k=s.cache_type_k,
            type_v=s.cache_type_v,
            experts=integer(facts, "expert_count"),
            experts_used=integer(facts, "expert_used_count"),
            norm_weights=divides_weights(facts.architecture, facts.hparam("expert_weights_norm") is True),
            top_k=integer(facts, "attention.indexer.top_k"),
            context_train=facts.context_train or 0,
            state=SsmDims(
                taps=integer(facts, "ssm.conv_kernel"),
                inner=integer(facts, "ssm.inner_size"),
                size=integer(facts, "ssm.state_size") or integer(facts, "wkv.head_size"),
                rank=integer(facts, "ssm.time_step_rank"),
                groups=integer(facts, "ssm.group_count"),
            ),
        )

    def _moved(self, tensors: Mapping[str, TensorInfo]) -> tuple[object, ...]:
        """The tensors of a layer that an override takes elsewhere, with their types: part of the layer's kind."""
        if not self.overrides:
            return ()
        moved = []
        for name, tensor in tensors.items():
            override = find_override(self.overrides, tensor.name)
            if override is not None:
                self._homes[tensor.name] = override.device
                moved.append((name, override.device, tensor.ggml_type))
        return tuple(moved)

    def use(self, placement: Placement) -> ComputeUse:
        """The compute buffers of `placement`."""
        pipeline = self._pipeline(placement)
        sketch = self._sketch(placement)
        counted = placement.layers if self._sparse else ()
        flash = self._keeps_flash(sketch, placement)
        key = (sketch, counted, flash, placement.devices, placement.layers[-1], pipeline)
        if key not in self._known:
            dims = self.dims if flash else replace(self.dims, flash=False)
            self._known[key] = self._use(self._measure(sketch, placement, pipeline, dims), pipeline)
        return self._known[key]

    def _use(self, sizes: tuple[int, ...], pipeline: bool) -> ComputeUse:
        name, d = self.facts.architecture, self.dims
        score = d.cells * d.streams * d.tokens * F32.size
        raised = tuple(reserved(name, size, score) * self.rules.contexts for size in sizes)
        doubt = tuple(uncertainty(name, size) for size in raised[:-1])
        return ComputeUse(raised[:-1], raised[-1], pipeline, is_exact(name), doubt)

    def mtp_use(self, placement: Placement) -> ComputeUse:
        """The compute buffers of the context in which the MTP layers draft, beside those of the model itself."""
        pipeline = self._pipeline(placement)
        key = ("mtp", placement.layers[self.hparams.trunk :], placement.devices, pipeline)
        if key not in self._known:
            sizes = self._measure_mtp(placement, pipeline)
            self._known[key] = ComputeUse(sizes[:-1], sizes[-1], pipeline, is_exact(self.facts.architecture))
        return self._known[key]

    def _measure_mtp(self, placement: Placement, pipeline: bool) -> tuple[int, ...]:
        s = self.settings
        rows = min(self.dims.tokens, s.parallel) if self.rules.slot_rows else self.dims.tokens
        dims = replace(self.dims, outputs=rows, type_k=s.draft_cache_type_k, type_v=s.draft_cache_type_v)
        try:
            net = self._mtp_net(placement, dims)
        except KeyError:  # MTP layers that no known graph runs through
            return self._rough(placement)
        copies = self.rules.pipeline_copies if pipeline else 1
        return tuple(peak_bytes(net.graph, placement.devices + 1, copies, self._offload(placement.devices)))

    def _mtp_net(self, placement: Placement, dims: Dims) -> Net:
        """One pass of the first MTP layer (graph_mtp in src/models/qwen35.cpp and its kin)."""
        index, cpu = self.hparams.trunk, placement.devices
        owner = placement.layers[index]
        where = cpu if owner is None else owner
        net = Net(dims, cpu, any(each.swa for each in self.layers), lambda name, _: self._home(name, where, cpu))
        net.repack, net.rms, net.unscaled = self.repacks, self.rms, self.unscaled
        net.attend_on_host = self.rules.places_norms and not self.settings.kv_offload
        net.place_norms = self.rules.places_norms and (None not in placement.layers or dims.tokens < SMALL_BATCH)
        if self.mtp_layer is None:
            raise KeyError("nextn")
        drafting = self.mtp_layer
        net.enter(drafting, where, where if self.settings.kv_offload else cpu)
        v_max = drafting.head_v * drafting.kv_heads
        walk = Walk(net, self.family, {False: (0, 0), True: (0, 0)}, v_max, self._finder(net, placement))
        last = cpu if placement.layers[-1] is None else placement.layers[-1]
        draft(walk, lambda name: self._draft_head(net, name, last))
        return net

    def _draft_head(self, net: Net, name: str, last: int) -> Tensor:
        """A weight of the model itself that the MTP layer lacks: the embedding, the final norm, the head."""
        info = self.top.get(name) or self.top["token_embd.weight"]
        home = net.cpu if name == "token_embd.weight" else last
        return net.weight_of(info, self._home(info.name, home, net.cpu))

    def _offload(self, devices: int) -> int | None:
        """The device that large products with weights in RAM go to: the first of this machine's, for ggml-rpc takes
        none over (ggml_backend_sched_backend_id_from_cur); in `-sm none` the main GPU, the only one that the engine
        keeps (src/llama.cpp); None with --no-op-offload."""
        s = self.settings
        if not s.op_offload:
            return None
        alone = s.split_mode == "none"
        return max(0, min(s.main_gpu, devices - 1)) if alone else len(leading_remote(s.device_order))

    def _pipeline(self, placement: Placement) -> bool:
        """The conditions of src/llama-context.cpp; every CUDA device is asynchronous and has events."""
        s = self.settings
        return (
            placement.devices > 1
            and self.rules.pipeline_copies > 1
            and (self.rules.pipelines_whole_batches or s.ubatch_size < s.batch_size)
            and None not in placement.layers
            and s.split_mode == "layer"
            and s.kv_offload
            and not self.overrides
        )

    def _sketch(self, placement: Placement) -> Sketch:
        """A few layers per device that stand for all: some of every kind and of every change of kind, in order."""
        chosen: list[tuple[int, int | None]] = []
        owners = placement.layers[: len(self.layers)]
        if self.builder is not None and self.builder.whole:
            return tuple(enumerate(owners))
        kinds = [self._kind_on(i, owner) for i, owner in enumerate(owners)]
        seen: dict[object, int] = {}
        for i, (owner, kind) in enumerate(zip(owners, kinds, strict=True)):
            ends = i + 1 == len(owners) or owners[i + 1] != owner
            if i and owners[i - 1] != owner:
                seen = {}
            change = (kinds[i - 1], kind) if seen else kind
            seen[kind] = seen.get(kind, 0) + 1
            seen[change] = seen.get(change, 0) + (change != kind)
            if ends or seen[kind] <= REPEATS or (change != kind and seen[change] == 1):
                chosen.append((self._first[kind], owner))
        return tuple(chosen)

    def _kind_on(self, index: int, owner: int | None) -> object:
        """Layers that build the same graph; on the host the types count too, as weights are copied to be used."""
        kind = (self.kinds[index], self._moved_kinds[index], self._types[index] if owner is None else ())
        self._first.setdefault(kind, index)
        return kind

    def _keeps_flash(self, sketch: Sketch, placement: Placement) -> bool:
        """Whether -fa auto stays on (resolve_fused_ops in src/llama-context.cpp).

        It is given up where the scheduler puts an attention on another device than its layer, tried with one token per
        slot; a quantised V insists on it.
        """
        s = self.settings
        asked = s.flash_attention == "auto" and s.cache_type_v in UNQUANTISED
        stays = None not in placement.layers and s.kv_offload
        if not asked or not self._pulled or (stays and not self.overrides):
            return True
        dims = replace(self.dims, tokens=self.dims.sequences, outputs=self.dims.sequences)
        where = (sketch, placement.devices, placement.layers[-1], self.overrides, s.kv_offload, s.op_offload)
        key = (*where, self.repacks, dims)
        if key not in self._flash:
            self._flash[key] = self._probe_flash(sketch, placement, dims)
        return self._flash[key]

    def _probe_flash(self, sketch: Sketch, placement: Placement, dims: Dims) -> bool:
        try:
            net = self._net(sketch, placement, dims)
        except KeyError:
            return True
        assign(net.graph, placement.devices + 1, self._offload(placement.devices))
        return all(node.backend == home for node, home in net.flashes)

    def _measure(self, sketch: Sketch, placement: Placement, pipeline: bool, dims: Dims) -> tuple[int, ...]:
        try:
            net = self._net(sketch, placement, dims)
        except KeyError:  # a layer without the tensors that any known kind of layer has
            return self._rough(placement)
        copies = self.rules.pipeline_copies if pipeline else 1
        return tuple(peak_bytes(net.graph, placement.devices + 1, copies, self._offload(placement.devices)))

    def _rough(self, placement: Placement) -> tuple[int, ...]:
        """For layers of an unknown kind: the widest tensors several times over on every device in use."""
        d = self.dims
        widest = max((prod(t.shape[1:2]) for each in self.layers for t in each.tensors.values()), default=0)
        heads = max(each.heads for each in self.layers)
        row = F32.size * (16 * d.embedding + 4 * widest * max(d.experts_used, 1)) + 4 * F32.size * d.cells
        row += self.rules.pipeline_copies * (4 * F32.size * d.embedding + 2 * d.cells)
        row += 0 if d.flash else 2 * F32.size * d.cells * heads
        staged = max((t.size_bytes for each in self.layers for t in each.tensors.values()), default=0)
        sizes = [d.tokens * row * (owner in placement.layers) for owner in range(placement.devices)]
        where = placement.layers[-1]
        if where is not None:
            sizes[where] += d.outputs * F32.size * self.facts.vocabulary
        if sizes and (None in placement.layers or self.overrides):
            sizes[min(self._offload(placement.devices) or 0, len(sizes) - 1)] += 2 * staged + d.tokens * row
        return (*sizes, d.tokens * row)

    def _net(self, sketch: Sketch, placement: Placement, dims: Dims) -> Net:
        cpu = placement.devices
        owners: dict[int, int] = {}

        def home(name: str, index: int | None) -> int:
            return self._home(name, cpu if index is None else owners[index], cpu)

        net = Net(dims, cpu, any(each.swa for each in self.layers), home)
        net.repack, net.unscaled = self.repacks, self.unscaled
        net.rms, net.bare_norm = self.rms, self.family.bare_norm
        net.rope_factors = None if self.family.rope_factors == "none" else self.rope_factors
        net.full_rope_factors = self.family.rope_factors == "full"
        net.attend_on_host = self.rules.places_norms and not self.settings.kv_offload
        net.place_norms = self.rules.places_norms and (None not in placement.layers or dims.tokens < SMALL_BATCH)
        v_max = max(each.head_v * each.kv_heads for each in self.layers)
        walk = Walk(net, self.family, self._rotations(), v_max, self._finder(net, placement))
        cur = net.embed(self.top["token_embd.weight"], self.family.mixed, self.family.scale_rows)
        cur = embedding(walk, cur, walk.find("position_embd.weight"))
        build = layer if self.builder is None else self.builder.layer
        if self.builder is not None:
            cur = self.builder.start(walk, cur)
        for position, (index, owner) in enumerate(sketch):
            current = self.layers[index]
            owners[index] = cpu if owner is None else owner
            source = index if current.cache_layer is None else current.cache_layer
            net.enter(current, owners[index], owners[source] if self.settings.kv_offload else cpu)
            cur = build(walk, cur, position == len(sketch) - 1)
        self._spare_leaves(net, sketch, placement)
        if self.builder is not None:
            cur = self.builder.finish(walk, cur)
        self._finish(walk, cur, cpu if placement.layers[-1] is None else placement.layers[-1])
        return net

    def _home(self, name: str, default: int, cpu: int) -> int:
        """The backend of a weight: an override's, or the one it has without."""
        moved = self._homes.get(name, default)
        return cpu if moved is None else moved

    def _rotations(self) -> dict[bool, tuple[int, int]]:
        """The rotations of K and V in the base and in the sliding-window cache; none where head widths differ."""
        found: dict[bool, tuple[int, int]] = {}
        for swa in (False, True):
            keys = {each.head_k for each in self.layers if each.swa == swa and each.kv_heads}
            values = {each.head_v for each in self.layers if each.swa == swa and each.kv_heads}
            found[swa] = (
                _rotation(keys.pop(), self.dims.type_k, grow=True) if len(keys) == 1 else 0,
                _rotation(values.pop(), self.dims.type_v, grow=False) if len(values) == 1 else 0,
            )
        return found

    def _finder(self, net: Net, placement: Placement) -> Callable[[str], Tensor | None]:
        """Weights outside the layers: with the input, the first layer or the output (see weights.py)."""

        def find(name: str) -> Tensor | None:
            info = self.top.get(name)
            if info is None:
                return None
            owner = placement.layers[0] if name.startswith(FIRST_LAYER_NAMES) else placement.layers[-1]
            default = net.cpu if owner is None or name.startswith(INPUT_NAMES) else owner
            return net.weight_of(info, self._home(name, default, net.cpu))

        return find

    def _spare_leaves(self, net: Net, sketch: Sketch, placement: Placement) -> None:
        """Leaves of the sparse-attention layers that the sketch leaves out: all layers' are allocated ahead."""
        if not self._sparse:
            return
        cpu = placement.devices
        missing = dict.fromkeys(placement.layers, 0)
        for owner in placement.layers[: len(self.layers)]:
            missing[owner] += 1
        for _, owner in sketch:
            missing[owner] -= 1
        d = self.dims
        to = self._offload(placement.devices)
        staged = cpu if to is None or d.tokens < OFFLOAD_BATCH else min(to, cpu)
        for owner, count in missing.items():
            for _ in range(count):
                leaf = net.graph.leaf(F32, min(d.cells, d.top_k), d.tokens)
                leaf.backend = staged if owner is None else owner
                net.graph.leafs.append(leaf)

    def _finish(self, walk: Walk, cur: Tensor, where: int) -> None:
        net, top = walk.net, self.top
        prefix = STACKS.get(self.facts.architecture, "")
        if not self.family.logits:
            without_logits(walk, cur, f"{prefix}output_norm")
            return
        name = "token_embd_norm" if self.hparams.family.final_norm else f"{prefix}output_norm"
        norm, bias = (top.get(f"{name}.{part}") for part in ("weight", "bias"))
        head = top.get("output.weight") or top["token_embd.weight"]
        weights = [None if t is None else net.weight_of(t, self._home(t.name, where, net.cpu)) for t in (norm, bias)]
        output(walk, cur, (weights[0], weights[1]), net.weight_of(head, self._home(head.name, where, net.cpu)))


def _layers(facts: ModelFacts, hparams: Hparams, graph: GraphFamily) -> tuple[Layer, ...]:
    """The repeating layers as the graph builder needs them, MTP layers last."""
    tensors: list[dict[str, TensorInfo]] = [{} for _ in range(max(facts.layers, 1))]
    prefix = STACKS.get(facts.architecture, "")
    shares = facts.architecture == "glm-dsa"
    types = per_layer(facts, "attention.indexer.types", max(facts.layers, hparams.layers)) if shares else None
    for tensor in facts.tensors:
        match = BLOCK.match(tensor.name.removeprefix(prefix)) if tensor.name.startswith(prefix) else None
        if match and int(match[1]) < facts.layers:
            name = tensor.name[len(prefix) + match.end() :]
            tensors[int(match[1])][name if "." in name else name + ".weight"] = tensor
    return tuple(
        Layer(
            i,
            tensors[i % facts.layers],
            hparams.heads[i],
            hparams.kv_heads[i],
            hparams.head_k[i],
            hparams.head_v[i],
            hparams.windowed[i],
            hparams.recurrent[i],
            _borrowed(hparams, i),
            _ropes(hparams, graph, i),
            "indexer.attn_k.weight" in tensors[i % facts.layers] and (types is None or types[i] != 0),
        )
        for i in range(max(hparams.trunk, hparams.layers if has_mtp(facts) else 0))
        if tensors[i % facts.layers] or not prefix
    )


def _positions(facts: ModelFacts) -> int:
    """Positions of a token (llama_model_rope_type in src/llama-model.cpp)."""
    name, sections = facts.architecture, facts.hparam("rope.dimension_sections")
    split = isinstance(sections, tuple) and all(sections[:2])
    return 4 if name in ALWAYS_MROPE or (split and name in MROPE_BY_SECTIONS) else 1


def _ropes(hparams: Hparams, graph: GraphFamily, layer: int) -> bool:
    """Whether the attention of a layer rotates Q and K."""
    match graph.rope:
        case "windowed":
            return hparams.windowed[layer] or not any(hparams.windowed)
        case "quarters":
            return (layer + 1) % 4 != 0
        case "32 layers":
            return hparams.trunk == 32
    return graph.rope == "all"


def _borrowed(hparams: Hparams, layer: int) -> int | None:
    """The layer whose cache a later one reads (create_memory in src/llama-model.cpp)."""
    return hparams.kv_layers - (2 if hparams.windowed[layer] else 1) if layer >= hparams.kv_layers else None


def _kind(layer: Layer) -> tuple[object, ...]:
    """Layers of the same kind build the same graph: the shapes decide, not the quantisation."""
    shapes: Mapping[str, tuple[int, ...]] = {name: t.shape for name, t in layer.tensors.items()}
    return (
        layer.swa,
        layer.ropes,
        layer.indexes,
        layer.recurrent,
        layer.heads,
        layer.kv_heads,
        *sorted(shapes.items()),
    )
