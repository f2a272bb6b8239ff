"""Seconds per generated and per prompt token from work: an explicit model of what published runs reach.

A generated token takes, per device, the bytes it reads over the share of the bandwidth that cards of its family reach,
and the launches of every layer; several cards and tensors in RAM cost extra. A prompt token takes the multiplications
over the share of the matrix throughput, and per micro-batch one reading of all weights and the staging of what is in
RAM. Times of several cards add up, with and without pipeline parallelism: no published pair gained by it. The shares
are in speed_constants.py, which `python -m tests.plan.fit_speeds` writes from published runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log2

from splitter.plan.families import CLASSES, FLOAT, CardFamily, family_of, type_class
from splitter.plan.remote import prompt_hops_s, token_hops_s
from splitter.plan.work import Part, Portion, Work
from splitter.rig.device import CardSpeed, Device, Host

# Below 32 tokens llama.cpp leaves products with tensors in RAM to the CPU (offload_op of the backends).
OFFLOAD_UBATCH = 32
FULL_UBATCH = 512  # from here on a larger micro-batch makes dense products no faster
LINK_BYTES_PER_S = 8e9  # where the rig does not know its own: PCIe 3.0 x8
FASTEST_STAGING = 32e9  # bytes/s: what PCIe 5.0 links were not seen to exceed
# Tokens per expert at which a fraction 1 - 1/e of the experts of a layer is used by a micro-batch: routers are uneven.
USED_EXPERTS_TOKENS = 10.0
UNKNOWN = "unknown"
GUESSED_FLOPS_PER_BYTE = 60.0  # of cards whose throughput is unknown


@dataclass(frozen=True, slots=True)
class Constants:
    """What lies between bytes over bandwidth and a real engine; every share 1 and every cost 0: the bound.

    `bandwidth_shares` and `compute_shares` are by card family (families.py), times `backend_bandwidth` and
    `backend_compute` by "vendor backend". `read_factors` and `compute_factors` say how much longer a byte, or a weight,
    takes, by type class or, for old cards, "old " and the class. `layer_s` are launches per layer and token by class
    of model, `layer_prompt_s` per layer and micro-batch. `token_s` is what a token takes whatever the model, `device_s`
    what a card adds, `several_s` what it costs to have several, `device_prompt_s` what a card adds per micro-batch.
    `host_share` is that of the RAM's bandwidth, `host_factors` say how much longer the CPU takes for a byte of a type
    class (it unpacks IQ types slower than RAM brings them), `moved_layer_s` the cost of a layer with tensors in RAM,
    `link_share` that of the link when weights are staged. `half_ubatch` is the micro-batch that reaches half of the
    throughput of large ones, `half_expert_tokens` the same of tokens per expert, `attention_share` the share of the
    throughput that attention reaches. `reduction_s` is one step of an all-reduce of `-sm tensor`, "new" or, with an
    old card among the cards, "old". `cards` are measured shares by device id, of bandwidth and of throughput: they
    stand in place of the family's. `scoreboard_weight` is how much a card's public measurement counts against its
    family (1: alone).
    """

    bandwidth_shares: Mapping[str, float] = field(default_factory=dict)
    compute_shares: Mapping[str, float] = field(default_factory=dict)
    backend_bandwidth: Mapping[str, float] = field(default_factory=dict)
    backend_compute: Mapping[str, float] = field(default_factory=dict)
    read_factors: Mapping[str, float] = field(default_factory=dict)
    compute_factors: Mapping[str, float] = field(default_factory=dict)
    layer_s: Mapping[str, float] = field(default_factory=dict)
    layer_prompt_s: float = 0.0
    token_s: float = 0.0
    device_s: float = 0.0
    several_s: float = 0.0
    device_prompt_s: float = 0.0
    host_share: float = 1.0
    host_factors: Mapping[str, float] = field(default_factory=dict)
    moved_layer_s: float = 0.0
    link_share: float = 1.0
    half_ubatch: float = 0.0
    half_expert_tokens: float = 0.0
    attention_share: float = 1.0
    reduction_s: Mapping[str, float] = field(default_factory=dict)
    host_flops: float = 2e11
    scoreboard_weight: float = 0.0
    cards: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    basis: str = "bound"

    @property
    def network(self) -> bool:
        """Whether the network to other machines counts: not in the bound."""
        return self.basis != "bound"


BOUND = Constants()
"""Weights over bandwidth and nothing else: no engine is faster."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one device takes by type class: seconds per byte read, and per multiplication or addition.

    `link_s` is per byte staged over its link, `attention_s` per multiplication of attention. `guessed`: the throughput
    is a stand-in that only orders placements.
    """

    byte_s: Mapping[str, float]
    flop_s: Mapping[str, float]
    attention_s: float
    link_s: float
    guessed: bool = False

    def read_s(self, parts: Iterable[Part]) -> float:
        """Seconds to read what a generated token reads."""
        return sum(part.read_bytes * self.byte_s[type_class(part.ggml_type)] for part in parts)


def price_of(device: Device, constants: Constants) -> Price | None:
    """The price of a device; None where its bandwidth is unknown."""
    if not device.bandwidth_bytes_per_s:
        return None
    family = family_of(device)
    reached, throughput = shares_of(device, constants)
    plain = 1 / (device.bandwidth_bytes_per_s * reached)
    flop = 1 / ((device.fp16_flops or guessed_flops(device)) * throughput)
    link = min(device.link_bytes_per_s or LINK_BYTES_PER_S, FASTEST_STAGING) * constants.link_share
    return Price(
        byte_s={name: plain * factor(constants.read_factors, family, name) for name in CLASSES},
        flop_s={name: flop * factor(constants.compute_factors, family, name) for name in CLASSES},
        attention_s=flop / constants.attention_share,
        link_s=1 / link,
        guessed=not device.fp16_flops,
    )


def guessed_flops(device: Device) -> float:
    """A throughput that only orders placements, from the bandwidth."""
    return GUESSED_FLOPS_PER_BYTE * (device.bandwidth_bytes_per_s or 0.0)


def factor(factors: Mapping[str, float], family: CardFamily, name: str) -> float:
    """How much longer a type class takes on a family than plain blocks."""
    old = factors.get(f"old {name}", 1.0) if family.old else 1.0
    return factors.get(name, 1.0) * old


def shares_of(device: Device, constants: Constants) -> tuple[float, float]:
    """The shares of bandwidth and of matrix throughput that a device reaches: measured, else its card's, else its
    family's."""
    family = family_of(device)
    own = constants.cards.get(device.id)
    typical = _typical_shares(device, family, constants)
    if own is None:
        return typical
    return own[0], typical[1] if own[1] is None else own[1]


