"""The quant advisor over a stand-in Hub and over a folder: what this rig would get from each quantisation."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Splitter
from tests.engine.skeletons import llama
from tests.model.http_server import Site, serve

REPO = "owner/eight-billion-GGUF"
TREE = f"/api/models/{REPO}/tree/main?recursive=true"
# llama.cpp's number of a file type, and the shape of an 8B model, whose weights are a hole.
KINDS = {"F16": ("F16", 1), "Q8_0": ("Q8_0", 7), "Q6_K": ("Q6_K", 18), "Q4_K_M": ("Q4_K_M", 15), "Q2_K": ("Q2_K", 10)}
SHAPE = (32, 4096, 14336, 32, 8, 128256)


def write_quantisations(folder: Path, shape: tuple[int, int, int, int, int, int] = SHAPE) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (quant, number) in KINDS.items():
        model = llama(f"eight-{name}", shape, quant)
        model.writer.add_uint32("general.file_type", number)
        model.write(folder)
    return [f"eight-{name}.gguf" for name in KINDS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hub")
    write_quantisations(root / REPO / "resolve" / "main")
    return root


@pytest.fixture
def hub(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    with serve(folder) as site:
        names = [f"eight-{name}.gguf" for name in KINDS] + ["mmproj-F16.gguf", "README.md", "eight-broken.gguf"]
        site.documents[TREE] = ([{"type": "file", "path": name, "size": 10} for name in names], "")
        site.status[f"/{REPO}/resolve/main/eight-broken.gguf"] = (404, "EntryNotFound")
        monkeypatch.setenv("HF_ENDPOINT", site.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield site


def plan(splitter: Splitter, *words: str, code: int = 0) -> dict[str, object]:
    said = splitter("plan", *words, "--engine-version", "11434", "--json")
    assert said.code == code, said.err
    document = json.loads(said.out)
    assert document["status"] == ("ok" if code == 0 else "does_not_fit")
    data: dict[str, object] = document["data"]
    return data


def by_kind(data: dict[str, object]) -> dict[str, dict[str, object]]:
    files = data["files"]
    assert isinstance(files, list)
    return {file["file"].removeprefix("eight-").removesuffix(".gguf"): file for file in files}


def test_a_repository_is_ranked_by_what_the_rig_gets(splitter: Splitter, hub: Site) -> None:
    data = plan(splitter, f"hf:{REPO}", "--rig", "phoenix")
    files = by_kind(data)
    assert {name: file["quality"] for name, file in files.items()} == {
        "F16": "near-lossless",
        "Q8_0": "near-lossless",
        "Q6_K": "near-lossless",
        "Q4_K_M": "good",
        "Q2_K": "degraded",
        "broken": None,
    }
    assert data["repository"] == REPO
    assert data["recommended"] == "eight-Q6_K.gguf"  # Q8_0 fits too, but loses more than a fifth of the speed
    assert "eight-Q8_0.gguf would be" in str(data["reason"])
    assert (files["F16"]["fits"], files["F16"]["on_gpus"]) == (True, False)
    assert files["Q4_K_M"]["gpu_layers"] == files["Q4_K_M"]["layers"] == 33
    assert files["Q4_K_M"]["context_size"] == 8192
    speeds = [files[name]["generation_tokens_per_s"] for name in ("Q2_K", "Q4_K_M", "Q6_K", "Q8_0", "F16")]
    assert speeds == sorted(speeds, reverse=True)  # type: ignore[type-var]
    error = files["broken"]["error"]
    assert isinstance(error, dict)
    assert (error["code"], files["broken"]["fits"]) == ("model_not_found", None)


def test_each_is_what_plan_says_of_it_alone(splitter: Splitter, hub: Site) -> None:
    files = by_kind(plan(splitter, f"hf:{REPO}", "--gpus", "1660 super", "-c", "4096"))
    alone = plan(splitter, f"hf:{REPO}/eight-Q4_K_M.gguf", "--gpus", "1660 super", "-c", "4096")
    speed, settings = alone["speed"], alone["settings"]
    assert isinstance(speed, dict)
    assert isinstance(settings, dict)
    assert files["Q4_K_M"]["generation_tokens_per_s"] == speed["generation_tokens_per_s"]
    assert (files["Q4_K_M"]["gpu_layers"], files["Q4_K_M"]["context_size"]) == (settings["gpu_layers"], 4096)


def test_only_headers_are_read(splitter: Splitter, hub: Site) -> None:
    plan(splitter, f"hf:{REPO}", "--rig", "phoenix")
    assert hub.sent_bytes < 8 << 20
    assert {path.rsplit("/", 1)[-1] for path, wanted, _ in hub.requests if wanted} == {
        *(f"eight-{name}.gguf" for name in KINDS),
        "eight-broken.gguf",
    }


def test_a_card_that_holds_nothing_of_it_takes_no_file(splitter: Splitter, hub: Site) -> None:
    data = plan(splitter, f"hf:{REPO}", "--gpus", "1050ti", "-ngl", "all", "-c", "65536", code=3)
    assert data["recommended"] is None
    assert {file["fits"] for name, file in by_kind(data).items() if name != "broken"} == {False}


def test_the_table(splitter: Splitter, hub: Site) -> None:
    said = splitter("plan", f"hf:{REPO}", "--rig", "phoenix", "--engine-version", "11434")
    assert said.code == 0
    assert "recommended: eight-Q6_K.gguf: near-lossless, runs on the GPUs alone" in said.out
    assert f"splitter plan hf:{REPO}/eight-Q6_K.gguf" in said.out
    assert "eight-broken.gguf:" in said.out
    rows = [line for line in said.out.splitlines() if line.startswith("eight-")]
    assert rows[0].split()[0] == "eight-Q6_K.gguf"


def test_nothing_readable_is_an_error(splitter: Splitter, hub: Site) -> None:
    for name in KINDS:
        hub.status[f"/{REPO}/resolve/main/eight-{name}.gguf"] = (404, "EntryNotFound")
    said = splitter("plan", f"hf:{REPO}", "--rig", "phoenix", "--json")
    assert said.code == 1
    assert "None of the 6 models" in said.json()["errors"][0]["message"]


def test_a_folder_of_quantisations(splitter: Splitter, folder: Path) -> None:
    data = plan(splitter, str(folder / REPO / "resolve" / "main"), "--rig", "phoenix")
    assert data["recommended"] == "eight-Q6_K.gguf"


def test_a_folder_of_different_models_is_ranked_without_advice(splitter: Splitter, tmp_path: Path) -> None:
    write_quantisations(tmp_path)
    llama("other-Q8_0", (16, 2048, 8192, 16, 4, 32000), "Q8_0").write(tmp_path)
    data = plan(splitter, str(tmp_path), "--rig", "phoenix")
    assert data["recommended"] is None
    assert "different models" in str(data["reason"])


def test_an_empty_folder(splitter: Splitter, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    said = splitter("plan", str(tmp_path / "empty"), "--rig", "phoenix")
    assert (said.code, "holds no GGUF model" in said.err) == (1, True)
