"""The scheduler's splits and the allocator's layout: how many bytes a graph takes on every backend.

Follows ggml_backend_sched_split_graph (ggml/src/ggml-backend.cpp) and ggml_gallocr (ggml/src/ggml-alloc.c) of llama.cpp
build 11434. Backends are numbered: the devices in order, then the CPU.
"""

from dataclasses import dataclass, field

from splitter.memory.compute.graph import INPLACE, VIEWS, Graph, Tensor, device_bytes
from splitter.units import pad

OFFLOAD_BATCH = 32  # ggml-cuda: operations on smaller batches stay where their weights are
HOST_ALIGNMENT = 64
ENDLESS = 1 << 62


@dataclass(slots=True)
class Split:
    """A run of nodes on one backend, and the tensors copied to it first."""

    backend: int
    nodes: list[Tensor] = field(default_factory=list)
    inputs: list[tuple[Tensor, list[Tensor]]] = field(default_factory=list)


def peak_bytes(graph: Graph, backends: int, copies: int = 1, offload: int | None = 0) -> list[int]:
    """Compute-buffer bytes per backend. `graph` is consumed: its tensors carry the marks of this run.

    `copies` is 4 under pipeline parallelism, `offload` the device that large products with weights in RAM go to, None
    for none (--no-op-offload).
    """
    assign(graph, backends, offload)
    splits, later = _split(graph, copies)
    if copies > 1:
        _copy_inputs(graph, copies, later)
    return _allocate(graph, splits, later, backends)


# -- which backend runs a node ---------------------------------------------------------------------------------------


def _wants_offload(node: Tensor) -> bool:
    if node.op == "get_rows":
        return False
    if node.op == "mul_mat":
        return node.ne[1] >= OFFLOAD_BATCH
    if node.op in ("mul_mat_id", "rope"):
        return node.ne[2] >= OFFLOAD_BATCH
    return node.rows() >= OFFLOAD_BATCH


def _fixed(node: Tensor, cpu: int, offload: int | None) -> int:
    """The backend that the buffers of a node's result or weights ask for, -1 for none (pass 1)."""
    if node.home is not None:
        return node.home
    if node.is_input:
        return cpu
    if node.op in ("rope", "flash_attn"):
        return -1
    for source in node.src:
        if source.weight and source.home is not None:
            movable = source.home == cpu and not source.repacked and _wants_offload(node)
            if movable and offload is not None and offload < cpu:
                return offload
            return source.home
    return -1


def _spread(nodes: list[Tensor], cpu: int, keep_cpu: bool) -> None:
    """Gives unassigned nodes the backend of the node before (pass 2)."""
    current = -1
    for node in nodes:
        if node.op in VIEWS:
            continue
        if node.backend != -1:
            current = -1 if node.backend == cpu and not keep_cpu else node.backend
        elif current != -1:
            node.backend = current


def assign(graph: Graph, backends: int, offload: int | None) -> None:
    """Gives every tensor its backend."""
    cpu = backends - 1
    for tensor in (*graph.leafs, *graph.nodes):
        if tensor.backend == -1:
            tensor.backend = _fixed(tensor, cpu, offload)
    for keep_cpu in (False, True):
        _spread(graph.nodes, cpu, keep_cpu)
        _spread(graph.nodes[::-1], cpu, keep_cpu)
    for node in graph.nodes:
        if node.backend == -1:
            node.backend = node.view.backend if node.view is not None else 0
        for source in node.src:
            if source.backend == -1:
                source.backend = node.backend if source.view is None else source.view.backend


# -- where runs begin and what is copied to them ---------------------------------------------------------------------


def _foreign(source: Tensor, backend: int) -> bool:
    """Whether `source` must be copied to be read on `backend`."""
    return backend not in (source.backend, source.root().home)


def _needs_new_split(node: Tensor, split: Split) -> bool:
    if node.backend != split.backend:
        return True
    return bool(split.inputs) and any(s.weight and _foreign(s, split.backend) for s in node.src)


def _twin(source: Tensor, pinned: bool) -> Tensor:
    copy = Tensor(source.type, source.ne, source.nb)
    copy.is_input = copy.is_output = pinned
    return copy


def _split(graph: Graph, copies: int) -> tuple[list[Split], list[tuple[int, Tensor]]]:
    """The splits in order, and the (backend, copy) pairs that pipeline parallelism allocates ahead."""
    known: dict[tuple[Tensor, int], Tensor] = {}
    first = next((n.backend for n in graph.nodes if n.op not in VIEWS), 0)
    splits = [Split(first)]
    ahead: list[tuple[int, Tensor]] = []
    for node in graph.nodes:
        split = splits[-1]
        if node.op in VIEWS:
            split.nodes.append(node)
            continue
        if _needs_new_split(node, split):
            split = Split(node.backend)
            splits.append(split)
        split.nodes.append(node)
        for index, source in enumerate(node.src):
            if not _foreign(source, split.backend):
                continue
            key = (source, split.backend)
            if key not in known:
                twins = [_twin(source, copies > 1) for _ in range(copies)]
                known[key] = twins[0]
                split.inputs.append((source, twins))
                if copies > 1:
                    ahead.extend((split.backend, twin) for twin in twins)
            node.src[index] = known[key]
    return splits, ahead


