"""A miniature of ggml's graph: tensors with shapes, strides and sources, no data.

Follows ggml/src/ggml.c of llama.cpp build 11434 as far as sizes, views and the order of nodes go.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from splitter.memory.setting_table import ALL_CACHE_TYPES
from splitter.units import pad

Shape = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Type:
    """A ggml type: `size` bytes hold `block` elements."""

    name: str
    block: int
    size: int

    def row(self, elements: int) -> int:
        """Bytes of a row of `elements`."""
        return self.size * elements // self.block


F32, F16, I32, I64 = Type("f32", 1, 4), Type("f16", 1, 2), Type("i32", 1, 4), Type("i64", 1, 8)
FLOATS = {kind.name: kind for kind in (F32, F16)}
TYPES = {name: FLOATS.get(name, Type(name, *size)) for name, size in ALL_CACHE_TYPES.items()}
# ggml_op_can_inplace (ggml-alloc.c); unary operations are all called "unary" here
INPLACE = frozenset(
    "fill scale add add_id sub mul div sqr sqrt log unary rope rms_norm clamp soft_max diag_mask".split()  # noqa: SIM905
)
VIEWS = frozenset(("view", "reshape", "permute", "transpose"))


class Tensor:
    """A node or leaf. `home` is the backend of its buffer when it lives outside the compute buffer, else None."""

    __slots__ = (
        "address",
        "alive",
        "backend",
        "children",
        "extra",
        "home",
        "index",
        "is_input",
        "is_output",
        "name",
        "nb",
        "ne",
        "op",
        "repacked",
        "size",
        "src",
        "type",
        "view",
        "views",
        "weight",
    )

    def __init__(self, type_: Type, ne: Shape, nb: Shape, op: str = "none") -> None:
        self.type, self.ne, self.nb, self.op = type_, ne, nb, op
        self.src: list[Tensor] = []
        self.view: Tensor | None = None
        self.home: int | None = None
        self.weight = self.repacked = self.is_input = self.is_output = self.alive = False
        self.backend = -1
        self.children = self.views = self.address = self.index = self.extra = 0
        self.size = 0
        self.name = ""

    def nbytes(self) -> int:
        """ggml_nbytes."""
        (a, b, c, d), (na, nb, nc, nd) = self.ne, self.nb
        if not (a and b and c and d):
            return 0
        first = a * na // self.type.block if self.type.block > 1 else self.type.size + (a - 1) * na
        return first + (b - 1) * nb + (c - 1) * nc + (d - 1) * nd

    def elements(self) -> int:
        return self.ne[0] * self.ne[1] * self.ne[2] * self.ne[3]

    def rows(self) -> int:
        return self.ne[1] * self.ne[2] * self.ne[3]

    def root(self) -> "Tensor":
        return self if self.view is None else self.view

    def contiguous(self) -> bool:
        return self.nb == strides(self.type, self.ne)


def strides(type_: Type, ne: Shape) -> Shape:
    """Strides in bytes of a contiguous tensor."""
    first = type_.row(ne[0])
    second = first * ne[1]
    return (type_.size, first, second, second * ne[2])


def shape(*ne: int) -> Shape:
    """`ne` filled up with ones."""
    a, b, c, d = (*ne, 1, 1, 1)[:4]
    return (a, b, c, d)


class Graph:
    """Nodes in the order in which ggml_build_forward_expand visits them, and the operations that make tensors."""

    def __init__(self) -> None:
        self.nodes: list[Tensor] = []
        self.leafs: list[Tensor] = []
        self._seen: set[Tensor] = set()

    def expand(self, tensor: Tensor) -> Tensor:
        """ggml_build_forward_expand: sources first, left to right."""
        seen = self._seen
        if tensor in seen:
            return tensor
        seen.add(tensor)
        for source in tensor.src:
            if source not in seen:
                self.expand(source)
        (self.leafs if tensor.op == "none" else self.nodes).append(tensor)
        return tensor

    def leaf(self, type_: Type, *ne: int, name: str = "") -> Tensor:
        """A tensor without sources."""
        full = shape(*ne)
        tensor = Tensor(type_, full, strides(type_, full))
        tensor.name = name
        return tensor

    def input(self, type_: Type, *ne: int, name: str = "") -> Tensor:
        """A graph input: filled by the host before every run."""
        tensor = self.leaf(type_, *ne, name=name)
        tensor.is_input = True
        return tensor

    def node(self, op: str, src: Sequence[Tensor], ne: Shape, type_: Type = F32) -> Tensor:
        """A contiguous result of `op`."""
        tensor = Tensor(type_, ne, strides(type_, ne), op)
        tensor.src = list(src)
        return tensor

    def viewed(self, op: str, source: Tensor, ne: Shape, nb: Shape | None = None) -> Tensor:
        """A view of `source`: no memory of its own."""
        tensor = Tensor(source.type, ne, strides(source.type, ne) if nb is None else nb, op)
        tensor.src = [source]
        tensor.view = source.root()
        tensor.home = tensor.view.home
        return tensor

    # -- operations, named as in ggml ------------------------------------------------------------------------------

    def mul_mat(self, weight: Tensor, x: Tensor) -> Tensor:
        return self.node("mul_mat", (weight, x), (weight.ne[1], x.ne[1], x.ne[2], x.ne[3]))

    def mul_mat_id(self, weight: Tensor, x: Tensor, ids: Tensor) -> Tensor:
        return self.node("mul_mat_id", (weight, x, ids), (weight.ne[1], ids.ne[0], x.ne[2], 1))

    def binary(self, op: str, a: Tensor, *others: Tensor) -> Tensor:
        """A result with the shape of `a`."""
        return self.node(op, (a, *others), a.ne, a.type)

    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return self.binary("add", a, b)

    def mul(self, a: Tensor, b: Tensor) -> Tensor:
        return self.binary("mul", a, b)

    def unary(self, a: Tensor) -> Tensor:
        return self.node("unary", (a,), a.ne, a.type)

    def scale(self, a: Tensor) -> Tensor:
        return self.node("scale", (a,), a.ne, a.type)

    def glu(self, a: Tensor, b: Tensor) -> Tensor:
        """The *_split gated units: a fresh tensor of the shape of `a`."""
        return self.node("glu", (a, b), a.ne)

    def get_rows(self, a: Tensor, rows: Tensor) -> Tensor:
        return self.node("get_rows", (a, rows), (a.ne[0], rows.ne[0], rows.ne[1], rows.ne[2]))

    def cont(self, a: Tensor, *ne: int) -> Tensor:
        return self.node("cont", (a,), shape(*ne) if ne else a.ne, a.type)

    def cast(self, a: Tensor, type_: Type) -> Tensor:
        return self.node("cpy", (a,), a.ne, type_)

    def concat(self, a: Tensor, b: Tensor, dim: int = 0) -> Tensor:
        ne = list(a.ne)
        ne[dim] += b.ne[dim]
        return self.node("concat", (a, b), shape(*ne), a.type)

    def reshape(self, a: Tensor, *ne: int) -> Tensor:
        return self.viewed("reshape", a, shape(*ne))

    def slice(self, a: Tensor, ne: Sequence[int], nb: Sequence[int]) -> Tensor:
        """ggml_view_Nd: `nb` are the strides of dimensions 1.. ."""
        full = shape(*ne)
        step = [a.nb[0], *nb]
        while len(step) < 4:
            step.append(step[-1] * full[len(step) - 1])
        return self.viewed("view", a, full, (step[0], step[1], step[2], step[3]))

    def permute(self, a: Tensor, *axes: int) -> Tensor:
        ne, nb = [1] * 4, [0] * 4
        for old, new in enumerate(axes):
            ne[new], nb[new] = a.ne[old], a.nb[old]
        return self.viewed("permute", a, shape(*ne), (nb[0], nb[1], nb[2], nb[3]))

    def transpose(self, a: Tensor) -> Tensor:
        return self.permute(a, 1, 0, 2, 3)

    def set_rows(self, into: Tensor, rows: Tensor, ids: Tensor) -> Tensor:
        tensor = self.viewed("set_rows", into, into.ne, into.nb)
        tensor.src = [rows, ids, into]
        return tensor

    def cpy(self, source: Tensor, into: Tensor) -> Tensor:
        tensor = self.viewed("cpy", into, into.ne, into.nb)
        tensor.src = [source, into]
        return tensor

    def flash_attn(self, q: Tensor, k: Tensor, v: Tensor, *rest: Tensor) -> Tensor:
        """FLASH_ATTN_EXT; a K or V that is not f16 adds an f16 scratch copy (ggml-cuda/fattn-common.cuh)."""
        tensor = self.node("flash_attn", (q, k, v, *rest), (v.ne[0], q.ne[2], q.ne[1], q.ne[3]))
        tensor.extra = sum(2 * t.elements() for t in (k, v) if t.type.name != "f16")
        return tensor


def device_bytes(tensor: Tensor) -> int:
    """ggml_backend_buft_get_alloc_size on a CUDA device, aligned to 128 bytes."""
    size = tensor.nbytes() + tensor.extra
    if tensor.type.block > 1 and tensor.ne[0] % 512:
        size += tensor.type.row(pad(tensor.ne[0], 512) - tensor.ne[0])
    return pad(size, 128)
