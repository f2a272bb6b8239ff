"""`splitter models` on a made cache tree, and its names as MODEL of the other verbs."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from splitter.app.listing import fit_of
from splitter.plan.placement import PIPELINE_OFF
from tests.cli.conftest import TINY, Splitter
from tests.cli.contract import ENVELOPE, NUMBER, mistakes
from tests.model.cache_tree import CacheTree, full_tree
from tests.plan.builders import card, model, plan, rig

LISTED = {
    "name": str,
    "path": str,
    "source": {"llama.cpp", "Hugging Face", "LM Studio", "Ollama", "koboldcpp", "folder"},
    "size_bytes": int,
    "parts": int,
    "missing_parts": int,
    "kind": ({"model", "mmproj", "adapter", "vocabulary", "imatrix"}, None),
    "architecture": (str, None),
    "quantization": (str, None),
    "fit": ({"gpu", "partly", "cpu", "no"}, None),
    "context_size": (int, None),
    "generation_tokens_per_s": (*NUMBER, None),
    "error": ({"code": str, "message": str, "hint": str}, None),
}
DATA = {"rig": (str, None), "models": [LISTED], "notes": [str]}
GEMMA = "ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf"


@pytest.fixture
def tree(tmp_path: Path, splitter: Splitter, monkeypatch: pytest.MonkeyPatch) -> CacheTree:
    """All five layouts, where every whole single file is the example model."""
    tree = full_tree(tmp_path / "tree")
    example = Path(TINY).read_bytes()
    for path in tree.root.rglob("*"):
        if path.is_file() and path.read_bytes()[:4] == b"GGUF" and "-of-0" not in path.name:
            path.write_bytes(example)
    for name in ("LLAMA_CACHE", "HF_HOME", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "OLLAMA_MODELS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tree.home))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("PATH", f"{tree.environ['PATH']}{os.pathsep}{os.defpath}")
    monkeypatch.chdir(tree.cwd)
    return tree


def test_the_table(tree: CacheTree, splitter: Splitter) -> None:
    said = splitter("models", "--rig", "phoenix")
    print(said.out)
    assert said.code == 0, said.err
    rows = {line.split()[0]: line for line in said.out.splitlines()[1:]}
    for name, source in ((GEMMA, "llama.cpp"), ("mradermacher/copy-GGUF/copy.Q6_K.gguf", "Hugging Face"),
                         ("TheBloke/Old-GGUF/old.Q5_K_S.gguf", "LM Studio"), ("llama3.2:3b", "Ollama"),
                         ("Tiefighter-13B.Q4_K_S.gguf", "koboldcpp"), ("mine.gguf", "folder")):  # fmt: skip
        assert source in rows[name]
        assert "on GPUs" in rows[name]
        assert "t/s" in rows[name]
    assert "3 files" in rows["big/big-Q4_K_M-00001-of-00003.gguf"]


def test_json(tree: CacheTree, splitter: Splitter) -> None:
    said = splitter("models", "--rig", "phoenix", "--json")
    document = said.json()
    assert mistakes(document, {**ENVELOPE, "data": DATA}) == []
    assert (document["command"], document["status"], said.err) == ("models", "ok", "")
    fits = {item["name"]: item["fit"] for item in document["data"]["models"]}
    assert (fits["mine.gguf"], fits["llama3.2:latest"]) == ("gpu", "gpu")


def test_fits(tree: CacheTree, splitter: Splitter, tmp_path: Path) -> None:
    """A card with room, one without, and neither card nor RAM with room."""
    rig = tmp_path / "small.yaml"
    rig.write_text(
        "host: {ram_mib: 64, ram_free_mib: 1}\ndevices:\n  - {name: GT 1030, total_mib: 2048, free_mib: 200}\n"
    )
    fits = []
    for words in (("--rig", "phoenix"), ("--gpus", "gt 1030", "--margin", "2040"), ("--rig", str(rig))):
        (item,) = splitter("models", "mine", *words, "--json").json()["data"]["models"]
        fits.append((item["fit"], item["error"] and item["error"]["code"]))
    assert fits == [("gpu", None), ("cpu", None), ("no", "does_not_fit")]
    assert "does not fit" in splitter("models", "mine", "--rig", str(rig)).out


def test_help(splitter: Splitter) -> None:
    said = splitter("models", "--help")
    assert said.code == 0
    assert "splitter models qwen" in said.out


@pytest.mark.skipif(os.name == "nt", reason="Windows names are Unicode")
def test_names_that_steer_terminals(tree: CacheTree, splitter: Splitter) -> None:
    for name in (b"red\x1b[31m.gguf", b"latin\xff.gguf", b"two\nlines.gguf"):
        (tree.cwd / os.fsdecode(name)).write_bytes(Path(TINY).read_bytes())
    said = splitter("models", "--rig", "phoenix")
    assert said.code == 0, said.err
    assert "\x1b" not in said.out
    assert "\udcff" not in said.out
    assert len(splitter("models", "--json").json()["data"]["models"]) == 15


def test_without_a_device(tree: CacheTree, splitter: Splitter) -> None:
    said = splitter("models")
    assert said.code == 0
    assert "whether they fit is unknown" in said.err
    assert "Traceback" not in said.err
    data = splitter("models", "--json").json()["data"]
    assert data["rig"] is None
    assert {item["fit"] for item in data["models"]} == {None}
    assert len(data["models"]) == 12


def test_a_broken_file_spoils_only_its_row(tree: CacheTree, splitter: Splitter) -> None:
    (tree.cwd / "mine.gguf").write_bytes(Path(TINY).read_bytes()[:100_000])
    (tree.cwd / "page.gguf").write_bytes(b"<!doctype html>")
    (tree.cwd / "big" / "big-Q4_K_M-00002-of-00003.gguf").unlink()
    said = splitter("models", "--rig", "phoenix")
    assert said.code == 0
    assert "mine.gguf: mine.gguf" in said.out.replace(str(tree.cwd) + "/", "")
    assert "is a web page, not a GGUF model" in said.out
    assert "Part 2 of 3 of the split model is missing" in said.out.replace("\n", " ")
    assert said.out.count("on GPUs") >= 9


def test_only_some(tree: CacheTree, splitter: Splitter) -> None:
    items = splitter("models", "LLAMA3", "--json").json()["data"]["models"]
    assert [item["name"] for item in items] == ["llama3.2:3b", "llama3.2:latest"]
    assert "No models found" in splitter("models", "nothing-like-it").out


@pytest.mark.parametrize(
    "name", ["llama3.2:3b", "gemma-3-1b-it-Q4_K_M", "TheBloke/Old-GGUF:Q5_K_S", "Tiefighter-13B.Q4_K_S.gguf"]
)
def test_names_are_models(tree: CacheTree, splitter: Splitter, name: str) -> None:
    expected = splitter("plan", TINY, "--rig", "phoenix", "--json").json()["data"]["settings"]
    said = splitter("plan", name, "--rig", "phoenix", "--json")
    assert said.code == 0, said.out
    assert said.json()["data"]["settings"] == expected
    assert Path(said.json()["data"]["model"]["path"]).is_file()
    assert splitter("inspect", name, "--json").code == 0
    assert splitter("check", name, "-ngl", "99", "-c", "1024", "--rig", "phoenix", "--json").code == 0


def test_unknown_name(tree: CacheTree, splitter: Splitter) -> None:
    said = splitter("plan", "tiefighter", "--rig", "phoenix")
    assert said.code == 1
    assert "Tiefighter-13B.Q4_K_S.gguf" in said.err


def test_fit_asks_what_waits_in_ram() -> None:
    """The override that turns the pipeline off moves no tensor: such a plan is on the GPUs."""
    on = rig(card(0, 900, 300), card(1, 900, 310))
    found = plan(model(24), on, context_size=4096, ubatch_size=512, device_order=("CUDA0", "CUDA1"))
    off = replace(found, settings=replace(found.settings, override_tensors=(PIPELINE_OFF,)))
    assert found.placement.layers[0] is not None
    assert fit_of(off) == "gpu"
    moved = replace(found, settings=replace(found.settings, override_tensors=(PIPELINE_OFF, "ffn_down=CPU")))
    assert fit_of(moved) == "partly"
