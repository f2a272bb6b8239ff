"""The usual caches as data: where each program keeps its models, and what the files found there are called. Pure.

Sources: llama.cpp b11434 (common/hf-cache.cpp, common/download.cpp, common/common.cpp), huggingface_hub's cache layout
(https://huggingface.co/docs/hub/local-cache), LM Studio (https://lmstudio.ai/docs/app/basics/import-model and the lms
client's home pointer), Ollama (docs/faq, manifest/paths.go: `manifests`, and from 0.40 `manifests-v2`).
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from splitter.model.split import parse_split_name

Source = Literal["llama.cpp", "Hugging Face", "LM Studio", "Ollama", "koboldcpp", "folder"]
Layout = Literal["files", "hub", "ollama"]

# Beside a model, not a model: llama.cpp's own list (gguf_filename_is_model). Publishers also write "imatrix" into the
# names of models quantised with one, so that word only counts where no quantisation is named.
_COMPANION = re.compile(r"mmproj|(?:^|_)(?:mtp|eagle3|dflash|dspark)-", re.IGNORECASE)
_QUANTIZED = re.compile(r"(?:^|[-_.])(?:I?Q\d|TQ\d|BF16|F16|F32|MXFP4)", re.IGNORECASE)
# A download tool's note beside a file that already has its final name (aria2, Firefox, Chrome, LM Studio, llama.cpp).
UNFINISHED_SUFFIXES = (".aria2", ".part", ".crdownload", ".partial", ".incomplete", ".downloadInProgress")
_HUB_FOLDER = re.compile(r"models--(?P<repo>[^/]+)")
_COMMIT = re.compile(r"[0-9a-f]{40}", re.IGNORECASE)
_DIGEST = re.compile(r"sha256[:-](?P<hex>[0-9a-f]{64})", re.IGNORECASE)

OLLAMA_MODEL = "application/vnd.ollama.image.model"
OLLAMA_HOSTS = ("registry.ollama.ai", "ollama.com")
OLLAMA_ROOTS = ("manifests-v2", "manifests")
OLLAMA_RUNNERS = ("ggml", "llamacpp")


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A GGUF model in a cache. `name` is what MODEL may be called, `path` its file (first part of a split set).

    `size_bytes` sums the `parts` files that are there; `missing_parts` counts those that are not.
    """

    name: str
    path: str
    source: Source
    size_bytes: int
    parts: int = 1
    missing_parts: int = 0


@dataclass(frozen=True, slots=True)
class CacheFolder:
    """A folder to look into: whose it is, how it is laid out, how many levels of folders deep it is searched."""

    source: Source
    folder: Path
    layout: Layout = "files"
    depth: int = 1


@dataclass(frozen=True, slots=True)
class File:
    """A file below a place: its path with forward slashes, relative to the place, and its size."""

    relative: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What decides where caches lie. `os` is "linux", "windows" or "macos"; `shared` are machine-wide Ollama stores."""

    home: Path
    cwd: Path
    environ: Mapping[str, str]
    os: str = "linux"
    shared: tuple[Path, ...] = (Path("/usr/share/ollama/.ollama/models"),)


def usual_places(around: Surroundings) -> Iterator[CacheFolder]:
    """Every folder worth a look, the named caches first, the current folder last."""
    yield from _llama_cpp(around)
    yield from (CacheFolder("Hugging Face", folder, "hub") for folder in _hub_folders(around))
    for folder in (around.home / ".lmstudio", around.home / ".cache" / "lm-studio"):
        yield CacheFolder("LM Studio", folder / "models", depth=4)
    yield from (CacheFolder("Ollama", folder, "ollama") for folder in _ollama_folders(around))
    yield CacheFolder("folder", around.cwd, depth=2)


def _llama_cpp(around: Surroundings) -> Iterator[CacheFolder]:
    """LLAMA_CACHE holds flat files (older builds) or Hugging Face's layout (newer ones)."""
    given = _given(around, "LLAMA_CACHE")
    if given:
        yield CacheFolder("llama.cpp", given, "hub")
        yield CacheFolder("llama.cpp", given)
    yield CacheFolder("llama.cpp", _user_cache(around) / "llama.cpp")


def _user_cache(around: Surroundings) -> Path:
    if around.os == "windows":
        return _given(around, "LOCALAPPDATA") or around.home / "AppData" / "Local"
    if around.os == "macos":
        return around.home / "Library" / "Caches"
    return _given(around, "XDG_CACHE_HOME") or around.home / ".cache"


