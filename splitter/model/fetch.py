"""Downloads what `launch` needs of hf:OWNER/REPO[/FILE], through huggingface-hub's cache (resumes, checks hashes)."""

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.hub import endpoint, list_gguf_files
from splitter.model.hub_reference import choose_file, parse_hub_reference
from splitter.model.split import parse_split_name


def fetch(reference: str) -> str:
    """The local path of the model that `reference` names: all parts of a split set, the first part's path.

    ModelError for a plain URL (nothing is downloaded behind the user's back from unknown hosts) and for what the Hub
    refuses.
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
    paths = [_download(wanted.repo, path, wanted.revision) for path in parts_of(first, [file.path for file in files])]
    return paths[0]


def parts_of(first: str, files: list[str]) -> list[str]:
    """`first` and, where it begins a split set, the set's other parts among `files`, in order."""
    split = parse_split_name(first)
    if split is None:
        return [first]
    parts = [split.part(number) for number in range(1, split.count + 1)]
    missing = [part for part in parts if part not in files]
    if missing:
        raise ModelNotFoundError(f"The repository lacks {missing[0]} of the split set.", "Choose another file.")
    return parts


def _download(repo: str, path: str, revision: str) -> str:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        return str(hf_hub_download(repo, path, revision=revision, endpoint=endpoint()))
    except HfHubHTTPError as error:
        raise ModelError(f"hf:{repo}/{path} cannot be downloaded: {error}", "Log in with `hf auth login`.") from None
    except OSError as error:
        raise ModelError(
            f"hf:{repo}/{path} cannot be downloaded: {error}", "Check network and free disk space."
        ) from None
