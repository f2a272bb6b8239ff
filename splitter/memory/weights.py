"""Where every tensor of a model lives: layers, input, output, host, overrides."""

import re
from dataclasses import dataclass

from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.units import pad

BLOCK = re.compile(r"blk\.(\d+)\.")
EXPERTS = re.compile(r"\.ffn_(up|down|gate|gate_up)_(ch|)exps")
ALIGNMENT = 128
ROW_PADDING = 512


@dataclass(frozen=True, slots=True)
class Weights:
    """Bytes per layer (the output layer last): on the layer's device, and on the host whatever the layer's device."""

    device_bytes: tuple[int, ...]
    host_bytes: tuple[int, ...]
    input_bytes: int
    active_bytes: tuple[int, ...]
    active_host_bytes: tuple[int, ...]


def device_size(tensor: TensorInfo) -> int:
    """Bytes of `tensor` in a CUDA buffer: the last row of a quantised matrix is padded to 512 elements."""
    size = tensor.size_bytes
    rows = 1
    for dimension in tensor.shape[1:]:
        rows *= dimension
    rest = tensor.shape[0] % ROW_PADDING
    if rest and tensor.ggml_type not in (0, 1, 30, 24, 25, 26, 27, 28):
        size += size // rows * (ROW_PADDING - rest) // tensor.shape[0]
    return pad(size, ALIGNMENT)


def read_weights(facts: ModelFacts, settings: Settings) -> Weights:
    """Sums the tensor table per layer."""
    n = facts.layers
    device, host = [0] * (n + 1), [0] * (n + 1)
    active, active_host = [0] * (n + 1), [0] * (n + 1)
    input_bytes = 0
    used, count = facts.hparam("expert_used_count"), facts.hparam("expert_count")
    share = used / count if isinstance(used, int) and isinstance(count, int) and count else 1.0
    tied = not any(t.name == "output.weight" for t in facts.tensors)
    for tensor in facts.tensors:
        match = BLOCK.match(tensor.name)
        if match is None and tensor.name.startswith(("token_embd", "token_types", "position_embd")):
            input_bytes += tensor.size_bytes
            if not (tied and tensor.name == "token_embd.weight"):
                continue
        layer = int(match[1]) if match else n
        if layer > n:
            continue
        experts = EXPERTS.search(tensor.name) is not None
        read = int(tensor.size_bytes * share) if experts else tensor.size_bytes
        if experts and (settings.cpu_moe or layer < settings.n_cpu_moe):
            host[layer] += tensor.size_bytes
            active_host[layer] += read
        else:
            device[layer] += device_size(tensor)
            active[layer] += read
    return Weights(tuple(device), tuple(host), input_bytes, tuple(active), tuple(active_host))