def _copy_inputs(graph: Graph, copies: int, ahead: list[tuple[int, Tensor]]) -> None:
    """Pipeline parallelism keeps `copies` of every graph input, none of which is ever freed (pass 6)."""
    inputs: list[tuple[int, Tensor]] = []
    for leaf in graph.leafs:
        if leaf.is_input:
            leaf.is_output = True
            inputs.append((leaf.backend, leaf))
            inputs.extend((leaf.backend, _twin(leaf, True)) for _ in range(copies - 1))
    ahead[:0] = inputs


# -- the layout ------------------------------------------------------------------------------------------------------


class Arena:
    """ggml_dyn_tallocr with one endless chunk: best fit, the last block only when nothing else fits."""

    __slots__ = ("blocks", "peak")

    def __init__(self) -> None:
        self.blocks: list[list[int]] = [[0, ENDLESS]]
        self.peak = 0

    def take(self, size: int) -> int:
        blocks = self.blocks
        best, best_size = -1, ENDLESS
        for i in range(len(blocks) - 1):
            if size <= blocks[i][1] <= best_size:
                best, best_size = i, blocks[i][1]
        block = blocks[best]
        offset = block[0]
        block[0] += size
        block[1] -= size
        if block[1] == 0:
            del blocks[best]
        self.peak = max(self.peak, offset + size)
        return offset

    def give(self, offset: int, size: int) -> None:
        blocks = self.blocks
        end = offset + size
        position = 0
        while position < len(blocks) and blocks[position][0] < offset:
            position += 1
        before = blocks[position - 1] if position else None
        after = blocks[position] if position < len(blocks) else None
        if before is not None and before[0] + before[1] == offset:
            before[1] += size
            if after is not None and after[0] == end:
                before[1] += after[1]
                del blocks[position]
        elif after is not None and after[0] == end:
            after[0] = offset
            after[1] += size
        else:
            blocks.insert(position, [offset, size])


class Layout:
    """ggml_gallocr: allocates in graph order, frees after the last use, reuses a parent in place."""

    def __init__(self, backends: int) -> None:
        self.cpu = backends - 1
        self.arenas = [Arena() for _ in range(backends)]

    def allocate(self, tensor: Tensor, backend: int) -> None:
        if tensor.alive or tensor.home is not None or tensor.view is not None:
            return
        tensor.alive = True
        if tensor.op in INPLACE and self._reuse(tensor):
            return
        tensor.size = device_bytes(tensor) if backend != self.cpu else pad(tensor.nbytes(), HOST_ALIGNMENT)
        tensor.index = backend
        tensor.address = self.arenas[backend].take(tensor.size) if tensor.size else 0

    def _reuse(self, tensor: Tensor) -> bool:
        for parent in tensor.src:
            if (
                parent.alive
                and not parent.is_output
                and parent.children == 1
                and parent.views == 0
                and parent.type is tensor.type
                and parent.ne == tensor.ne
                and parent.nb == tensor.nb
            ):
                tensor.index, tensor.address = parent.index, parent.address
                tensor.size = pad(tensor.nbytes(), 128 if parent.index != self.cpu else HOST_ALIGNMENT)
                parent.alive = False
                if parent.size > tensor.size:
                    self.arenas[parent.index].give(parent.address + tensor.size, parent.size - tensor.size)
                return True
        return False

    def free(self, tensor: Tensor) -> None:
        if tensor.is_output:
            return
        if tensor.size:
            self.arenas[tensor.index].give(tensor.address, tensor.size)
        tensor.alive = False

    def release(self, parent: Tensor) -> None:
        """One use of `parent` is over."""
        parent.children -= 1
        if parent.children or parent.views:
            return
        if parent.view is not None:
            root = parent.view
            root.views -= 1
            if root.views == 0 and root.children == 0 and root.alive:
                self.free(root)
        elif parent.alive:
            self.free(parent)


def _sequence(splits: list[Split]) -> list[tuple[Tensor, int]]:
    """The nodes as the scheduler hands them to the allocator: each split's input copies first."""
    order: list[tuple[Tensor, int]] = []
    for split in splits:
        for source, twins in split.inputs:
            dependency = Tensor(source.type, source.ne, source.nb)
            dependency.view = source.root()
            dependency.src = [source]
            order.append((dependency, source.backend))
            order.append((twins[0], split.backend))
        order.extend((node, node.backend) for node in split.nodes)
    return order


def _count_uses(layout: Layout, order: list[tuple[Tensor, int]]) -> None:
    """How often every tensor is read and viewed; inputs are allocated here, before any node."""
    for node, backend in order:
        if node.view is not None and node.op != "none":
            node.view.views += 1
        if node.is_input:
            layout.allocate(node, backend)
        for source in node.src:
            source.children += 1
            if source.is_input:
                layout.allocate(source, backend)


def _allocate(graph: Graph, splits: list[Split], ahead: list[tuple[int, Tensor]], backends: int) -> list[int]:
    layout = Layout(backends)
    for backend, twin in ahead:
        layout.allocate(twin, backend)
    for leaf in graph.leafs:
        layout.allocate(leaf, leaf.backend)
    order = _sequence(splits)
    _count_uses(layout, order)
    for node, backend in order:
        for source in node.src:
            layout.allocate(source, backend)
        layout.allocate(node, backend)
        for source in node.src:
            layout.release(source)
    return [arena.peak for arena in layout.arenas]
