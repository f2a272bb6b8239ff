"""Speculative decoding: how much faster drafts make generation, under an assumed share of accepted ones.

A pass of the model checks the drafted tokens and one more at once: it reads its weights once (of stacked experts more,
as each token chooses its own) and yields the drafts up to the first wrong one, and one token of its own. Published
gains of MTP heads are +41 to +94 % (Qwen3.5 to 3.8, llama-server); ACCEPTED gives their middle for 3 drafts. What
n-gram lookup brings depends on how much of the answer stands in the context already, so no gain is assumed for it.
"""

from collections.abc import Sequence
from dataclasses import replace

from splitter.memory import speculation
from splitter.memory.footprint import Placement
from splitter.memory.settings import Settings
from splitter.model.hparams import trunk_layers
from splitter.plan.extra_models import draft_settings
from splitter.plan.plan import Speed
from splitter.plan.scene import Scene
from splitter.plan.speed import generated_s, price_of, token_s
from splitter.plan.work import Part, Portion, Work, layer_works, summed, work_in
from splitter.rig.device import Device

ACCEPTED = 0.6  # of the drafted tokens, each given that those before it were
FEW, MANY = 0.4, 0.8  # what texts range over: prose, and code or tables


def tokens_per_pass(drafted: int, accepted: float) -> float:
    """Tokens that one pass of the model yields on average."""
    return sum(accepted**count for count in range(drafted + 1))


def drafting(settings: Settings) -> bool:
    """Whether a model, or the model's own MTP layers, draft: then a gain is assumed."""
    return settings.draft_model is not None or speculation.uses_mtp(settings)


def with_drafts(
    scene: Scene, speed: Speed, settings: Settings, placement: Placement, devices: Sequence[Device]
) -> Speed:
    """`speed` with what drafts are assumed to bring; as it is where nothing drafts or a bandwidth is unknown."""
    if not drafting(settings) or speed.generation_tokens_per_s is None:
        return speed
    plain_s, pass_s = _passes(scene, settings, placement, devices)
    if plain_s is None or pass_s is None:
        return speed
    drafted = speculation.drafted_tokens(settings)
    few, gain, many = (tokens_per_pass(drafted, share) * plain_s / pass_s for share in (FEW, ACCEPTED, MANY))
    low, high = speed.generation_range or (speed.generation_tokens_per_s,) * 2
    turn = speed.turn
    if turn is not None and turn.seconds is not None:
        turn = replace(turn, seconds=turn.seconds - turn.generated_tokens * plain_s * (1 - 1 / gain))
    rate = speed.generation_tokens_per_s * gain
    return replace(speed, generation_tokens_per_s=rate, generation_range=(low * few, high * many), turn=turn)


def _passes(
    scene: Scene, settings: Settings, placement: Placement, devices: Sequence[Device]
) -> tuple[float | None, float | None]:
    """Seconds of a token without drafts, and of a pass that checks drafts with the drafting before it."""
    plain = scene.memory(replace(settings, spec_type=None, draft_model=None))
    work = work_in(plain, placement, known=scene.layer_parts(plain))
    drafted = speculation.drafted_tokens(settings)
    host, constants = scene.rig.host, scene.constants
    checked = token_s(_checking(work, drafted + 1), devices, host, constants)
    draft = (
        mtp_pass_s(scene, settings, placement, devices)
        if speculation.uses_mtp(settings)
        else draft_pass_s(scene, settings)
    )
    both = None if checked is None or draft is None else checked + drafted * draft
    return token_s(work, devices, host, constants), both


def _checking(work: Work, tokens: int) -> Work:
    """`work` of a pass over several tokens: of stacked experts so many more are read, each token choosing its own."""
    return replace(
        work,
        devices=tuple(_read_for(portion, tokens) for portion in work.devices),
        host=_read_for(work.host, tokens),
        moved=_read_for(work.moved, tokens),
    )


def _read_for(portion: Portion, tokens: int) -> Portion:
    return replace(portion, parts=tuple(_part_for(part, tokens) for part in portion.parts))


def _part_for(part: Part, tokens: int) -> Part:
    if not part.experts or not part.held_bytes:
        return part
    share = part.read_bytes / part.held_bytes
    return replace(part, read_bytes=part.held_bytes * (1 - (1 - share) ** tokens))


def mtp_pass_s(scene: Scene, settings: Settings, placement: Placement, devices: Sequence[Device]) -> float | None:
    """Seconds in which the MTP layers draft a token, on the device of the output layer; None in RAM or where its
    bandwidth is unknown."""
    memory, owner = scene.memory(settings), placement.layers[-1]
    price = None if owner is None else price_of(devices[owner], scene.constants)
    if price is None or owner is None:
        return None
    layers = layer_works(memory, known=scene.layer_parts(memory))[trunk_layers(scene.facts) :]
    portion = summed(layer.device for layer in layers)
    share = placement.shares[owner] if placement.shares else 1.0
    layer_s = scene.constants.layer_s.get(scene.model_class(), 0.0)
    return generated_s(portion.times(share), price, layer_s) + scene.constants.token_s


def draft_pass_s(scene: Scene, settings: Settings) -> float | None:
    """Seconds in which the draft model drafts a token; None without one, or where a bandwidth is unknown."""
    rules, named = scene.engine.memory, settings.draft_device_order
    memory, placement = (
        scene.extra.draft_memory(settings, rules),
        scene.extra.draft_placement(settings, {}, rules),
    )
    if memory is None or placement is None:
        return None
    devices = scene.devices(draft_settings(settings, rules).device_order)
    seconds = token_s(work_in(memory, placement), devices, scene.rig.host, scene.constants)
    on_cards = settings.device_order if named is None else named
    handing = 0.0 if on_cards else scene.constants.several_s  # each drafted token goes to the cards and back
    return None if seconds is None else seconds + handing