def _typical_shares(device: Device, family: CardFamily, constants: Constants) -> tuple[float, float]:
    backend = f"{family.vendor} {device.backend}"
    reached = _of_family(constants.bandwidth_shares, family) * constants.backend_bandwidth.get(backend, 1.0)
    throughput = _of_family(constants.compute_shares, family) * constants.backend_compute.get(backend, 1.0)
    if constants.basis == BOUND.basis:
        throughput *= family.int8
    weight = constants.scoreboard_weight
    known = next((speed for speed in device.measured if speed.backend == device.backend), None) if weight else None
    if known is None:
        return reached, throughput
    measured = _scoreboard_shares(device, family, known, constants)
    own, own_throughput = measured[0] or reached, measured[1] or throughput
    return reached ** (1 - weight) * own**weight, throughput ** (1 - weight) * own_throughput**weight


def _of_family(shares: Mapping[str, float], family: CardFamily) -> float:
    return shares.get(family.name, shares.get(UNKNOWN, 1.0))


# Llama-2-7B Q4_0, which the scoreboards measure: bytes read and weights multiplied in Q4_0, the output layer in Q6_K.
SCOREBOARD_LAYERS = 32
SCOREBOARD = Portion(
    parts=(Part("Q4_0", False, 3_642_753_024, 3_642_753_024, 6_476_005_376),),
    output=(Part("Q6_K", False, 107_520_000, 107_520_000, 131_072_000),),
    layers=SCOREBOARD_LAYERS,
)


def _scoreboard_shares(
    device: Device, family: CardFamily, known: CardSpeed, constants: Constants
) -> tuple[float | None, float | None]:
    """The shares with which the model gives a card's public measurement; None where it leaves nothing to reach."""
    size = sum(
        part.read_bytes * factor(constants.read_factors, family, type_class(part.ggml_type))
        for part in (*SCOREBOARD.parts, *SCOREBOARD.output)
    )
    launches = constants.token_s + constants.device_s + SCOREBOARD_LAYERS * constants.layer_s.get("dense", 0.0)
    reading_s = 1 / known.generation_tokens_per_s - launches
    reached = size / (reading_s * (device.bandwidth_bytes_per_s or 1.0)) if reading_s > 0 else None
    if not (known.prompt_tokens_per_s and device.fp16_flops and reached):
        return reached, None
    once = SCOREBOARD_LAYERS * constants.layer_prompt_s + constants.device_prompt_s
    once += size / ((device.bandwidth_bytes_per_s or 1.0) * reached)
    flops = 2 * sum(part.weights for part in SCOREBOARD.parts)
    multiplying_s = 1 / known.prompt_tokens_per_s - once / FULL_UBATCH
    return reached, flops / (multiplying_s * device.fp16_flops) if multiplying_s > 0 else None


