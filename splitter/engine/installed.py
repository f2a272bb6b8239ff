"""Engines that splitter installed: downloaded from their releases, checked, side by side, one of a kind in use.

They lie in data_folder()/engines/KIND/TAG+BACKEND, whole or not at all: everything happens in a folder beside them,
which is renamed when it is complete. `in-use.json` names the one that plans and launches take.
"""

import hashlib
import json
import os
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from splitter.engine.engines import ENGINES
from splitter.engine.releases import REPOSITORIES, Asset, BuildChoice, Machine, Release, cpu_asset, parse_release
from splitter.engine.unpack import AGAIN, unpack
from splitter.errors import EngineError, EngineNotFoundError, ModelError
from splitter.folders import data_folder
from splitter.model.transfer import download
from splitter.units import MIB, format_bytes
from splitter.whole_file import write_whole

API = "https://api.github.com"
TIMEOUT_S = 30.0
LARGEST_ANSWER = 8 * MIB
SPARE_BYTES = 200 * MIB
MODE_PROGRAM = 0o755
OnProgress = Callable[[int, int], None]  # bytes here so far, bytes in all


@dataclass(frozen=True, slots=True)
class Installed:
    """One installed engine; `path` is its program."""

    kind: str
    tag: str
    backend: str
    path: str
    in_use: bool


def engines_folder(kind: str) -> Path:
    """Where the installed engines of a kind lie."""
    return data_folder() / "engines" / kind


def installed(kind: str | None = None) -> tuple[Installed, ...]:
    """All of them, newest first within a kind; a folder without its program is none."""
    kinds = [kind] if kind else list(REPOSITORIES)
    return tuple(engine for name in kinds for engine in _of_kind(name))


def _of_kind(kind: str) -> Iterator[Installed]:
    used = _in_use(kind)
    folders = [f for f in _folders(engines_folder(kind)) if not f.name.startswith(".")]
    for folder in sorted(folders, key=lambda f: f.stat().st_mtime, reverse=True):
        tag, _, backend = folder.name.partition("+")
        program = program_in(kind, folder)
        if program is not None:
            yield Installed(kind, tag, backend, str(program), folder.name == used)


def _folders(place: Path) -> list[Path]:
    return [path for path in place.iterdir() if path.is_dir()] if place.is_dir() else []


