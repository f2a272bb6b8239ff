"""Puts a fetched model where another program looks for it too: a second name of the same file, not a second copy.

Sources: LM Studio's folders (https://lmstudio.ai/docs/app/basics/import-model: models/PUBLISHER/REPO/FILE; `lms import`
makes hard and symbolic links itself), llama.cpp b11434 (common/hf-cache.cpp: LLAMA_CACHE, else the Hub's cache).
"""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from splitter.errors import ModelError
from splitter.model.caches import Surroundings
from splitter.model.fetch import set_of
from splitter.model.found import here, koboldcpp_folder, lm_studio_folder
from splitter.model.hub_reference import parse_hub_reference
from splitter.printable import printable
from splitter.units import format_bytes

LM_STUDIO, LLAMA_CPP, KOBOLDCPP = "lm-studio", "llama.cpp", "koboldcpp"


@dataclass(frozen=True, slots=True)
class Place:
    """A folder that is to hold the model: its reason, and how it is laid out: LM Studio's way, the Hub's or flat."""

    folder: Path
    reason: str
    layout: str

    def target(self, reference: str, path: str) -> Path:
        """Where the file at `path` in the Hub's cache goes, which `reference` names."""
        file = Path(path)
        if self.layout == LM_STUDIO:
            return self.folder / parse_hub_reference(reference).repo / file.name
        if self.layout == LLAMA_CPP:
            return self.folder / file.relative_to(_repository(file).parent)
        return self.folder / file.name


def place_named(to: str | None, around: Surroundings | None = None) -> Place | None:
    """The place of a program or folder; None: the Hub's cache, where the file is already. ModelError where there is no
    such program; asked before the download."""
    around = around or here()
    if to == LM_STUDIO:
        return Place(lm_studio_folder(around.home), "LM Studio lists what lies there", LM_STUDIO)
    if to == KOBOLDCPP:
        folder = koboldcpp_folder(around)
        if folder is None:
            raise ModelError(
                "There is no koboldcpp in this folder, in ~/koboldcpp or on PATH.",
                "Name the folder instead: --to FOLDER; koboldcpp opens a model from any.",
            )
        return Place(folder, "koboldcpp's program lies there", KOBOLDCPP)
    if to == LLAMA_CPP:
        own = around.environ.get("LLAMA_CACHE")
        return Place(Path(own), "LLAMA_CACHE names it: llama.cpp's -hf looks there", LLAMA_CPP) if own else None
    return Place(Path(to).expanduser(), "the folder you named", "folder") if to else None


def put(place: Place, reference: str, path: str) -> tuple[str, str]:
    """The model's new path, and how it got there: all parts of a split set. ModelError where another file has its name
    or the folder cannot be written."""
    parts = [Path(part) for part in set_of(path)]
    targets = [place.target(reference, str(part)) for part in parts]
    try:
        for part, target in zip(parts, targets, strict=True):
            _refuse_another(part, target)
        ways = [_put_file(part, target) for part, target in zip(parts, targets, strict=True)]
        if place.layout == LLAMA_CPP:
            _copy_refs(_repository(parts[0]), _repository(targets[0]))
    except OSError as error:
        where = printable(str(error.filename2 or error.filename or place.folder), 200)
        raise ModelError(
            f"The model cannot be put into {where}: {error.strerror}.", f"It stays usable as {reference}."
        ) from None
    return str(targets[0]), ways[0]


def _repository(file: Path) -> Path:
    """models--OWNER--REPO, above a file of the Hub's cache."""
    return next(folder for folder in file.parents if folder.name.startswith("models--"))


def _refuse_another(part: Path, target: Path) -> None:
    if target.exists() and target.stat().st_size != part.stat().st_size:
        raise ModelError(
            f"{printable(str(target), 200)} is another file; it was left as it is.", "Move it away, then pull again."
        )


def _put_file(part: Path, target: Path) -> str:
    """A hard link; on another disk a symbolic one; where neither can be made a copy, whole or not at all."""
    if target.exists():
        return "it was there already"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # a link whose file is gone
    source = part.resolve()
    try:
        os.link(source, target)
    except OSError:
        return _link_or_copy(source, target)
    return "a hard link to the Hugging Face cache, it takes no more room"


def _link_or_copy(source: Path, target: Path) -> str:
    try:
        target.symlink_to(source)
    except OSError:
        _copy(source, target)
        return "a copy: no link can be made there"
    return "a link to the Hugging Face cache on another disk: it needs the file there"


def _copy(source: Path, target: Path) -> None:
    size, free = source.stat().st_size, shutil.disk_usage(target.parent).free
    if free < size:
        raise ModelError(
            f"{printable(str(target), 200)} needs {format_bytes(size)}, its disk has {format_bytes(free)} free.",
            "Free some space, or choose another folder.",
        )
    partial = target.with_name(f"{target.name}.part")
    try:
        shutil.copyfile(source, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _copy_refs(source: Path, target: Path) -> None:
    """Which snapshot a branch means: llama.cpp asks when it is offline."""
    for ref in (source / "refs").glob("*"):
        (target / "refs").mkdir(exist_ok=True)
        shutil.copyfile(ref, target / "refs" / ref.name)
