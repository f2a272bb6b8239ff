"""Remote references: Hugging Face's URLs, token and file lists, and plain URLs."""

import os
import re
from urllib.parse import quote

from splitter.errors import ModelError
from splitter.model.cursor import ByteSource
from splitter.model.hub_reference import RepoFile, choose_file, parse_hub_reference
from splitter.model.remote import fetch_json, open_url, origin

DEFAULT_ENDPOINT = "https://huggingface.co"
PAGES = 50


def endpoint() -> str:
    """HF_ENDPOINT (a mirror), else the Hub itself."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def resolve(reference: str) -> str:
    """The URL behind hf:OWNER/REPO[/FILE][@REVISION] or a URL; without FILE the repository's only GGUF model."""
    if not reference.lower().startswith("hf:"):
        return _download_url(reference)
    _refuse_offline(reference)
    wanted = parse_hub_reference(reference)
    file = wanted.file or choose_file(wanted, list_gguf_files(wanted.repo, wanted.revision))
    from huggingface_hub import hf_hub_url

    return hf_hub_url(wanted.repo, file, revision=wanted.revision, endpoint=endpoint())


def open_reference(url: str) -> ByteSource:
    """The file behind a URL; the Hub's token goes along only to the Hub."""
    return open_url(url, _token(url))


def list_gguf_files(repo: str, revision: str = "main") -> tuple[RepoFile, ...]:
    """All .gguf files of a Hub repository by path, with sizes (the Hub's tree API).

    Raises ModelNotFoundError or ModelError (no such repository, gated, no network).
    """
    _refuse_offline(f"hf:{repo}")
    parse_hub_reference(f"hf:{repo}@{revision}")
    url: str | None = f"{endpoint()}/api/models/{repo}/tree/{quote(revision, safe='')}?recursive=true"
    files: list[RepoFile] = []
    for _ in range(PAGES):
        if url is None:
            break
        entries, url = fetch_json(url, _token(url), label=f"hf:{repo}")
        files += _gguf_entries(entries, repo)
    return tuple(sorted(files, key=lambda file: file.path))


def _gguf_entries(entries: object, repo: str) -> list[RepoFile]:
    if not isinstance(entries, list):
        raise ModelError(f"The server's file list of {repo} is not what the Hub sends.", "Check HF_ENDPOINT.")
    files = []
    for entry in entries:
        path = entry.get("path") if isinstance(entry, dict) and entry.get("type") == "file" else None
        if isinstance(path, str) and path.lower().endswith(".gguf"):
            size = entry.get("size")
            files.append(RepoFile(path, size if type(size) is int else None))
    return files


def _download_url(url: str) -> str:
    """A page of the Hub (/blob/) as people copy it from the browser becomes the file itself (/resolve/)."""
    if origin(url) == origin(endpoint()):
        return re.sub(r"(//[^/]+/[^/]+/[^/]+)/blob/", r"\1/resolve/", url, count=1)
    return url


def _token(url: str) -> str | None:
    if origin(url) != origin(endpoint()) or not origin(url)[1]:
        return None
    from huggingface_hub import get_token

    return get_token()


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE forbids asking the Hub."""
    return os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}


def _refuse_offline(reference: str) -> None:
    if is_offline():
        raise ModelError(
            f"{reference} cannot be read while HF_HUB_OFFLINE is set.",
            "Unset HF_HUB_OFFLINE, or name a file on this computer.",
        )
