import json
from pathlib import Path

import pytest

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.found import find_models
from splitter.model.load import load_model
from splitter.model.locate import locate
from tests.model.cache_tree import COMMIT, CacheTree, copy_without_links, full_tree, model_bytes

GEMMA = "ggml-org_gemma-3-1b-it-GGUF_gemma-3-1b-it-Q4_K_M.gguf"
QWEN = "unsloth/Qwen3-30B-A3B-GGUF/Qwen3-30B-A3B-Q4_K_M.gguf"
EXPECTED = {
    ("llama.cpp", GEMMA, 1),
    ("Hugging Face", "mradermacher/copy-GGUF/copy.Q6_K.gguf", 1),
    ("Hugging Face", "unsloth/Qwen3-30B-A3B-GGUF/BF16/Qwen3-30B-A3B-BF16-00001-of-00002.gguf", 2),
    ("Hugging Face", QWEN, 1),
    ("LM Studio", "lmstudio-community/Llama-3.2-1B-Instruct-GGUF/Llama-3.2-1B-Instruct-Q8_0.gguf", 1),
    ("LM Studio", "TheBloke/Old-GGUF/old.Q5_K_S.gguf", 1),
    ("Ollama", "hf.co/bartowski/Tiny-GGUF:Q4_K_M", 1),
    ("Ollama", "llama3.2:3b", 1),
    ("Ollama", "llama3.2:latest", 1),
    ("koboldcpp", "Tiefighter-13B.Q4_K_S.gguf", 1),
    ("folder", "big/big-Q4_K_M-00001-of-00003.gguf", 3),
    ("folder", "mine.gguf", 1),
}


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return full_tree(tmp_path / "tree")


def names(tree: CacheTree) -> list[str]:
    return [model.name for model in find_models(tree.around).models]


def test_all_layouts(tree: CacheTree) -> None:
    found = find_models(tree.around)
    for model in found.models:
        print(f"{model.source:13} {model.name:75} {model.parts} {model.size_bytes:6}")
    assert {(model.source, model.name, model.parts) for model in found.models} == EXPECTED
    assert len(found.models) == len(EXPECTED)
    assert found.notes == ()


def test_what_is_found_can_be_loaded(tree: CacheTree) -> None:
    for model in find_models(tree.around).models:
        facts = load_model(model.path)
        assert (facts.layers, facts.file_bytes) == (2, model.size_bytes), model.name


def test_without_links(tree: CacheTree, tmp_path: Path) -> None:
    copied = copy_without_links(tree, tmp_path / "windows")
    assert {(model.source, model.name, model.parts) for model in find_models(copied.around).models} == EXPECTED


