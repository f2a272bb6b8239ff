"""Unpacks a release's archive into an empty folder, whole and nowhere else."""

import gzip
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from splitter.errors import EngineError
from splitter.units import GIB, MIB, format_bytes

MOST_BYTES = 8 * GIB
MOST_FILES = 20_000
MOST_RATIO = 300  # a library's zeros shrink 50 times; a bomb a thousand times
SMALL_BYTES = 64 * MIB  # below this no ratio matters
BLOCK = MIB
AGAIN = "download it again; if that ends the same way, the release is broken"


def unpack(archive: Path, target: Path) -> None:
    """EngineError for an archive that is broken, leaves the folder, holds devices, or unpacks to absurd sizes. A single
    top folder is taken off. What was written by then is the caller's to remove."""
    try:
        if zipfile.is_zipfile(archive):
            _unzip(archive, target)
        elif tarfile.is_tarfile(archive):
            _untar(archive, target)
        else:
            raise EngineError(f"{archive.name} is not an archive", AGAIN)
    except (
        zipfile.BadZipFile,
        tarfile.TarError,
        gzip.BadGzipFile,
        EOFError,
        NotImplementedError,
        RuntimeError,
    ) as error:
        raise EngineError(f"{archive.name} is broken: {error}", AGAIN) from None
    except OSError as error:
        raise EngineError(f"{archive.name} cannot be unpacked: {error.strerror or error}", AGAIN) from None


def _unzip(archive: Path, target: Path) -> None:
    with zipfile.ZipFile(archive) as source:
        infos = source.infolist()
        _check_sizes(archive, [info.file_size for info in infos])
        top = _top([info.filename for info in infos])
        left = MOST_BYTES
        for info in infos:
            mode = info.external_attr >> 16
            if stat.S_ISLNK(mode):
                _link(archive, target, top, info.filename, source.read(info).decode("utf-8", "replace"))
            elif not info.is_dir():
                with source.open(info) as stream:
                    left -= _write(
                        _inside(archive, target, top, info.filename), stream, mode, min(left, info.file_size)
                    )


def _untar(archive: Path, target: Path) -> None:
    with tarfile.open(archive) as source:
        members = source.getmembers()
        _check_sizes(archive, [member.size for member in members if member.isfile()])
        top = _top([member.name for member in members])
        for member in members:
            if member.issym():
                _link(archive, target, top, member.name, member.linkname)
            elif member.isfile():
                stream = source.extractfile(member)
                if stream is not None:
                    _write(_inside(archive, target, top, member.name), stream, member.mode, member.size)
            elif not member.isdir():
                raise EngineError(f"{archive.name} holds {member.name}, which is not a file: not unpacked", AGAIN)
        while source.fileobj is not None and source.fileobj.read(BLOCK):
            pass  # the checksum stands at the end


def _check_sizes(archive: Path, sizes: list[int]) -> None:
    total, packed = sum(sizes), archive.stat().st_size
    if len(sizes) > MOST_FILES or total > MOST_BYTES or (total > SMALL_BYTES and total > MOST_RATIO * packed):
        raise EngineError(
            f"{archive.name} would unpack to {len(sizes)} files of {format_bytes(total)}: not unpacked", AGAIN
        )


def _top(names: list[str]) -> str:
    """The one folder that holds everything, "" if there is none."""
    parts = {tuple(PurePosixPath(name.replace("\\", "/")).parts) for name in names}
    firsts = {part[0] for part in parts if part and part[0] not in {".", "/"}}
    deep = all(len(part) > 1 for part in parts if part and part[0] in firsts and part != (part[0],))
    return firsts.pop() if len(firsts) == 1 and deep and any(len(part) > 1 for part in parts) else ""


def _parts(top: str, name: str) -> Iterator[str]:
    parts = [part for part in PurePosixPath(name.replace("\\", "/")).parts if part != "."]
    yield from parts[1:] if top and parts and parts[0] == top else parts


def _inside(archive: Path, target: Path, top: str, name: str) -> Path:
    """Where the file goes; EngineError for a name that leaves the folder."""
    parts = list(_parts(top, name))
    bad = not parts or ".." in parts or any(part.startswith("/") or ":" in part or "\0" in part for part in parts)
    path = target.joinpath(*parts) if not bad else target
    if bad or not path.parent.resolve().is_relative_to(target.resolve()):
        raise EngineError(f"{archive.name} holds the path {name!r}, which leaves its folder: not unpacked", AGAIN)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _link(archive: Path, target: Path, top: str, name: str, to: str) -> None:
    """A link to a file beside it, as libraries have them (libggml.so -> libggml.so.0)."""
    path = _inside(archive, target, top, name)
    if "/" in to or "\\" in to or to in {"", ".", ".."}:
        raise EngineError(f"{archive.name} holds a link {name!r} to {to!r}: not unpacked", AGAIN)
    if os.name == "nt":  # links need rights there; Windows' releases hold none
        return
    path.unlink(missing_ok=True)
    path.symlink_to(to)


def _write(path: Path, stream: object, mode: int, most_bytes: int) -> int:
    """Writes at most the bytes that the archive promised."""
    written = 0
    if path.is_symlink():
        raise EngineError(f"{path.name} is in the archive twice, once as a link: not unpacked", AGAIN)
    with path.open("wb") as file:
        while block := stream.read(BLOCK):  # type: ignore[attr-defined]
            written += len(block)
            if written > most_bytes:
                raise EngineError(f"{path.name} is longer than the archive says: not unpacked", AGAIN)
            file.write(block)
    if mode & 0o111:
        path.chmod(0o755)
    return written
