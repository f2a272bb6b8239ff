"""Downloads from a stand-in Hub with the real huggingface-hub: room, progress, going on, refusals."""

import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.fetch import fetch, fetched, size_here
from splitter.model.found import find_models
from splitter.model.load import load_model
from tests.model.cache_tree import model_bytes
from tests.model.gguf_files import write_model
from tests.model.hub_server import COMMIT, Hub, serve_hub

BIG = model_bytes() + bytes(2_000_000)
NAME = "tiny-Q8_0.gguf"
REFERENCE = f"hf:owner/repo-GGUF/{NAME}"
Usage = namedtuple("Usage", "total used free")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with serve_hub({NAME: BIG, "mmproj-F16.gguf": b"GGUF", "README.md": b"#"}) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", "hf_test")
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr(time, "sleep", lambda _: None)
        yield hub


def partial(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "hub" / "models--owner--repo-GGUF" / "blobs").glob("*.incomplete")
    return found


def test_download_fills_the_hubs_own_cache(hub: Hub, tmp_path: Path) -> None:
    path = Path(fetch("hf:owner/repo-GGUF"))
    assert path == tmp_path / "hub" / "models--owner--repo-GGUF" / "snapshots" / COMMIT / NAME
    assert path.read_bytes() == BIG
    assert path.is_symlink()
    assert (tmp_path / "hub" / "models--owner--repo-GGUF" / "refs" / "main").read_text() == COMMIT
    assert hub.tokens == {"Bearer hf_test"}
    assert load_model(str(path)).layers == 2
    before = hub.sent_bytes
    assert fetch(REFERENCE) == str(path)
    assert hub.sent_bytes - before < 1000


def test_the_hubs_own_tools_agree(hub: Hub, tmp_path: Path) -> None:
    from huggingface_hub import scan_cache_dir, try_to_load_from_cache

    path = fetch(REFERENCE)
    cache = tmp_path / "hub"
    assert try_to_load_from_cache("owner/repo-GGUF", NAME, cache_dir=cache) == path
    (repo,) = scan_cache_dir(cache).repos
    assert (repo.repo_id, repo.size_on_disk) == ("owner/repo-GGUF", len(BIG))
    assert scan_cache_dir(cache).warnings == []


def test_progress_counts_every_byte(hub: Hub) -> None:
    said: list[tuple[int, int]] = []
    fetch(REFERENCE, lambda here, total: said.append((here, total)))
    assert said[0] == (0, len(BIG))
    assert said[-1] == (len(BIG), len(BIG))
    assert [here for here, _ in said] == sorted(here for here, _ in said)


def test_nothing_is_printed(hub: Hub, capfd: pytest.CaptureFixture[str]) -> None:
    fetch(REFERENCE)
    assert capfd.readouterr() == ("", "")


def test_a_broken_line_is_mended(hub: Hub) -> None:
    hub.cut_after = 500_000
    assert Path(fetch(REFERENCE)).read_bytes() == BIG
    assert [wanted for _, wanted in hub.ranges] == ["", *(f"bytes={n * 500_000}-" for n in range(1, 5))]


def test_an_ended_download_is_kept_and_goes_on(hub: Hub, tmp_path: Path) -> None:
    hub.cut_after = 0
    with pytest.raises(ModelError, match="connection broke at 0 B of 2 MiB") as caught:
        fetch(REFERENCE)
    assert "continues where this one ended" in caught.value.hint
    partial(tmp_path).write_bytes(BIG[:700_000])
    hub.cut_after, said = None, []
    hub.ranges.clear()
    path = Path(fetch(REFERENCE, lambda here, total: said.append((here, total))))
    assert hub.ranges == [(NAME, "bytes=700000-")]
    assert said[0] == (700_000, len(BIG))
    assert said[-1] == (len(BIG), len(BIG))
    assert path.read_bytes() == BIG