def generated_s(portion: Portion, price: Price, layer_s: float) -> float:
    """Seconds per generated token of what one device does."""
    cache_s = portion.cache_bytes * price.byte_s[FLOAT]
    return price.read_s(portion.parts) + price.read_s(portion.output) + cache_s + portion.layers * layer_s


def prompted_s(portion: Portion, price: Price, ubatch_size: int, constants: Constants) -> float:
    """Seconds per prompt token, in micro-batches of `ubatch_size`, of what one device does."""
    seconds = portion.attention_flops * price.attention_s + portion.layers * constants.layer_prompt_s / ubatch_size
    for part in portion.parts:
        name = type_class(part.ggml_type)
        multiplied = 2 * part.weights * price.flop_s[name] * slower(part, ubatch_size, constants)
        seconds += multiplied + part.held_bytes * price.byte_s[name] / ubatch_size
    return seconds


def slower(part: Part, ubatch_size: int, constants: Constants) -> float:
    """How much longer products take than with the largest micro-batches: few tokens leave units idle."""
    if part.experts:
        tokens = ubatch_size * part.read_bytes / max(part.held_bytes, 1.0)
        return 1 + constants.half_expert_tokens / max(tokens, 1.0)
    tokens = min(ubatch_size, FULL_UBATCH)
    return (1 + constants.half_ubatch / tokens) / (1 + constants.half_ubatch / FULL_UBATCH)


def staged_s(parts: Iterable[Part], price: Price, ubatch_size: int) -> float:
    """Seconds per prompt token for weights in RAM to cross to the device that multiplies with them."""
    return sum(part.held_bytes * _used(part, ubatch_size) for part in parts) * price.link_s / ubatch_size


def _used(part: Part, ubatch_size: int) -> float:
    """The fraction of the experts that a micro-batch uses; only these are copied (ggml-backend.cpp, MUL_MAT_ID)."""
    if not part.experts:
        return 1.0
    return 1 - exp(-ubatch_size * part.read_bytes / max(part.held_bytes, 1.0) / USED_EXPERTS_TOKENS)


@dataclass(frozen=True, slots=True)
class HostPrice:
    """What the host takes: seconds per byte read by type class, and per multiplication of prompts that no device takes
    over."""

    byte_s: Mapping[str, float]
    flop_s: float

    def read_s(self, portion: Portion) -> float:
        """Seconds to read what a generated token reads of a portion, its cache included."""
        parts = sum(
            part.read_bytes * self.byte_s[type_class(part.ggml_type)] for part in (*portion.parts, *portion.output)
        )
        return parts + portion.cache_bytes * self.byte_s[FLOAT]


def host_price(host: Host, constants: Constants) -> HostPrice | None:
    """The price of the host; None where its bandwidth is unknown."""
    if not host.ram_bandwidth_bytes_per_s:
        return None
    plain = 1 / (host.ram_bandwidth_bytes_per_s * constants.host_share)
    return HostPrice(
        {name: plain * constants.host_factors.get(name, 1.0) for name in CLASSES}, 1 / constants.host_flops
    )


def ram_prompted_s(
    portion: Portion, first: Price | None, host: HostPrice, ubatch_size: int, constants: Constants
) -> float:
    """Seconds per prompt token of what is in RAM: staged to the first device, or the host's own products."""
    if first is None or ubatch_size < OFFLOAD_UBATCH:
        return (2 * sum(part.weights for part in portion.parts) + portion.attention_flops) * host.flop_s
    attention = Portion((), (), 0.0, portion.attention_flops, portion.layers)
    products = Portion(portion.parts)
    on_host = attention.attention_flops * host.flop_s + portion.layers * constants.layer_prompt_s / ubatch_size
    return prompted_s(products, first, ubatch_size, constants) + staged_s(portion.parts, first, ubatch_size) + on_host


