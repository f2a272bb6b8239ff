from collections.abc import Iterator
from pathlib import Path

import pytest

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.hub import list_gguf_files, resolve
from splitter.model.hub_reference import HubReference, RepoFile, choose_file, model_files, parse_hub_reference
from splitter.model.load import load_model
from tests.model.gguf_files import write_model
from tests.model.http_server import Site, serve

TREE = "/api/models/owner/repo-GGUF/tree/main?recursive=true"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A stand-in for the Hub that holds owner/repo-GGUF with one model."""
    folder = tmp_path / "owner" / "repo-GGUF" / "resolve" / "main"
    folder.mkdir(parents=True)
    write_model(folder / "tiny Q8.gguf")
    with serve(tmp_path) as site:
        monkeypatch.setenv("HF_ENDPOINT", site.url + "/")
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield site


def files(*names: str) -> list[dict[str, object]]:
    return [{"type": "file", "path": name, "size": 10 * len(name)} for name in names]


def test_file_of_a_repository(hub: Site) -> None:
    facts = load_model("hf:owner/repo-GGUF/tiny Q8.gguf")
    assert (facts.layers, facts.path) == (2, "hf:owner/repo-GGUF/tiny Q8.gguf")
    assert hub.requests[0][0] == "/owner/repo-GGUF/resolve/main/tiny%20Q8.gguf"
    assert hub.requests[0][2] == "Bearer hf_test"


def test_the_only_gguf_is_taken(hub: Site) -> None:
    hub.documents[TREE] = (files("README.md", "tiny Q8.gguf", "mmproj-F16.gguf", "imatrix.gguf"), "")
    assert load_model("hf:owner/repo-GGUF").layers == 2


def test_several_are_named(hub: Site) -> None:
    hub.documents[TREE] = (
        files("b-Q4_K_M.gguf", "a-Q8_0.gguf", "BF16/c-00001-of-00002.gguf", "BF16/c-00002-of-00002.gguf"),
        "",
    )
    with pytest.raises(ModelError, match="owner/repo-GGUF holds 3 GGUF models") as caught:
        load_model("hf:owner/repo-GGUF")
    assert caught.value.hint == (
        "Name one, as hf:owner/repo-GGUF/FILE: BF16/c-00001-of-00002.gguf, a-Q8_0.gguf, b-Q4_K_M.gguf."
    )


def test_none_is_an_error(hub: Site) -> None:
    hub.documents[TREE] = (files("model.safetensors"), "")
    with pytest.raises(ModelNotFoundError, match="holds no GGUF model"):
        load_model("hf:owner/repo-GGUF")


def test_listing_follows_pages_and_distrusts_entries(hub: Site) -> None:
    entries: list[object] = [
        *files("a.gguf"),
        "x",
        {"type": "directory", "path": "d.gguf"},
        {"type": "file", "path": 3},
    ]
    hub.documents[TREE] = (entries, f'<{hub.url}/page2>; rel="next"')
    hub.documents["/page2"] = (files("B.GGUF"), "")
    assert list_gguf_files("owner/repo-GGUF") == (RepoFile("B.GGUF", 60), RepoFile("a.gguf", 60))


def test_endless_pages_end(hub: Site) -> None:
    hub.documents[TREE] = (files("a.gguf"), f'<{hub.url}{TREE}>; rel="next"')
    list_gguf_files("owner/repo-GGUF")
    assert len(hub.requests) == 50


def test_a_listing_that_is_none(hub: Site) -> None:
    hub.documents[TREE] = ({"error": "x"}, "")
    with pytest.raises(ModelError, match="not what the Hub sends"):
        list_gguf_files("owner/repo-GGUF")


def test_gated_repository(hub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.needs_token = "another"
    with pytest.raises(ModelError, match=r"refuses access to tiny Q8\.gguf \(HTTP 401\)") as caught:
        load_model("hf:owner/repo-GGUF/tiny Q8.gguf")
    assert "hf auth login" in caught.value.hint
    assert "hf_test" not in caught.value.message + caught.value.hint
    monkeypatch.setenv("HF_TOKEN", "another")
    assert load_model("hf:owner/repo-GGUF/tiny Q8.gguf").layers == 2


def test_absent_repository_and_file(hub: Site) -> None:
    hub.status["/api/models/owner/nope/tree/main"] = (401, "RepoNotFound")
    with pytest.raises(ModelNotFoundError, match=r"hf:owner/nope was not found at 127\.0\.0\.1: the repository does"):
        load_model("hf:owner/nope")
    with pytest.raises(ModelNotFoundError, match="there is no such file"):
        load_model("hf:owner/repo-GGUF/other.gguf")


def test_the_token_goes_to_the_hub_only(hub: Site, tmp_path: Path) -> None:
    with serve(tmp_path) as elsewhere:
        load_model(f"{elsewhere.url}/owner/repo-GGUF/resolve/main/tiny%20Q8.gguf")
        assert [request[2] for request in elsewhere.requests] == [""]


def test_a_page_copied_from_the_browser(hub: Site) -> None:
    facts = load_model(f"{hub.url}/owner/repo-GGUF/blob/main/tiny%20Q8.gguf")
    assert facts.layers == 2
    assert hub.requests[0][0] == "/owner/repo-GGUF/resolve/main/tiny%20Q8.gguf"


def test_offline(hub: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        load_model("hf:owner/repo-GGUF")
    assert hub.requests == []


def test_urls_are_the_hubs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    assert resolve("hf:o/r/d/f.gguf@refs/pr/1") == "https://huggingface.co/o/r/resolve/refs%2Fpr%2F1/d/f.gguf"


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ("hf:a/b", HubReference("a/b")),
        ("HF:a/b.c-d/x/y.gguf", HubReference("a/b.c-d", "x/y.gguf")),
        ("hf://a/b/x.gguf", HubReference("a/b", "x.gguf")),
        ("hf:a/b@v1", HubReference("a/b", None, "v1")),
        ("hf:a/b/x.gguf@refs/pr/2", HubReference("a/b", "x.gguf", "refs/pr/2")),
    ],
)
def test_references(reference: str, expected: HubReference) -> None:
    assert parse_hub_reference(reference) == expected


@pytest.mark.parametrize(
    "reference",
    ["hf:", "hf:a", "hf:a/", "hf:a/b/", "hf:a/b/../../c", "hf:a/b//c", "hf:../b", "hf:a b/c", "hf:a/b@", "hf:a/\x1b"],
)
def test_references_that_are_none(reference: str) -> None:
    with pytest.raises(ModelError, match="does not name a Hugging Face model"):
        parse_hub_reference(reference)


def test_many_choices_are_cut() -> None:
    many = [RepoFile(f"{i:02d}.gguf", None) for i in range(30)]
    assert len(model_files(many)) == 30
    with pytest.raises(ModelError, match="holds 30 GGUF models") as caught:
        choose_file(HubReference("a/b"), many)
    assert caught.value.hint.endswith("19.gguf and 10 more.")