def test_variables_move_the_caches(tmp_path: Path) -> None:
    tree = CacheTree(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    tree.hub(elsewhere / "llama", "a/new", "new-Q4_0.gguf")
    tree.model(elsewhere / "llama" / "a_old_old-Q4_0.gguf")
    tree.hub(elsewhere / "hubcache", "a/one", "one-Q4_0.gguf")
    tree.hub(elsewhere / "hfhome" / "hub", "a/two", "two-Q4_0.gguf")
    tree.hub(elsewhere / "xdg" / "huggingface" / "hub", "a/three", "three-Q4_0.gguf")
    tree.model(elsewhere / "xdg" / "llama.cpp" / "a_four_four-Q4_0.gguf")
    digest = tree.blob(elsewhere / "ollama", model_bytes())
    tree.ollama(elsewhere / "ollama", "registry.ollama.ai/someone/five/latest", digest)
    tree.environ.update(
        LLAMA_CACHE=str(elsewhere / "llama"), HF_HUB_CACHE=str(elsewhere / "hubcache"),
        HF_HOME=str(elsewhere / "hfhome"), XDG_CACHE_HOME=str(elsewhere / "xdg"),
        OLLAMA_MODELS=str(elsewhere / "ollama"),
    )  # fmt: skip
    assert names(tree) == [
        "a/new/new-Q4_0.gguf", "a_old_old-Q4_0.gguf", "a_four_four-Q4_0.gguf", "a/one/one-Q4_0.gguf",
        "a/two/two-Q4_0.gguf", "a/three/three-Q4_0.gguf", "someone/five:latest",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("system", "variable", "folder"),
    [("windows", "LOCALAPPDATA", "AppData/Local/llama.cpp"), ("windows", "", "AppData/Local/llama.cpp"),
     ("macos", "", "Library/Caches/llama.cpp"), ("linux", "", ".cache/llama.cpp")],
)  # fmt: skip
def test_llama_cpp_per_system(tmp_path: Path, system: str, variable: str, folder: str) -> None:
    tree = CacheTree(tmp_path, os=system)
    place = (tmp_path / "moved" / "llama.cpp") if variable else tree.home / folder
    if variable:
        tree.environ[variable] = str(tmp_path / "moved")
    tree.model(place / "o_r_m.gguf")
    assert names(tree) == ["o_r_m.gguf"]


def test_ollama_beside_the_user(tmp_path: Path) -> None:
    """The service's own store, and Ollama 0.40: manifests-v2, a list with one manifest per runner, cloud models."""
    tree = CacheTree(tmp_path)
    store = tmp_path / "shared-ollama"
    original, converted = tree.blob(store, model_bytes()), tree.blob(store, model_bytes() + b"c")
    children = []
    for runner, digest in (("mlx", original), ("llamacpp", converted), ("ggml", original)):
        child = tree.ollama(store, "child", digest)
        children.append({"digest": tree.blob(store, child.read_bytes()), "runner": runner})
        child.unlink()
    tree.file(store / "manifests-v2/ollama.com/library/qwen3/8b", json.dumps({"manifests": children}).encode())
    tree.ollama(store, "registry.ollama.ai/library/qwen3/8b", converted)
    tree.ollama(store, "registry.ollama.ai/library/older/1b", converted)
    tree.file(store / "manifests/registry.ollama.ai/library/cloud/480b", b'{"layers": []}')
    tree.file(store / "manifests/registry.ollama.ai/library/broken/1b", b"{")
    tree.file(store / "manifests/registry.ollama.ai/library/odd/1b", b"[1]")
    tree.ollama(store, "registry.ollama.ai/library/hostile/1b", "sha256:../../../../etc/passwd")
    found = {model.name: model.path for model in find_models(tree.around).models}
    blobs = store / "blobs"
    assert found == {
        "qwen3:8b": str(blobs / original.replace(":", "-")),
        "older:1b": str(blobs / converted.replace(":", "-")),
    }


def test_lm_studio_moved(tmp_path: Path) -> None:
    tree = CacheTree(tmp_path)
    tree.file(tree.home / ".lmstudio-home-pointer", f"{tmp_path / 'studio'}\n".encode())
    tree.model(tmp_path / "studio" / "models" / "o" / "r" / "a.gguf")
    settings = json.dumps({"downloadsFolder": str(tmp_path / "big disk")}).encode()
    tree.file(tmp_path / "studio" / "settings.json", settings)
    tree.model(tmp_path / "big disk" / "o" / "r" / "b.gguf")
    tree.file(tree.home / ".lmstudio" / "settings.json", b"not JSON")
    assert names(tree) == ["o/r/a.gguf", "o/r/b.gguf"]


def test_a_file_in_two_caches_is_one_model(tree: CacheTree) -> None:
    before = len(names(tree))
    link = tree.home / ".lmstudio" / "models" / "unsloth" / "Qwen3-30B-A3B-GGUF" / "Qwen3-30B-A3B-Q4_K_M.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(locate(QWEN, tree.around))
    assert len(names(tree)) == before


def test_walks_end(tmp_path: Path) -> None:
    tree = CacheTree(tmp_path)
    studio = tree.home / ".lmstudio" / "models"
    tree.model(studio / "a" / "b" / "c.gguf")
    (studio / "a" / "loop").symlink_to(studio)
    tree.model(studio / "1" / "2" / "3" / "4" / "too-deep.gguf")
    (tree.home / ".ollama" / "models").mkdir(parents=True)
    (tree.home / ".ollama" / "models" / "manifests").symlink_to("manifests")
    found = find_models(tree.around)
    assert [model.name for model in found.models] == ["a/b/c.gguf"]
    assert [note.rsplit("/", 1)[-1] for note in found.notes] == [
        "manifests cannot be read: Too many levels of symbolic links"
    ]


def test_many_files_are_not_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree = CacheTree(tmp_path)
    for number in range(30):
        tree.model(tree.cwd / f"{number:02}.gguf")
    monkeypatch.setattr("splitter.model.found.ENTRIES_LIMIT", 10)
    found = find_models(tree.around)
    assert len(found.models) == 10
    assert "more than 10 files" in found.notes[0]


@pytest.mark.parametrize(
    ("reference", "name"),
    [
        (GEMMA, GEMMA),
        ("gemma-3-1b-it-Q4_K_M.gguf", GEMMA),
        ("gemma-3-1b-it-Q4_K_M", GEMMA),
        ("ggml-org/gemma-3-1b-it-GGUF", GEMMA),
        ("ggml-org/gemma-3-1b-it-GGUF:q4_k_m", GEMMA),
        (QWEN, QWEN),
        ("Qwen3-30B-A3B-Q4_K_M.gguf", QWEN),
        ("qwen3-30b-a3b-q4_k_m", QWEN),
        ("unsloth/Qwen3-30B-A3B-GGUF:Q4_K_M", QWEN),
        ("Qwen3-30B-A3B-GGUF:BF16", "unsloth/Qwen3-30B-A3B-GGUF/BF16/Qwen3-30B-A3B-BF16-00001-of-00002.gguf"),
        ("Qwen3-30B-A3B-BF16", "unsloth/Qwen3-30B-A3B-GGUF/BF16/Qwen3-30B-A3B-BF16-00001-of-00002.gguf"),
        ("llama3.2", "llama3.2:latest"),
        ("llama3.2:3b", "llama3.2:3b"),
        ("hf.co/bartowski/Tiny-GGUF:Q4_K_M", "hf.co/bartowski/Tiny-GGUF:Q4_K_M"),
        ("TheBloke/Old-GGUF", "TheBloke/Old-GGUF/old.Q5_K_S.gguf"),
        ("Tiefighter-13B.Q4_K_S", "Tiefighter-13B.Q4_K_S.gguf"),
        ("big-Q4_K_M", "big/big-Q4_K_M-00001-of-00003.gguf"),
    ],
)
def test_names(tree: CacheTree, reference: str, name: str) -> None:
    paths = {model.name: model.path for model in find_models(tree.around).models}
    assert locate(reference, tree.around) == paths[name]


def test_several_models_are_named(tree: CacheTree) -> None:
    with pytest.raises(ModelError, match="unsloth/Qwen3-30B-A3B-GGUF could mean 2 models") as caught:
        locate("unsloth/Qwen3-30B-A3B-GGUF", tree.around)
    assert "BF16/Qwen3-30B-A3B-BF16-00001-of-00002.gguf (Hugging Face), " in caught.value.hint


def test_no_model_of_that_name(tree: CacheTree) -> None:
    with pytest.raises(ModelNotFoundError, match=r"There is no file qwen3-30b-q4\.") as caught:
        locate("qwen3-30b-q4", tree.around)
    assert "Nearest in the caches: " in caught.value.hint
    assert QWEN in caught.value.hint
    with pytest.raises(ModelNotFoundError) as caught:
        locate("zzzzzzzz", tree.around)
    assert "`splitter models` lists" in caught.value.hint


@pytest.mark.parametrize("path", ["./mine.gguf", "/mine.gguf", "~/mine.gguf", "../mine.gguf", "C:\\mine.gguf", "a\\b"])
def test_paths_are_not_looked_up(tree: CacheTree, path: str) -> None:
    assert locate(path, tree.around) == path


def test_what_is_here_comes_first(tree: CacheTree, monkeypatch: pytest.MonkeyPatch) -> None:
    tree.model(tree.cwd / "Tiefighter-13B.Q4_K_S.gguf")
    monkeypatch.chdir(tree.cwd)
    assert locate("Tiefighter-13B.Q4_K_S.gguf", tree.around) == "Tiefighter-13B.Q4_K_S.gguf"


def test_remote_references_stay(tree: CacheTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    for reference in ("hf:unsloth/Qwen3-30B-A3B-GGUF", "https://host/x.gguf", "HF:a/b", ""):
        assert locate(reference, tree.around) == reference


def test_offline_the_hub_is_its_cache(tree: CacheTree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    path = locate("hf:unsloth/Qwen3-30B-A3B-GGUF/Qwen3-30B-A3B-Q4_K_M.gguf", tree.around)
    assert COMMIT in path
    with pytest.raises(ModelNotFoundError, match="not in the caches, and HF_HUB_OFFLINE is set"):
        locate("hf:unsloth/Qwen3-235B-GGUF", tree.around)
