"""Show 2 and 3: weights and caches of every architecture against llama.cpp 11434, in bytes and without an engine.

What `test-llama-archs -o DIR` writes, and two randomly varied headers of each architecture (MTP layers, per-layer head
counts, windows, shared KV, quantisation mixes), on three devices. Run with -s to see the tables.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

import pytest

from splitter.memory.model import MemoryModel
from splitter.model.families import PLAIN_NAMES, SPECIAL, supports_tensor_split
from tests.memory.engine_answers import DEVICES, Answer, answers

# llama.cpp copies rope factors only to some layers in gemma4 and step35; we count them wherever layers are.
ROPE_FACTOR_BYTES = 256
# Draft models and decision heads that need a second model, and headers of ours that build 11434 refuses.
NOT_COMPARED = {"chameleon", "clef", "eagle3", "gemma4-assistant", "rwkv6qwen2"}
Errors = list[tuple[int, int]]  # per device: ours minus llama.cpp's model and context bytes


def errors(case: Answer) -> Errors:
    """Signed errors of each device."""
    memory, placement = MemoryModel(case.facts, case.settings()), case.placement()
    models, contexts = memory.model_bytes(placement)[0], memory.context_bytes(placement)[0]
    rows = [case.device(index) for index in range(DEVICES)]
    return [(m - row[0], c - row[1]) for m, c, row in zip(models, contexts, rows, strict=True)]


def table(cases: Iterable[Answer]) -> dict[str, Errors]:
    """The worst signed errors of each architecture and device."""
    worst: dict[str, Errors] = {}
    for case in cases:
        old = worst.setdefault(case.facts.architecture, [(0, 0)] * DEVICES)
        new = errors(case)
        for device in range(DEVICES):
            old[device] = (max(old[device][0], new[device][0], key=abs), max(old[device][1], new[device][1], key=abs))
    return worst


def show(title: str, count: int, worst: dict[str, Errors]) -> None:
    print(f"\n{title}: {count} cases, {len(worst)} architectures; worst error in bytes (model, context) per device")
    for architecture, found in sorted(worst.items()):
        print(f"  {architecture:20}", *(f"{model:+6d} {context:+6d}" for model, context in found), sep="  |")


def largest(worst: dict[str, Errors]) -> tuple[int, int]:
    pairs = [pair for found in worst.values() for pair in found]
    return max(abs(model) for model, _ in pairs), max(abs(context) for _, context in pairs)


def select(*, shown: bool | None = None, tensor: bool = False) -> Sequence[Answer]:
    return [
        case for case in answers() if (shown is None or case.shown == shown) and ("-sm tensor" in case.args) == tensor
    ]


def test_show_2_the_models_of_test_llama_archs() -> None:
    cases = select(shown=True)
    worst = table(cases)
    show("Show 2", len(cases), worst)
    assert len(cases) >= 254
    assert len(worst) > 110
    assert largest(worst) == (0, 0)


def test_other_settings_and_varied_headers() -> None:
    cases = select(shown=False)
    worst = table(cases)
    show("Varied headers and settings", len(cases), worst)
    model, context = largest(worst)
    assert model <= ROPE_FACTOR_BYTES
    assert context == 0


def test_show_3_tensor_split() -> None:
    cases = select(tensor=True)
    worst = table(cases)
    show("Show 3 (-sm tensor)", len(cases), worst)
    assert len({case.args.partition("-ts ")[2].split(" ")[0] for case in cases}) >= 4
    assert largest(worst) == (0, 0)


def test_the_host_holds_the_rest() -> None:
    """Whole tensors and caches, to within the alignment of RAM buffers and the row padding of quantised caches."""
    for case in select():
        memory, placement = MemoryModel(case.facts, case.settings()), case.placement()
        model, context, _ = case.host()
        assert abs(memory.model_bytes(placement)[1] - model) <= 64 * len(case.facts.tensors)
        assert abs(memory.context_bytes(placement)[1] - context) <= 2048 * len(memory.caches)


def test_every_architecture_of_the_build_is_compared_or_refused_by_it() -> None:
    compared = {case.facts.architecture for case in answers()}
    assert (set(SPECIAL) | PLAIN_NAMES) - compared == NOT_COMPARED
    assert all(supports_tensor_split(case.facts.architecture) for case in select(tensor=True))


@pytest.mark.parametrize("architecture", ["qwen3", "gemma3", "qwen35", "deepseek2", "deepseek32", "granitehybrid"])
def test_an_unknown_architecture_is_planned_from_its_header_and_says_so(architecture: str) -> None:
    case = next(case for case in answers() if case.shown and case.facts.architecture == architecture)
    keys = {key.replace(f"{architecture}.", "quokka."): value for key, value in case.facts.metadata.items()}
    facts = replace(case.facts, architecture="quokka", metadata=keys)
    proven, guessed = MemoryModel(case.facts, case.settings()), MemoryModel(facts, case.settings())
    placement = case.placement()
    assert guessed.model_bytes(placement) == proven.model_bytes(placement)
    assert guessed.context_bytes(placement) == proven.context_bytes(placement)
    footprint = guessed.footprint(placement)
    assert not footprint.proven
    assert "quokka" in footprint.notes[0]