def _hub_folders(around: Surroundings) -> Iterator[Path]:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := _given(around, variable):
            yield folder
    if folder := _given(around, "HF_HOME"):
        yield folder / "hub"
    if folder := _given(around, "XDG_CACHE_HOME"):
        yield folder / "huggingface" / "hub"
    yield around.home / ".cache" / "huggingface" / "hub"


def _ollama_folders(around: Surroundings) -> Iterator[Path]:
    if folder := _given(around, "OLLAMA_MODELS"):
        yield folder
    yield around.home / ".ollama" / "models"
    yield from around.shared


def _given(around: Surroundings, variable: str) -> Path | None:
    value = around.environ.get(variable)
    if not value:
        return None
    return around.home / value[2:] if value.startswith("~/") else Path(value)


def models_among(place: CacheFolder, files: Iterable[File], prefix: str = "") -> Iterator[FoundModel]:
    """The models among a folder's files: split sets once, no companions, nothing that is still being downloaded.

    Names are `prefix` and the path below the folder.
    """
    by_name = {file.relative: file for file in files}
    for name, file in sorted(by_name.items()):
        if not _is_model(name, file) or any(name + suffix in by_name for suffix in UNFINISHED_SUFFIXES):
            continue
        split = parse_split_name(name)
        if split is None:
            yield FoundModel(prefix + name, str(place.folder / name), place.source, file.size_bytes)
        elif split.number == 1:
            there = [by_name[part] for part in map(split.part, range(1, split.count + 1)) if part in by_name]
            size = sum(part.size_bytes for part in there)
            missing = split.count - len(there)
            yield FoundModel(prefix + name, str(place.folder / name), place.source, size, split.count, missing)


def _is_model(name: str, file: File) -> bool:
    last = name.rsplit("/", 1)[-1]
    if not last.lower().endswith(".gguf") or file.size_bytes == 0 or _COMPANION.search(last):
        return False
    return "imatrix" not in last.lower() or _QUANTIZED.search(last) is not None


def hub_repository(folder_name: str) -> str | None:
    """OWNER/REPO of a folder of the hub cache; None for other folders."""
    match = _HUB_FOLDER.fullmatch(folder_name)
    return match["repo"].replace("--", "/", 1) if match else None


def chosen_snapshot(refs: Mapping[str, str], snapshots: Iterable[str]) -> str | None:
    """The snapshot to use: refs/main's, else another ref's, else (a model fetched by commit) the only one there is."""
    there = sorted(snapshots)
    for ref in sorted(refs, key=lambda name: (name != "main", name)):
        commit = refs[ref].strip()
        if _COMMIT.fullmatch(commit) and commit in there:
            return commit
    return there[0] if len(there) == 1 else None


def ollama_name(relative: str) -> str | None:
    """The name Ollama shows for a manifest at `relative` (HOST/NAMESPACE/MODEL/TAG); None for another file."""
    parts = relative.split("/")
    if len(parts) != 4 or parts[3].startswith("."):
        return None
    host, namespace, model, tag = parts
    public = host.lower() in OLLAMA_HOSTS
    if public and namespace == "library":
        return None if model == "llamacpp" else f"{model}:{tag}"  # 0.40 keeps its converted builds under that name
    return f"{namespace}/{model}:{tag}" if public else f"{host.replace('%3A', ':')}/{namespace}/{model}:{tag}"


def ollama_weights(manifest: object) -> str | None:
    """The blob's file name of the manifest's GGUF; None where it has none (remote models, safetensors)."""
    for layer in _items(manifest, "layers"):
        if layer.get("mediaType") == OLLAMA_MODEL:
            return blob_name(layer.get("digest"))
    return None


def ollama_children(manifest: object) -> tuple[str, ...]:
    """For a list of manifests (Ollama 0.40, one per runner) their blobs' file names, the original GGUF's first."""
    children = [item for item in _items(manifest, "manifests") if item.get("runner") in OLLAMA_RUNNERS]
    children.sort(key=lambda item: OLLAMA_RUNNERS.index(str(item["runner"])))
    return tuple(name for name in (blob_name(item.get("digest")) for item in children) if name)


def blob_name(digest: object) -> str | None:
    """`sha256-...` for a digest; None for what is none, so that no manifest leads out of the blobs folder."""
    match = _DIGEST.fullmatch(digest) if isinstance(digest, str) else None
    return f"sha256-{match['hex']}" if match else None


def _items(document: object, key: str) -> list[dict[str, object]]:
    items = document.get(key) if isinstance(document, dict) else None
    return [item for item in items if isinstance(item, dict)] if isinstance(items, list) else []
