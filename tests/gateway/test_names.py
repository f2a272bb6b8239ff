"""Names of models are matched as people write them."""

import pytest

from splitter.gateway.names import distinct, meant

KNOWN = (
    "/srv/models/Qwen2.5-32B-Instruct-Q4_K_M.gguf",
    "koboldcpp/Llama-3.2-3B-Instruct-Q8_0",
    "Llama-3.1-8B-Instruct-Q4_K_M.gguf",
    "nomic-embed-text-v1.5.f16.gguf",
)


@pytest.mark.parametrize(
    ("asked", "index"),
    [
        ("/srv/models/Qwen2.5-32B-Instruct-Q4_K_M.gguf", 0),
        ("Qwen2.5-32B-Instruct-Q4_K_M.gguf", 0),
        ("qwen2.5-32b-instruct-q4_k_m", 0),
        ("Qwen2.5-32B-Instruct", 0),
        ("qwen2.5:32b", 0),
        ("qwen2.5:latest", 0),
        ("bartowski/Qwen2.5-32B-Instruct-GGUF", 0),
        ("llama3.2", 1),
        ("Llama-3.2-3B-Instruct", 1),
        ("llama 3.1 8b", 2),
        ("nomic-embed-text", 3),
        ("gpt-4o", 0),
        ("my-gpt", 0),
    ],
)
def test_a_name_means_the_model(asked: str, index: int) -> None:
    aliases = {"gpt-4o": "qwen2.5-32b", "My-GPT": "gpt-4o"}
    assert meant(asked, KNOWN, aliases) == (KNOWN[index],)


@pytest.mark.parametrize("asked", ["llama3", "qwen", "gpt-4o", "", "3b", "Qwen2.5-3B"])
def test_what_is_not_there_is_not_guessed(asked: str) -> None:
    """`qwen` is no word of qwen2.5's beginning alone: it is, so it may be meant; a version is never cut."""
    found = meant(asked, KNOWN, {})
    assert found == ((KNOWN[0],) if asked == "qwen" else ())


def test_a_short_name_of_several_models_brings_them_all() -> None:
    found = meant("llama", KNOWN, {})
    assert len(distinct(found)) == 2
    assert len(distinct(("a-7b-Q4_K_M.gguf", "A-7B-Q8_0", "koboldcpp/a-7b"))) == 1


def test_aliases_in_a_circle_end() -> None:
    assert meant("a", KNOWN, {"a": "b", "b": "a"}) == ()
