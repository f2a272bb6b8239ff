"""hf:OWNER/REPO[/FILE][@REVISION] and the choice among a repository's files."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from splitter.errors import ModelError, ModelNotFoundError
from splitter.model.split import parse_split_name
from splitter.printable import printable

_REFERENCE = re.compile(
    r"hf:/*(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(?:/(?P<file>[^@]+))?(?:@(?P<revision>[^@]+))?", re.ASCII | re.IGNORECASE
)
CHOICES_SHOWN = 20


@dataclass(frozen=True, slots=True)
class HubReference:
    """A file on the Hugging Face Hub; `file` None: whichever GGUF the repository holds."""

    repo: str
    file: str | None = None
    revision: str = "main"


@dataclass(frozen=True, slots=True)
class RepoFile:
    """A file of a repository; its size None where the Hub does not say."""

    path: str
    size_bytes: int | None


def parse_hub_reference(reference: str) -> HubReference:
    """Takes hf:OWNER/REPO[/FILE][@REVISION] apart; raises ModelError where it does not read like one."""
    match = _REFERENCE.fullmatch(reference)
    parts = match["file"].split("/") if match and match["file"] else []
    if match is None or any(part in {"", ".", ".."} for part in parts):
        raise ModelError(
            f"{printable(reference, 200)} does not name a Hugging Face model.",
            "Write hf:OWNER/REPO or hf:OWNER/REPO/FILE.gguf, with @REVISION if it is not main.",
        )
    return HubReference(match["repo"], match["file"], match["revision"] or "main")


def model_files(files: Iterable[RepoFile]) -> tuple[RepoFile, ...]:
    """The files that name a model each: no projectors, no importance matrices, first parts of split sets only."""
    return tuple(file for file in files if _is_model(file.path.rsplit("/", 1)[-1].lower()))


def _is_model(name: str) -> bool:
    split = parse_split_name(name)
    return (
        name.endswith(".gguf") and not name.startswith(("mmproj", "imatrix")) and (split is None or split.number == 1)
    )


def choose_file(reference: HubReference, files: Iterable[RepoFile]) -> str:
    """The repository's only model; none or several raise ModelError, which names the choices."""
    choices = [file.path for file in model_files(files)]
    if not choices:
        raise ModelNotFoundError(
            f"The repository {reference.repo} holds no GGUF model.",
            "Look for a repository of the same model whose name ends in -GGUF.",
        )
    if len(choices) > 1:
        shown = ", ".join(printable(path, 120) for path in choices[:CHOICES_SHOWN])
        more = f" and {len(choices) - CHOICES_SHOWN} more" if len(choices) > CHOICES_SHOWN else ""
        raise ModelError(
            f"The repository {reference.repo} holds {len(choices)} GGUF models.",
            f"Name one, as hf:{reference.repo}/FILE: {shown}{more}.",
        )
    return choices[0]
