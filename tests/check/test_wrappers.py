"""Every wrapper in public shapes: the engine's words, its variables and its cards are those that really run."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.engine.reading.command import read_command
from splitter.engine.reading.devices import device_order
from splitter.engine.reading.script import read_script
from splitter.engine.reading.value import ReadCommand
from splitter.errors import UsageError
from splitter.rig.device import Device, Host, Rig
from splitter.units import from_mib
from tests.check.wrapper_shapes import IMAGE, SHAPES

CARD = from_mib(24576)
PAIR = Rig("pair", Host(), (Device("CUDA0", "RTX 3090", CARD, CARD), Device("CUDA1", "RTX 3090", CARD, CARD)))


def read(name: str, text: str) -> ReadCommand:
    return read_script(text, name) if name else read_command(text)


@pytest.mark.parametrize(
    ("name", "text", "model", "settings", "order"), [shape[1:] for shape in SHAPES], ids=[shape[0] for shape in SHAPES]
)
def test_what_really_runs(
    name: str, text: str, model: str | None, settings: dict[str, Any], order: tuple[str, ...]
) -> None:
    found = read(name, text)
    assert (found.model, found.settings) == (model, settings)
    assert device_order(found, PAIR) == order
    assert found.unknown == ()


def test_there_are_many_shapes() -> None:
    assert len(SHAPES) >= 25


def codes(text: str) -> list[str]:
    return [notice.code for notice in read_command(text).notices]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("CUDA_VISIBLE_DEVICES=1 sudo llama-server -m x", "sudo_environment"),
        (f"docker run -v /m:/m {IMAGE} -m /m/x.gguf", "container_without_gpu"),
        (f"docker run --gpus all --env-file llm.env {IMAGE} -m /m/x.gguf", "env_file"),
    ],
)
def test_what_a_wrapper_takes_away_is_said(text: str, code: str) -> None:
    assert code in codes(text)


def test_an_env_file_is_read_where_it_can_be() -> None:
    text = "# the model\nLLAMA_ARG_CTX_SIZE=4096\nexport LLAMA_ARG_N_GPU_LAYERS='20'\n"
    found = read_command(
        f"docker run --gpus all --env-file llm.env {IMAGE} -m /x.gguf", read_text={"llm.env": text}.get
    )
    assert found.settings == {"context_size": 4096, "gpu_layers": 20}
    assert found.notices == ()


def test_a_preset_named_on_the_command_line_is_read() -> None:
    text = "[a]\nmodel = a.gguf\nc = 100\n[b]\nmodel = b.gguf\n"
    found = read_command("llama-server --models-preset p.ini -c 200", read_text={"p.ini": text}.get)
    assert (found.model, found.settings["context_size"]) == ("a.gguf", 200)


SWAP = "models:\n  one:\n    cmd: llama-server -m a.gguf\n  two:\n    cmd: llama-server -m b.gguf\n"


def test_one_entry_of_several() -> None:
    assert read_script(SWAP, "swap.yaml").model == "a.gguf"
    assert read_script(SWAP, "swap.yaml", entry="two").model == "b.gguf"
    with pytest.raises(UsageError, match="no entry three") as caught:
        read_script(SWAP, "swap.yaml", entry="three")
    assert "one, two" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "published"),
    [
        (f"docker run --gpus all -p 8080:8080 {IMAGE} -m /x", False),
        (f"docker run --gpus all -p 127.0.0.1:8080:8080 {IMAGE} -m /x", True),
    ],
)
def test_where_a_container_listens(text: str, published: bool) -> None:
    found = read_command(text)
    assert found.server.host == "0.0.0.0"
    assert found.around.container is not None
    assert found.around.container.is_local() is published


@pytest.mark.parametrize(
    ("text", "in_front"),
    [
        ("taskset -c 0-7 llama-server -m x", ("taskset", "-c", "0-7", "llama-server")),
        (f"docker run --gpus all {IMAGE} -m x", ("docker", "run", "--gpus", "all", IMAGE)),
        ("bash -c 'llama-server -m x'", ("llama-server",)),
        ("llama-server -m x", ("llama-server",)),
    ],
)
def test_the_words_in_front_are_kept_as_written(text: str, in_front: tuple[str, ...]) -> None:
    assert read_command(text).around.words == in_front


@pytest.mark.parametrize(
    "text",
    ["services:\n  a: {image: x, command: [}", "services:\n  a: &b {image: x}\n  c: *b\n", "models: {}\n", "- 1\n"],
)
def test_yaml_that_holds_no_command(text: str) -> None:
    with pytest.raises(UsageError):
        read_script(text, "a.yaml")


WORDS = (
    "docker run |--gpus device=1 |-e A=b |llama-server |-m x |sudo -E |bash -c '|' |\"|\n|services:\n|  a:\n|"
    "    image: x\n|models:\n|[a]\n|c = 1\n|$env:A='1'; |`\n|@(|)|${A|& |Start-Process |-ArgumentList |%A%|^|\\|"
    "--env-file f |tmux send-keys |\0|- b\n"
)
PIECES = st.sampled_from(WORDS.split("|"))


@given(st.one_of(st.text(max_size=120), st.lists(PIECES, max_size=14).map("".join)))
def test_any_text_is_a_command_or_a_sentence(text: str) -> None:
    for name in ("", "a.ps1", "a.yaml", "a.ini", "a.container", "a.service", "a.bat"):
        try:
            read = read_script(text, name, read_text={"f": "A=b"}.get) if name else read_command(text)
        except UsageError:
            continue
        assert read.program
