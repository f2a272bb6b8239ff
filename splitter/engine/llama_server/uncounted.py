"""Flags of llama-server that change memory and that the figures leave out: each is named in a warning.

What is in no table here and in none of values.py has no part in memory (sampling, logging, HTTP, templates).
"""

from collections.abc import Iterator, Mapping

from splitter.engine.llama_server.values import OFF
from splitter.engine.reading.case import Case
from splitter.plan.plan import Notice

# dest, or the spelling of a flag known by name only -> what the figures leave out
UNCOUNTED: Mapping[str, str] = {
    "models_dir": "every model but this one: in router mode each gets a server of its own",
    "models_preset": "every model but this one: in router mode each gets a server of its own",
    "draft_hf_repo": "the draft model that it downloads",
    "mmproj_url": "the projector that it downloads",
    "embedding": "rows of output for a whole batch, which embeddings need",
    "--rerank": "rows of output for a whole batch, which reranking needs",
    "--reranking": "rows of output for a whole batch, which reranking needs",
    "--pooling": "rows of output for a whole batch, which pooling needs",
    "--lora": "the adapter's weights",
    "--lora-scaled": "the adapter's weights",
    "--control-vector": "the control vector, one row per layer",
    "--control-vector-scaled": "the control vector, one row per layer",
    "--override-kv": "what the changed header says: the file's own is planned for",
    "-bs": "the sampling graph on the devices",
    "--backend-sampling": "the sampling graph on the devices",
    **dict.fromkeys(
        ("--spec-draft-override-tensor", "-otd", "--override-tensor-draft", "--spec-draft-cpu-moe", "-cmoed",
         "--cpu-moe-draft", "--spec-draft-n-cpu-moe", "--spec-draft-ncmoe", "-ncmoed", "--n-cpu-moe-draft"),
        "tensors of the draft model that it moves",
    ),
    "--no-host": "that the CPU may repack weights in RAM, of which the first device then stages less",
}  # fmt: skip
UNIFIED = "GGML_CUDA_ENABLE_UNIFIED_MEMORY"


def uncounted(case: Case) -> Iterator[Notice]:
    """Silence means modelled."""
    for name, missing in UNCOUNTED.items():
        if str(case.read.flags.get(name, "off")) not in OFF:
            flag = name if name.startswith("-") else "--" + name.replace("_", "-")
            hint = "keep some memory free: --margin MIB"
            yield Notice("not_counted", f"{flag}: the figures leave out {missing}", hint)
    if case.read.env.get(UNIFIED, "0") not in {"", "0"}:
        yield Notice(
            "unified_memory_spill",
            f"{UNIFIED} lets the driver move what does not fit into RAM: it would run, far slower than planned",
            f"remove {UNIFIED}, and make it fit",
        )
