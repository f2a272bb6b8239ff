"""Models named by where they lie on the network: the file a script looks for, and the page to get it from. Pure."""

import re
from urllib.parse import quote, unquote, urlsplit

from splitter.errors import UsageError
from splitter.model.hub_reference import HubReference, parse_hub_reference
from splitter.model.split import parse_split_name

HUB = "https://huggingface.co"


def is_reference(path: str) -> bool:
    """Whether `path` names something on the network: hf:... or http(s)://..."""
    return re.match(r"hf:|https?://", path, re.IGNORECASE) is not None


def download_name(reference: str) -> str:
    """The name that the file of `reference` has once it is downloaded. UsageError when the reference names no file."""
    path = _file(parse_hub_reference(reference)) if _is_hub(reference) else unquote(urlsplit(reference).path)
    name = path.rpartition("/")[2]
    if not name:
        raise UsageError(f"{reference} names no file that a script could look for", "give the URL of a .gguf file")
    return name


def download_page(reference: str) -> str:
    """Where a browser gets the file; the whole folder for a split set, of which every part is needed."""
    if not _is_hub(reference):
        return reference
    wanted = parse_hub_reference(reference)
    file = _file(wanted)
    place = f"{HUB}/{wanted.repo}"
    if parse_split_name(file):
        folder = file.rpartition("/")[0]
        return f"{place}/tree/{quote(wanted.revision)}" + (f"/{quote(folder)}" if folder else "")
    return f"{place}/resolve/{quote(wanted.revision)}/{quote(file)}"


def _is_hub(reference: str) -> bool:
    return reference.lower().startswith("hf:")


def _file(wanted: HubReference) -> str:
    if wanted.file is None:
        raise UsageError(
            f"hf:{wanted.repo} names no file that a script could look for", f"name one, as hf:{wanted.repo}/FILE.gguf"
        )
    return wanted.file
