"""RAM that a server takes while it runs, beside the model's buffers: prompt cache, context checkpoints, and itself.

Source: server_prompt_cache in tools/server/server-task.cpp, create_checkpoint in tools/server/server-context.cpp,
llama.cpp build 11434. Both start empty and grow with use. What the process itself takes was measured on that build
(`python -m tests.engine.host_ram`): 15 MiB of code, up to 23 MiB of heap that 50 prompts leave behind, and for the
262,144 tokens of Gemma 3 31 MiB.
"""

from collections.abc import Sequence
from dataclasses import replace

from splitter.memory.context import kv_bytes, layer_streams, sequence_cells, ubatch
from splitter.memory.rules import MemoryRules
from splitter.memory.settings import Settings
from splitter.model.attention import LayerCache
from splitter.model.facts import ModelFacts
from splitter.units import MIB, from_mib

PROMPT_CACHE, CHECKPOINTS, PROCESS = "prompt cache", "context checkpoints", "code and vocabulary"
PROCESS_BYTES = 40 * MIB
TOKEN_BYTES = 256  # one token of the vocabulary with its part of the merges, at most
CHECKPOINT_STEP = 8192  # tokens between two checkpoints (--checkpoint-min-step); two more stand near a prompt's end
NEAR_THE_END = 2
Growth = tuple[tuple[str, int], ...]


def growth(facts: ModelFacts, caches: Sequence[LayerCache], settings: Settings, rules: MemoryRules) -> Growth:
    """The most bytes that each of them may reach; nothing for one that is off. `--cache-ram -1` has no most."""
    limit = rules.prompt_cache_mib if settings.cache_ram_mib is None else settings.cache_ram_mib
    each = checkpoint_bytes(facts, caches, settings)
    parts = (
        (PROMPT_CACHE, from_mib(max(limit, 0))),
        (CHECKPOINTS, each * checkpoints(facts, settings, rules) * settings.parallel if rules.checkpoints else 0),
        (PROCESS, PROCESS_BYTES + TOKEN_BYTES * facts.vocabulary if rules.checkpoints else 0),
    )
    return tuple((name, size) for name, size in parts if size)


def checkpoints(facts: ModelFacts, settings: Settings, rules: MemoryRules) -> int:
    """Checkpoints of one slot: as many as its context has room for, at most --ctx-checkpoints."""
    most = rules.checkpoints if settings.ctx_checkpoints is None else settings.ctx_checkpoints
    return max(0, min(most, sequence_cells(facts, settings) // CHECKPOINT_STEP + NEAR_THE_END))


def checkpoint_bytes(facts: ModelFacts, caches: Sequence[LayerCache], settings: Settings) -> int:
    """What cannot be taken back token by token: recurrent state, and the cells within a sliding window."""
    one = replace(settings, parallel=1, kv_unified=True)
    cells, batch = sequence_cells(facts, settings), ubatch(facts, settings)
    state = sum(layer.recurrent_bytes for layer in caches)
    windowed = [layer for layer in caches if layer.window and not settings.swa_full]
    return state + sum(
        kv_bytes(one, layer_streams(layer, one, cells, batch), layer.k_width, layer.v_width) for layer in windowed
    )
