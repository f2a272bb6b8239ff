"""Downloads what `launch` needs of hf:OWNER/REPO[/FILE] into huggingface-hub's cache, and continues where it broke off.

huggingface-hub 2.4 discards an interrupted download, and its http_get every 10 MB that did not arrive whole
(file_download.py, _download_to_tmp_and_move and http_get), which for 20 GB over a bad line is a download that never
ends. So the bytes go to `blobs/ETAG.incomplete`, the name its cache tools know, over our own connection; the finished
blob is then huggingface-hub's again: `hf_hub_download` links it into the snapshot and writes the refs.
"""

import errno
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.hub import endpoint, list_gguf_files
from splitter.model.hub_reference import choose_file, parse_hub_reference
from splitter.model.split import parse_split_name
from splitter.model.transfer import AGAIN, download
from splitter.printable import printable
from splitter.units import MIB, format_bytes

OnProgress = Callable[[int, int], None]  # bytes here so far, bytes of all files
OnNote = Callable[[str], None]
SHA256_DIGITS, SHA1_DIGITS = 64, 40


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """One file to fetch: where it comes from, how big it is and where it goes in the cache."""

    repo: str
    path: str
    revision: str
    url: str
    size_bytes: int
    etag: str
    blob: Path
    pointer: Path

    @property
    def label(self) -> str:
        return printable(f"hf:{self.repo}/{self.path}", 200)

    @property
    def partial(self) -> Path:
        return self.blob.with_name(f"{self.etag}.incomplete")

    def checksum(self) -> "hashlib._Hash | None":
        """What the ETag is to be compared with, before the first byte: SHA-256 of large files (LFS), git's blob hash of
        small ones; None where it is neither (a mirror)."""
        if not re.fullmatch(r"[0-9a-f]+", self.etag):
            return None
        if len(self.etag) == SHA256_DIGITS:
            return hashlib.sha256()
        if len(self.etag) == SHA1_DIGITS:
            return hashlib.sha1(f"blob {self.size_bytes}\0".encode(), usedforsecurity=False)
        return None

    def here_bytes(self) -> int:
        """Bytes of the file that are already on disk."""
        if self.is_here():
            return self.size_bytes
        return self.partial.stat().st_size if self.partial.is_file() else 0

    def is_here(self) -> bool:
        return self.blob.is_file() or self.pointer.is_file()


def fetch(reference: str, on_progress: OnProgress | None = None, on_note: OnNote | None = None) -> str:
    """The local path of the model that `reference` names: all parts of a split set, the first part's path.

    Before the first byte the disk is asked for room. `on_progress(here, total)` gets bytes over all parts; `on_note` a
    remark: that the server names no checksum. ModelError for a plain URL (nothing is downloaded behind the user's back
    from unknown hosts), for what the Hub refuses, for a file that is not what its checksum says (it is removed), and
    for a broken or full line or disk; what has arrived by then is kept, also on Ctrl-C.
    """
    if not reference.lower().startswith("hf:"):
        raise ModelError(f"{reference} is not on this computer.", "Download the file, then name its path.")
    wanted = parse_hub_reference(reference)
    files = list_gguf_files(wanted.repo, wanted.revision)
    first = wanted.file or choose_file(wanted, files)
    if first not in {file.path for file in files}:
        raise ModelNotFoundError(
            f"hf:{wanted.repo} has no file {first}.", f"`splitter inspect hf:{wanted.repo}` lists them."
        )
    names = parts_of(first, [file.path for file in files])
    parts = [_ask(wanted.repo, name, wanted.revision) for name in names]
    _check_space(parts)
    progress = _Progress(parts, on_progress)
    paths = [_download(part, progress) for part in parts]
    for part in parts:
        if on_note and part.checksum() is None:
            on_note(f"{part.label}: the server names no checksum, only the size was checked")
    return paths[0]


def fetched(reference: str) -> str | None:
    """Where the file of hf:OWNER/REPO/FILE lies that was fetched before, all parts of a split set; None elsewhere."""
    from huggingface_hub import constants, try_to_load_from_cache

    wanted = parse_hub_reference(reference)
    if wanted.file is None:
        return None
    cache = constants.HF_HUB_CACHE
    found = [
        try_to_load_from_cache(wanted.repo, name, cache_dir=cache, revision=wanted.revision)
        for name in set_of(wanted.file)
    ]
    return str(found[0]) if all(isinstance(path, str) for path in found) else None


def size_here(path: str) -> int:
    """Bytes of a model on disk, all parts of a split set."""
    return sum(Path(part).stat().st_size for part in set_of(path))


def parts_of(first: str, files: list[str]) -> list[str]:
    """`first` and, where it begins a split set, the set's other parts among `files`, in order."""
    parts = set_of(first)
    missing = [part for part in parts if part not in files and part != first]
    if missing:
        raise ModelNotFoundError(f"The repository lacks {missing[0]} of the split set.", "Choose another file.")
    return parts


def set_of(first: str) -> list[str]:
    """The names of all parts of the set that `first` begins; itself where it is no split model."""
    split = parse_split_name(first)
    return [split.part(number) for number in range(1, split.count + 1)] if split else [first]


class _Progress:
    """Adds up what arrives over all parts."""

    def __init__(self, parts: Sequence[RemoteFile], report: OnProgress | None) -> None:
        self.here_bytes = sum(part.here_bytes() for part in parts)
        self.total_bytes = sum(part.size_bytes for part in parts)
        self._report = report
        self.add(0)

    def add(self, count: int) -> None:
        self.here_bytes += count
        if self._report:
            self._report(self.here_bytes, self.total_bytes)


