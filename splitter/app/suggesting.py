"""Models for somebody who has none: a few public repositories, and which of them this rig runs well."""

import re
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from splitter.app.events import Events
from splitter.app.listing import ListedModel, look_at
from splitter.app.planning import find_planner
from splitter.app.ranking import READERS
from splitter.app.wishes import Wishes, ask
from splitter.errors import ModelError, SplitterError
from splitter.model.caches import FoundModel
from splitter.model.hub_reference import RepoFile, model_files
from splitter.rig.device import Rig

# Widely used, not gated, one file each at four bits; from 1 to 70 thousand million weights.
REPOSITORIES = (
    "ggml-org/gemma-3-1b-it-GGUF",
    "bartowski/Llama-3.2-3B-Instruct-GGUF",
    "ggml-org/gemma-3-4b-it-GGUF",
    "bartowski/Meta-Llama-3.1-8B-Instruct-GGUF",
    "Qwen/Qwen3-8B-GGUF",
    "ggml-org/gemma-3-12b-it-GGUF",
    "Qwen/Qwen3-14B-GGUF",
    "ggml-org/gpt-oss-20b-GGUF",
    "ggml-org/gemma-3-27b-it-GGUF",
    "unsloth/Qwen3-30B-A3B-GGUF",
    "bartowski/Qwen2.5-32B-Instruct-GGUF",
    "bartowski/Llama-3.3-70B-Instruct-GGUF",
)
USUAL = re.compile(r"Q4_K_M|MXFP4", re.IGNORECASE)
RAM_SHARE = 0.8  # of what is free: the rest is the system's
SHOWN = 5


def suggest(wishes: Wishes, events: Events) -> tuple[ListedModel, ...]:
    """Five models that fit this rig: what runs on its cards alone, the biggest first; then what also waits for RAM,
    the fastest first.

    ModelError where no repository can be read; those that cannot are left out.
    """
    asked = ask(wishes)
    planner = find_planner(asked, events, needed=False)[1]
    with events.step("looking for models that fit"):
        offered = _offered()
    chosen = fitting(offered, planner.rig)
    read = []
    for number, model in enumerate(chosen, start=1):
        with events.step(f"looking at model {number} of {len(chosen)}: {model.name}"):
            read.append(look_at(model, planner, asked.task.request))
    usable = [model for model in read if model.plan is not None and model.plan.fits()]
    return tuple(sorted(usable, key=_order)[:SHOWN])


def _order(model: ListedModel) -> tuple[bool, float]:
    if model.fit == "partly" and model.plan is not None:
        return True, -(model.plan.speed.generation_tokens_per_s or 0)
    return False, -model.found.size_bytes


def fitting(offered: Sequence[FoundModel], rig: Rig) -> list[FoundModel]:
    """Those worth a look: the biggest that the cards hold, then the smallest that cards and RAM hold; without a card
    the smallest, since RAM is slow."""
    cards = sum(device.free_bytes or device.total_bytes for device in rig.devices)
    room = cards + int(RAM_SHARE * (rig.host.ram_free_bytes or 0))
    by_size = sorted(offered, key=lambda model: model.size_bytes)
    held = [model for model in by_size if model.size_bytes < cards][::-1]
    spilling = [model for model in by_size if cards <= model.size_bytes < room]
    return [*held[: SHOWN + 1], *spilling[: max(2, SHOWN - len(held))]]


def _offered() -> list[FoundModel]:
    with ThreadPoolExecutor(READERS) as pool:
        found = list(pool.map(_usual_file, REPOSITORIES))
    models = [model for model in found if isinstance(model, FoundModel)]
    if not models:
        raise next(error for error in found if isinstance(error, ModelError))
    return models


def _usual_file(repository: str) -> FoundModel | ModelError:
    from splitter.model.hub import list_gguf_files

    try:
        file = usual(list_gguf_files(repository))
    except SplitterError as error:
        return ModelError(error.message, error.hint)
    if file is None or file.size_bytes is None:
        return ModelError(f"hf:{repository} holds no model of the usual four bits.", "Name another repository.")
    reference = f"hf:{repository}/{file.path}"
    return FoundModel(file.path.rpartition("/")[2], reference, "Hugging Face", file.size_bytes)


def usual(files: Iterable[RepoFile]) -> RepoFile | None:
    """The four-bit file in one part; None where there is none."""
    return next((file for file in model_files(files) if USUAL.search(file.path) and "-of-" not in file.path), None)