def test_ctrl_c_keeps_what_has_arrived(hub: Hub, tmp_path: Path) -> None:
    """A real process that gets SIGINT in the middle of the download."""
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, REFERENCE],
        env={**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "HF_ENDPOINT": hub.url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    kept = partial(tmp_path).stat().st_size
    assert 0 < kept < len(BIG)
    assert partial(tmp_path).read_bytes() == BIG[:kept]
    hub.ranges.clear()
    assert Path(fetch(REFERENCE)).read_bytes() == BIG
    assert hub.ranges == [(NAME, f"bytes={kept}-")]


INTERRUPTED = f"""
import os, signal, sys
from splitter.model.fetch import fetch
def stop(here, total):
    if here > {len(BIG) // 2}:
        signal.raise_signal(signal.SIGINT)
try:
    fetch(sys.argv[1], stop)
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_a_foreign_beginning_is_noticed(hub: Hub, tmp_path: Path) -> None:
    half_here(hub, tmp_path)
    partial(tmp_path).write_bytes(bytes(700_000))
    with pytest.raises(ModelError, match="arrived damaged and was removed"):
        fetch(REFERENCE)
    assert Path(fetch(REFERENCE)).read_bytes() == BIG


def test_a_file_that_is_not_what_the_hub_says(hub: Hub, tmp_path: Path) -> None:
    """Whole at the first try, resumed, and as a part of a split set: each is compared and removed."""
    hub.etags[NAME] = "ab" * 32
    with pytest.raises(ModelError, match="arrived damaged and was removed: its checksum is not the Hub's") as caught:
        fetch(REFERENCE)
    assert (caught.value.exit_code, "again" in caught.value.hint) == (1, True)
    assert [path for path in (tmp_path / "hub").rglob("*") if path.is_file() and path.suffix != ".lock"] == []


def test_a_damaged_part_of_a_split_set(hub: Hub, tmp_path: Path) -> None:
    write_model(tmp_path / "set.gguf", split_max_tensors=4)
    hub.files.update({part.name: part.read_bytes() for part in sorted(tmp_path.glob("set-*.gguf"))})
    hub.etags["set-00002-of-00002.gguf"] = "cd" * 32
    with pytest.raises(ModelError, match=r"set-00002-of-00002\.gguf arrived damaged"):
        fetch("hf:owner/repo-GGUF/set-00001-of-00002.gguf")


def test_small_files_have_gits_hash(hub: Hub) -> None:
    """As `git hash-object` makes it: SHA-1 of "blob SIZE NUL DATA"."""
    data = hub.files[NAME]
    hub.etags[NAME] = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    said: list[str] = []
    assert Path(fetch(REFERENCE, None, said.append)).read_bytes() == data
    assert said == []


def test_small_files_are_compared_with_gits_hash(hub: Hub) -> None:
    hub.etags[NAME] = "ef" * 20
    with pytest.raises(ModelError, match="arrived damaged"):
        fetch(REFERENCE)


def test_a_mirror_without_checksums_is_told(hub: Hub) -> None:
    hub.etags[NAME] = "0a" * 16
    said: list[str] = []
    assert Path(fetch(REFERENCE, None, said.append)).read_bytes() == BIG
    assert said == [f"{REFERENCE}: the server names no checksum, only the size was checked"]


def half_here(hub: Hub, tmp_path: Path) -> None:
    """Leaves the first 700000 bytes of the file behind, as an interrupted download does."""
    hub.cut_after = 0
    with pytest.raises(ModelError):
        fetch(REFERENCE)
    partial(tmp_path).write_bytes(BIG[:700_000])
    hub.cut_after = None
    hub.ranges.clear()


def test_a_server_without_ranges_begins_anew(hub: Hub, tmp_path: Path) -> None:
    half_here(hub, tmp_path)
    hub.no_ranges = True
    said: list[int] = []
    assert Path(fetch(REFERENCE, lambda here, _: said.append(here))).read_bytes() == BIG
    assert (said[0], said[1], said[-1]) == (700_000, 0, len(BIG))


def test_a_server_that_answers_another_range(hub: Hub, tmp_path: Path) -> None:
    half_here(hub, tmp_path)
    hub.shift = 5
    with pytest.raises(ModelError, match="a different range"):
        fetch(REFERENCE)
    assert partial(tmp_path).read_bytes() == BIG[:700_000]


def test_a_file_longer_than_it_says(hub: Hub, tmp_path: Path) -> None:
    hub.claimed[NAME] = 1000
    with pytest.raises(ModelError, match="is longer than its size of 1000 bytes and was removed"):
        fetch(REFERENCE)
    assert list((tmp_path / "hub" / "models--owner--repo-GGUF" / "blobs").iterdir()) == []


def test_two_at_once_download_once(hub: Hub, tmp_path: Path) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(2) as pool:
        paths = set(pool.map(fetch, [REFERENCE, REFERENCE]))
    assert len(paths) == 1
    assert [wanted for _, wanted in hub.ranges] == [""]


def test_too_little_room(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, 1_500_000))
    with pytest.raises(ModelError, match=r"needs 2 MiB more on the disk of .*, which has 1 MiB free") as caught:
        fetch(REFERENCE)
    assert "HF_HOME" in caught.value.hint
    assert hub.ranges == []


def test_room_counts_only_what_is_missing(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    half_here(hub, tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: Usage(0, 0, len(BIG) - 700_000))
    assert Path(fetch(REFERENCE)).read_bytes() == BIG


def test_a_model_no_disk_can_hold(hub: Hub) -> None:
    """The true shutil.disk_usage against a file of an exabyte."""
    hub.claimed[NAME] = 10**18
    with pytest.raises(ModelError, match=r"needs 931322575 GiB more on the disk"):
        fetch(REFERENCE)
    assert hub.ranges == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
def test_a_disk_that_fills_up(hub: Hub, tmp_path: Path) -> None:
    half_here(hub, tmp_path)
    file = partial(tmp_path)
    file.unlink()
    file.symlink_to("/dev/full")
    with pytest.raises(ModelError, match="The disk became full while hf:owner/repo-GGUF/tiny"):
        fetch(REFERENCE)


def test_split_sets_come_whole(hub: Hub, tmp_path: Path) -> None:
    write_model(tmp_path / "set.gguf", split_max_tensors=4)
    parts = sorted(tmp_path.glob("set-*.gguf"))
    hub.files.update({f"Q8/{part.name}": part.read_bytes() for part in parts})
    reference = "hf:owner/repo-GGUF/Q8/set-00001-of-00002.gguf"
    assert fetched(reference) is None
    path = fetch(reference)
    assert load_model(path).layers == 2
    assert fetched(reference) == path
    assert size_here(path) == sum(part.stat().st_size for part in parts)
    Path(path).with_name("set-00002-of-00002.gguf").unlink()
    assert fetched(reference) is None
    del hub.files["Q8/set-00002-of-00002.gguf"]
    with pytest.raises(ModelNotFoundError, match="lacks Q8/set-00002-of-00002"):
        fetch("hf:owner/repo-GGUF/Q8/set-00001-of-00002.gguf")


def test_without_links_the_file_is_moved_not_copied(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.file_download.are_symlinks_supported", lambda *_: False)
    path = Path(fetch(REFERENCE))
    assert path.read_bytes() == BIG
    assert not path.is_symlink()
    assert list((tmp_path / "hub" / "models--owner--repo-GGUF" / "blobs").iterdir()) == []
    assert fetch(REFERENCE) == str(path)


def test_what_is_fetched_is_found(hub: Hub, tmp_path: Path) -> None:
    from splitter.model.caches import Surroundings

    path = fetch(REFERENCE)
    around = Surroundings(tmp_path, tmp_path / "nowhere", {"HF_HUB_CACHE": str(tmp_path / "hub")})
    (model,) = find_models(around).models
    assert (model.name, model.path) == (f"owner/repo-GGUF/{NAME}", path)


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        (401, "GatedRepo", "is gated"),
        (403, "GatedRepo", "is gated"),
        (401, "", r"refuses access to .* \(HTTP 401\)"),
        (403, "", r"refuses access to .* \(HTTP 403\)"),
        (404, "EntryNotFound", "was not found at the Hub"),
        (400, "", r"cannot send .* now \(HTTP 400\)"),
    ],
)
def test_refusals(hub: Hub, status: int, code: str, says: str) -> None:
    hub.refused[NAME] = (status, code)
    with pytest.raises(ModelError, match=says) as caught:
        fetch(REFERENCE)
    assert caught.value.hint
    assert "hf_test" not in caught.value.message + caught.value.hint


def test_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelError, match="HF_HUB_OFFLINE is set"):
        fetch(REFERENCE)
    assert hub.ranges == []


def test_other_addresses_are_not_fetched() -> None:
    with pytest.raises(ModelError, match="is not on this computer"):
        fetch("https://example.org/x.gguf")