def _ask(repo: str, path: str, revision: str) -> RemoteFile:
    """What the Hub says of a file before it is downloaded."""
    from huggingface_hub import constants, get_hf_file_metadata, hf_hub_url

    label = printable(f"hf:{repo}/{path}", 200)
    url = hf_hub_url(repo, path, revision=revision, endpoint=endpoint())
    with _plain_errors(label):
        found = get_hf_file_metadata(url, endpoint=endpoint())
    etag, commit = found.etag or "", found.commit_hash or ""
    if not etag.isalnum() or not commit.isalnum() or found.size is None:
        raise ModelError(f"{label}: the server does not answer as the Hub does.", "Check HF_ENDPOINT.")
    folder = Path(constants.HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}"
    pointer = folder / "snapshots" / commit / path
    return RemoteFile(repo, path, revision, url, found.size, etag, folder / "blobs" / etag, pointer)


def _check_space(parts: Sequence[RemoteFile]) -> None:
    """Refuses a download that the cache's disk has no room for."""
    missing = sum(max(0, part.size_bytes - part.here_bytes()) for part in parts)
    folder = next((folder for folder in parts[0].blob.parents if folder.is_dir()), None)
    if not missing or folder is None:
        return
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise ModelError(
            f"{parts[0].label} needs {format_bytes(missing)} more on the disk of {printable(str(folder), 200)}, which"
            f" has {format_bytes(free)} free.",
            "Free some space, choose a smaller quantisation, or set HF_HOME to a folder on a larger disk.",
        )


def _download(part: RemoteFile, progress: _Progress) -> str:
    """The file in the cache, downloaded unless it is there."""
    from huggingface_hub import constants, hf_hub_download

    with _plain_errors(part.label):
        if not part.is_here():
            _transfer(part, progress)
        return str(
            hf_hub_download(
                part.repo,
                part.path,
                revision=part.revision,
                endpoint=endpoint(),
                cache_dir=constants.HF_HUB_CACHE,
            )
        )


def _transfer(part: RemoteFile, progress: _Progress) -> None:
    """Appends what is missing to the partial file and puts it into its place; another process's transfer is awaited."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

    lock = Path(constants.HF_HUB_CACHE) / ".locks" / part.blob.parents[1].name / f"{part.etag}.lock"
    for folder in (lock.parent, part.blob.parent):
        folder.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if part.is_here():
            return
        download(
            part.url, get_token(), part.partial, size_bytes=part.size_bytes, label=part.label, on_bytes=progress.add
        )
        _check_hash(part)
        _settle(part)


def _check_hash(part: RemoteFile) -> None:
    """Compares the whole file with the Hub's checksum; one that differs is removed."""
    digest = part.checksum()
    if digest is None:
        return
    with part.partial.open("rb") as file:
        while block := file.read(MIB):
            digest.update(block)
    if digest.hexdigest() != part.etag:
        part.partial.unlink()
        raise ModelError(
            f"{part.label} arrived damaged and was removed: its checksum is not the Hub's.",
            "Run the same command again; if it happens again, something between here and the Hub changes the file.",
        )


def _settle(part: RemoteFile) -> None:
    """On Windows, where links need rights and not every program follows them, and where they cannot be made, the file
    itself goes into the snapshot: hub would copy it there."""
    from huggingface_hub.file_download import are_symlinks_supported

    linked = os.name != "nt" and are_symlinks_supported(part.blob.parents[2])
    target = part.blob if linked else part.pointer
    target.parent.mkdir(parents=True, exist_ok=True)
    part.partial.replace(target)


@contextmanager
def _plain_errors(label: str) -> Iterator[None]:
    """Turns what huggingface-hub, its HTTP client and the disk raise into one sentence."""
    from huggingface_hub.errors import FileMetadataError, GatedRepoError, HfHubHTTPError

    # The HTTP client's base error: httpx's or httpx2's, whichever this huggingface-hub uses.
    http_error: type[Exception] = next(base for base in HfHubHTTPError.__bases__ if base is not OSError)
    try:
        yield
    except GatedRepoError:
        raise ModelError(
            f"{label} is gated.", "Accept its conditions on its page at the Hub, then log in with `hf auth login`."
        ) from None
    except HfHubHTTPError as error:
        raise _refused(label, error.response.status_code) from None
    except FileMetadataError:
        raise ModelError(f"{label}: the server does not answer as the Hub does.", "Check HF_ENDPOINT.") from None
    except OSError as error:
        raise _broken(label, error) from None
    except http_error as error:
        raise ModelError(f"{label}: the connection broke ({printable(str(error))}).", AGAIN) from None


def _refused(label: str, status: int) -> ModelError:
    if status in {401, 403}:
        return ModelError(
            f"The Hub refuses access to {label} (HTTP {status}).",
            "Log in with `hf auth login`; for a gated model accept its conditions on its page first.",
        )
    if status == 404:
        return ModelNotFoundError(f"{label} was not found at the Hub.", "Check the spelling.")
    return ModelError(f"The Hub cannot send {label} now (HTTP {status}).", f"Try later. {AGAIN}")


def _broken(label: str, error: OSError) -> ModelError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return ModelError(f"The disk became full while {label} was downloaded.", f"Free some space. {AGAIN}")
    if error.errno is not None:
        where = f" ({error.filename})" if error.filename else ""
        return ModelError(f"{label} cannot be stored: {error.strerror}{where}.", "Check the cache's folder (HF_HOME).")
    return ModelError(f"{label}: the download ended early.", AGAIN)