def token_s(work: Work, devices: Sequence[Device], host: Host, constants: Constants) -> float | None:
    """Seconds per generated token of one sequence; None where a bandwidth that matters is unknown."""
    prices = [price_of(device, constants) for device in devices]
    layer_s = constants.layer_s.get(work.model_class, 0.0)
    sharing = [device for device, share in zip(devices, work.shares, strict=False) if share > 0]
    device_s = _device_token_s(work, prices, layer_s, sharing, constants)
    host_s = _host_token_s(work, host, layer_s, constants)
    if device_s is None or host_s is None:
        return None
    away_s = token_hops_s(work, devices) if constants.network else 0.0
    return constants.token_s + device_s + host_s + away_s


def _device_token_s(
    work: Work,
    prices: Sequence[Price | None],
    layer_s: float,
    sharing: Sequence[Device],
    constants: Constants,
) -> float | None:
    times = []
    for portion, price in zip(shared_portions(work), prices, strict=True):
        if not portion.parts and not portion.output:
            continue
        if price is None:
            return None
        times.append(generated_s(portion, price, layer_s))
    if work.shares:
        layers = sum(portion.layers for portion in work.devices)
        return max(times, default=0.0) + reductions_s(layers, sharing, constants)
    return sum(times) + constants.device_s * len(times) + (constants.several_s if len(times) > 1 else 0.0)


def shared_portions(work: Work) -> tuple[Portion, ...]:
    """What each device does; in `-sm tensor` its share of all layers, each of which is launched on every device."""
    if not work.shares:
        return work.devices
    whole = max(work.devices, key=Portion.read_bytes)
    return tuple(whole.times(share) if share else Portion() for share in work.shares)


def reductions_s(layers: int, sharing: Sequence[Device], constants: Constants) -> float:
    """Two all-reduces per layer of `-sm tensor`, each of as many steps as the cards' number has doublings."""
    age = "old" if any(family_of(device).old for device in sharing) else "new"
    return 2 * layers * constants.reduction_s.get(age, 0.0) * log2(max(len(sharing), 1))


def _host_token_s(work: Work, host: Host, layer_s: float, constants: Constants) -> float | None:
    if not (work.host.read_bytes() + work.host.cache_bytes + work.moved.read_bytes()):
        return 0.0
    price = host_price(host, constants)
    if price is None:
        return None
    read_s = price.read_s(work.host) + price.read_s(work.moved)
    return read_s + work.host.layers * layer_s + work.moved_layers * constants.moved_layer_s


def prompt_s(work: Work, devices: Sequence[Device], ubatch_size: int, constants: Constants) -> float | None:
    """Seconds per prompt token in micro-batches of `ubatch_size`; None where a throughput that matters is unknown."""
    prices = [price_of(device, constants) for device in devices]
    portions = shared_portions(work)
    used = [(p, q) for p, q in zip(portions, prices, strict=True) if p.parts or p.output]
    if any(price is None or price.guessed for _, price in used):
        return None
    times = [prompted_s(portion, price, ubatch_size, constants) for portion, price in used if price]
    first = first_price(devices, portions, prices) if work.op_offload else None
    ram = HostPrice({}, 1 / constants.host_flops)
    in_ram = sum(ram_prompted_s(portion, first, ram, ubatch_size, constants) for portion in (work.host, work.moved))
    handing = constants.device_prompt_s * len(times) / ubatch_size
    if work.shares:
        return max(times, default=0.0) + _reduced_rows_s(work, devices, constants) + in_ram + handing
    away_s = prompt_hops_s(work, devices, ubatch_size) if constants.network else 0.0
    return sum(times) + in_ram + handing + away_s


def first_price(devices: Sequence[Device], portions: Sequence[Portion], prices: Sequence[Price | None]) -> Price | None:
    """The price of the device that multiplies prompts for the host: the first here that holds anything, or that a
    remote one stands before (ggml-rpc takes nothing over)."""
    away = any(device.node for device in devices)
    rows = zip(devices, portions, prices, strict=True)
    return next((price for d, p, price in rows if not d.node and (away or p.parts or p.output)), None)


def _reduced_rows_s(work: Work, devices: Sequence[Device], constants: Constants) -> float:
    """The activations (f32) of one prompt token that all-reduces send over the slowest link."""
    links = [min(d.link_bytes_per_s or LINK_BYTES_PER_S, FASTEST_STAGING) for d in devices]
    sharing = sum(share > 0 for share in work.shares)
    layers = sum(portion.layers for portion in work.devices)
    return 2 * layers * (sharing - 1) * 4 * work.width / (min(links) * constants.link_share) if sharing > 1 else 0.0