def _in_use(kind: str) -> str | None:
    try:
        named = json.loads((engines_folder(kind) / "in-use.json").read_text(encoding="utf-8"))["folder"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(named)


def program_in(kind: str, folder: Path) -> Path | None:
    """The engine's program in an unpacked release."""
    names = ENGINES[kind].file_names(os.name == "nt")
    for place in (folder, folder / "bin", folder / "build" / "bin"):
        for name in names:
            if (place / name).is_file():
                return place / name
    return None


def used_program(kind: str) -> str | None:
    """The program of the installed engine that is in use; None where none is installed."""
    if kind not in REPOSITORIES:
        return None
    return next((engine.path for engine in _of_kind(kind) if engine.in_use), None)


def ask_release(kind: str, tag: str | None = None) -> Release:
    """The latest release, or that of a tag. EngineError for no network, no such tag, GitHub's limit."""
    repository = REPOSITORIES.get(kind)
    if repository is None:
        raise EngineError(f"{kind} has no releases to install from", "install llama-server or koboldcpp")
    which = f"tags/{tag}" if tag else "latest"
    base = os.environ.get("GITHUB_API_URL", API).rstrip("/")
    return parse_release(_answer(f"{base}/repos/{repository}/releases/{which}", f"{repository} {tag or 'latest'}"))


def _answer(url: str, label: str) -> Any:
    headers = {"Accept": "application/vnd.github+json", "User-Agent": "splitter"}
    token = os.environ.get("GITHUB_TOKEN")
    if token:
        headers["Authorization"] = f"Bearer {token}"
    try:
        request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the API's own address, or the user's
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310
            return json.loads(answer.read(LARGEST_ANSWER))
    except urllib.error.HTTPError as error:
        raise _refused(error, label) from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise EngineError(
            f"the releases of {label} cannot be listed: {reason}",
            "check the network and HTTPS_PROXY; an engine that you downloaded yourself is named with --engine-path",
        ) from None


def _refused(error: urllib.error.HTTPError, label: str) -> EngineError:
    if error.code == 404:
        return EngineError(f"there is no release {label}", "`splitter engine list` shows what is installed")
    if error.code in {403, 429} and (error.headers.get("X-RateLimit-Remaining") == "0" or error.code == 429):
        until = error.headers.get("X-RateLimit-Reset", "")
        when = f" until {time.strftime('%H:%M', time.localtime(int(until)))}" if until.isdigit() else " for a while"
        return EngineError(
            f"GitHub's limit of requests from this address is reached{when}", "set GITHUB_TOKEN, or wait"
        )
    if error.code == 401:
        return EngineError("GitHub refuses the token in GITHUB_TOKEN", "unset it or make a new one")
    return EngineError(f"GitHub answers {error.code} for {label}", "try again later")


def install(
    kind: str, release: Release, choice: BuildChoice, machine: Machine, on_progress: OnProgress | None = None
) -> Installed:
    """Downloads, checks, unpacks, and takes the engine into use. What is interrupted goes on from there the next time;
    EngineError leaves nothing installed. The same release twice is done at once."""
    home = engines_folder(kind)
    name = f"{release.tag}+{choice.backend}"
    target = home / name
    if program_in(kind, target) is None:
        assets = choice.assets
        _check_space(home, assets)
        with _work_folder(home, name) as work:
            files = _download_all(home, assets, on_progress)
            for file in files:
                _place(file, work)
            if program_in(kind, work) is None and kind == "llama-server":
                more = cpu_asset(release, machine)
                if more is not None and more not in assets:
                    _place(_download_all(home, (more,), on_progress)[0], work)
            if program_in(kind, work) is None:
                raise EngineError(f"{assets[0].name} holds no {kind}", "take another release: --version TAG")
            shutil.rmtree(target, ignore_errors=True)
            work.rename(target)
        shutil.rmtree(home / ".downloads", ignore_errors=True)
    use(kind, name)
    return next(engine for engine in _of_kind(kind) if engine.in_use)


def use(kind: str, name: str) -> None:
    """Takes the installed engine `TAG+BACKEND` into use."""
    write_whole(engines_folder(kind) / "in-use.json", json.dumps({"folder": name}) + "\n")


def remove(kind: str, tag: str) -> tuple[Installed, ...]:
    """Removes the engines of a kind with this tag, or `TAG+BACKEND`; the newest left is in use then."""
    gone = tuple(e for e in _of_kind(kind) if tag in {e.tag, f"{e.tag}+{e.backend}"})
    if not gone:
        raise EngineNotFoundError(f"no {kind} {tag} is installed", "`splitter engine list` shows what is")
    for engine in gone:
        folder = engines_folder(kind) / f"{engine.tag}+{engine.backend}"
        try:
            doomed = folder.with_name(f".{folder.name}.gone")
            folder.rename(doomed)  # a running engine on Windows keeps its folder, whole
            shutil.rmtree(doomed, ignore_errors=True)
        except OSError as error:
            raise EngineError(
                f"{folder} cannot be removed: {error.strerror}", "stop what runs it: `splitter ps`"
            ) from None
    left = next(iter(_of_kind(kind)), None)
    if left is None:
        (engines_folder(kind) / "in-use.json").unlink(missing_ok=True)
    elif any(engine.in_use for engine in gone):
        use(kind, f"{left.tag}+{left.backend}")
    return gone


@contextmanager
def _work_folder(home: Path, name: str) -> Iterator[Path]:
    """An empty folder beside the installed ones, removed unless it was renamed."""
    work = home / f".{name}.{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        yield work
    except OSError as error:
        raise EngineError(f"{home} cannot be written: {error.strerror or error}", "free some space") from None
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _check_space(home: Path, assets: tuple[Asset, ...]) -> None:
    """Archives and what they hold, some three times their size."""
    needed = 4 * sum(asset.size_bytes for asset in assets) + SPARE_BYTES
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise EngineError(
            f"{place} has {format_bytes(free)} free; {format_bytes(needed)} is needed to install this",
            "free some space",
        )


def _download_all(home: Path, assets: tuple[Asset, ...], on_progress: OnProgress | None) -> list[Path]:
    folder = home / ".downloads"
    folder.mkdir(parents=True, exist_ok=True)
    total = sum(asset.size_bytes for asset in assets)
    here = sum(_here(folder, asset) for asset in assets)

    def arrived(count: int) -> None:
        nonlocal here
        here += count
        if on_progress:
            on_progress(here, total)

    return [_download(folder, asset, arrived) for asset in assets]


def _file(folder: Path, asset: Asset) -> Path:
    if Path(asset.name).name != asset.name or asset.name.startswith("."):
        raise EngineError(f"the release names a file {asset.name!r}", "try again later")
    return folder / f"{(asset.sha256 or 'unknown')[:16]}-{asset.name}"


def _here(folder: Path, asset: Asset) -> int:
    with suppress(OSError):
        return _file(folder, asset).stat().st_size
    return 0


def _download(folder: Path, asset: Asset, arrived: Callable[[int], None]) -> Path:
    """The whole file with the digest that the release API told; a wrong one is removed."""
    path = _file(folder, asset)
    try:
        download(asset.url, None, path, size_bytes=asset.size_bytes, label=asset.name, on_bytes=arrived)
    except ModelError as error:
        raise EngineError(error.message, "run the same command again: it continues where this one ended") from None
    if asset.sha256 is not None and _sha256(path) != asset.sha256:
        path.unlink()
        raise EngineError(f"{asset.name} is not what its release says (SHA-256 differs); it was removed", AGAIN)
    return path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _place(file: Path, work: Path) -> None:
    """Unpacks an archive; a program by itself (koboldcpp) is put there under its name."""
    name = file.name.partition("-")[2]
    if name.endswith((".zip", ".tar.gz", ".tgz", ".tar.xz")):
        try:
            unpack(file, work)
        except EngineError:
            file.unlink(missing_ok=True)
            raise
        return
    shutil.copyfile(file, work / name)
    (work / name).chmod(MODE_PROGRAM)
