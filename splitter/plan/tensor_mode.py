"""Whether `-sm tensor` is possible: what llama.cpp refuses."""

from splitter.memory.settings import Settings
from splitter.model.facts import ModelFacts

# llm_arch_supports_sm_tensor in src/llama-arch.cpp, build 11434.
UNSUPPORTED = frozenset(
    {
        "bailingmoe3",
        "bitnet",
        "deepseek2",
        "deepseek32",
        "dots3note",
        "falcon-h1",
        "gemma3n",
        "glm-dsa",
        "glm5-next",
        "granitehybrid",
        "grok",
        "hy_v4",
        "jamba",
        "kimi-k3",
        "kimi-linear",
        "mamba",
        "mamba2",
        "minicpm3",
        "minimax-01",
        "minimax-m2",
        "minimax-m3",
        "mistral4",
        "mpt",
        "nemotron_h",
        "nemotron_h_moe",
        "olmo2",
        "olmoe",
        "plamo2",
        "qwen3tts",
        "t5",
    }
)


def refusal(facts: ModelFacts, settings: Settings) -> str | None:
    """Why the engine would refuse tensor mode, None if it would not."""
    if facts.architecture in UNSUPPORTED:
        return f"-sm tensor is not implemented for {facts.architecture}"
    if settings.flash_attention == "off":
        return "-sm tensor needs flash attention"
    return None
