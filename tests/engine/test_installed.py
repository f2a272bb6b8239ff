"""Engines from a release server: chosen, checked, whole or not at all; broken and hostile archives leave nothing."""

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from splitter.app import engines
from splitter.app.events import Silent
from splitter.engine import installed, unpack
from splitter.engine.find import find_engine
from splitter.engine.releases import Machine
from splitter.errors import EngineError, EngineNotFoundError
from tests.engine.release_server import ReleaseServer, serving

ASSET = "llama-b11434-bin-ubuntu-x64.tar.gz"
PROGRAM = b"#!/bin/sh\necho 'version: 11434 (abc)'\n"


def tar(*members: tuple[str, bytes], top: str = "llama-b11434/", extra: tuple[tarfile.TarInfo, ...] = ()) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as archive:
        for name, data in members:
            info = tarfile.TarInfo(top + name)
            info.size, info.mode = len(data), 0o755
            archive.addfile(info, io.BytesIO(data))
        for info in extra:
            archive.addfile(info)
    return out.getvalue()


def zipped(*members: tuple[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return out.getvalue()


def special(name: str, kind: bytes, to: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, to
    return info


def encrypted() -> bytes:
    """A zip whose entry says that it is encrypted."""
    data = bytearray(zipped(("llama-server", PROGRAM)))
    data[6] |= 1
    at = data.index(b"PK\x01\x02")
    data[at + 8] |= 1
    return bytes(data)


def odd(member: tarfile.TarInfo) -> bytes:
    return tar(("a", b"x"), extra=(member,))


GOOD = tar(
    ("llama-server", PROGRAM),
    ("libggml.so.0", b"x" * 1000),
    extra=(special("llama-b11434/libggml.so", tarfile.SYMTYPE, "libggml.so.0"),),
)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReleaseServer]:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.delenv("GITHUB_TOKEN", raising=False)
    monkeypatch.setattr(engines, "this_machine", lambda: Machine("linux"))
    monkeypatch.setattr("splitter.model.transfer.PAUSES_S", (0.0, 0.0))
    with serving(ReleaseServer({ASSET: GOOD})) as running:
        monkeypatch.setenv("GITHUB_API_URL", running.url)
        yield running


def install(tag: str | None = None) -> engines.EngineInstall:
    return engines.install_engine("llama-server", tag, None, Silent())


def left_over() -> list[str]:
    home = installed.engines_folder("llama-server")
    return sorted(path.name for path in home.iterdir() if path.name != ".downloads") if home.exists() else []


def test_installed_found_and_in_use(server: ReleaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    made = install()
    program = Path(made.engine.path)
    assert (made.engine.tag, made.engine.backend, made.engine.in_use) == ("b11434", "cpu", True)
    assert program.name == "llama-server"
    assert program.stat().st_mode & stat.S_IXUSR
    assert (program.parent / "libggml.so").readlink() == Path("libggml.so.0")
    assert left_over() == ["b11434+cpu", "in-use.json"]
    monkeypatch.chdir(program.parents[3])
    found = find_engine("llama-server")
    assert (found.path, found.version) == (str(program), "11434")
    asked = len(server.asked)
    assert install().was_here
    assert len(server.asked) == asked + 1  # the API alone


def test_several_versions_one_in_use_and_removal(server: ReleaseServer) -> None:
    install()
    server.tag, server.files = "b11500", {"llama-b11500-bin-ubuntu-x64.tar.gz": GOOD}
    (newer,) = engines.update_engines(None, Silent())
    assert [(e.tag, e.in_use) for e in installed.installed()] == [("b11500", True), ("b11434", False)]
    installed.use("llama-server", "b11434+cpu")
    assert installed.used_program("llama-server") != newer.engine.path
    installed.remove("llama-server", "b11434")
    assert installed.used_program("llama-server") == newer.engine.path
    installed.remove("llama-server", "b11500")
    assert installed.used_program("llama-server") is None
    assert left_over() == []
    with pytest.raises(EngineNotFoundError):
        installed.remove("llama-server", "b1")


def test_an_update_keeps_the_backend_that_is_in_use(server: ReleaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody who took the CPU's build, for reasons of his own, is not given another with the next release."""
    engines.install_engine("llama-server", None, "cpu", Silent())
    monkeypatch.setattr(engines, "this_machine", lambda: Machine("linux", "x64", ("amd",)))
    names = ("llama-b11500-bin-ubuntu-x64.tar.gz", "llama-b11500-bin-ubuntu-vulkan-x64.tar.gz")
    server.tag, server.files = "b11500", dict.fromkeys(names, GOOD)
    assert install().engine.backend == "vulkan"
    installed.remove("llama-server", "b11500")
    (newer,) = engines.update_engines(None, Silent())
    assert (newer.engine.tag, newer.engine.backend) == ("b11500", "cpu")


def test_a_broken_line_goes_on_where_it_ended(server: ReleaseServer) -> None:
    server.cut = [100, 50]
    assert install().engine.in_use
    assert [h.get("Range") for path, h in server.asked if path.startswith("/files/")][1:] == [
        "bytes=100-",
        "bytes=150-",
    ]


def test_a_backends_own_file_gets_the_programs_from_the_cpu_build(
    server: ReleaseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Windows' CUDA file holds ggml-cuda.dll alone in some releases."""
    monkeypatch.setattr(engines, "this_machine", lambda: Machine("linux", "x64", ("amd",)))
    server.files["llama-b11434-bin-ubuntu-vulkan-x64.tar.gz"] = tar(("libggml-vulkan.so", b"v"))
    folder = Path(install().engine.path).parent
    assert {"llama-server", "libggml-vulkan.so", "libggml.so.0"} <= {path.name for path in folder.iterdir()}


def test_a_program_by_itself(server: ReleaseServer) -> None:
    server.files = {"koboldcpp-linux-x64-nocuda": PROGRAM}
    made = engines.install_engine("koboldcpp", None, None, Silent())
    assert Path(made.engine.path).name == "koboldcpp-linux-x64-nocuda"
    assert os.access(made.engine.path, os.X_OK)


TRUNCATED = GOOD[: len(GOOD) // 2]
BOMB = zipped(("llama-server", b"\0" * (200 * 1024**2)))
HOSTILE: dict[str, tuple[str, Callable[[], bytes], str]] = {
    "not an archive": (ASSET, lambda: b"<html>sign in</html>", "not an archive"),
    "empty": (ASSET, lambda: b"", "not an archive"),
    "truncated": (ASSET, lambda: TRUNCATED, "broken"),
    "bad crc": (ASSET, lambda: GOOD[:-8] + b"\0" * 8, "broken"),
    "no program inside": (ASSET, lambda: tar(("readme.txt", b"x")), "holds no llama-server"),
    "an empty archive": (ASSET, tar, "holds no llama-server"),
    "tar traversal": (ASSET, lambda: tar(("a", PROGRAM), ("../../evil", b"x"), top=""), "leaves its folder"),
    "tar traversal below a top folder": (ASSET, lambda: tar(("../../evil", b"x"), ("a", b"x")), "leaves its folder"),
    "tar absolute": (ASSET, lambda: tar(("/etc/evil", b"x"), ("llama-server", PROGRAM), top=""), "leaves its folder"),
    "tar with a device": (ASSET, lambda: odd(special("llama-b11434/d", tarfile.CHRTYPE)), "not a file"),
    "tar with a fifo": (ASSET, lambda: odd(special("llama-b11434/p", tarfile.FIFOTYPE)), "not a file"),
    "tar with a hard link": (
        ASSET,
        lambda: odd(special("llama-b11434/h", tarfile.LNKTYPE, "/etc/passwd")),
        "not a file",
    ),
    "tar link out": (ASSET, lambda: odd(special("llama-b11434/l", tarfile.SYMTYPE, "../../..")), "link"),
    "tar link absolute": (ASSET, lambda: odd(special("llama-b11434/l", tarfile.SYMTYPE, "/etc")), "link"),
    "tar link to the folder above": (ASSET, lambda: odd(special("llama-b11434/l", tarfile.SYMTYPE, "..")), "link"),
    "zip traversal": (ASSET, lambda: zipped(("../../evil", b"x"), ("llama-server", PROGRAM)), "leaves its folder"),
    "zip absolute": (ASSET, lambda: zipped(("/etc/evil", b"x"), ("llama-server", PROGRAM)), "leaves its folder"),
    "zip drive": (ASSET, lambda: zipped(("C:\\evil.exe", b"x"), ("llama-server", PROGRAM)), "leaves its folder"),
    "zip backslashes": (ASSET, lambda: zipped(("..\\..\\evil", b"x"), ("llama-server", PROGRAM)), "leaves its folder"),
    "zip bomb": (ASSET, lambda: BOMB, "would unpack to"),
    "twenty thousand files": (ASSET, lambda: zipped(*((f"f{i}", b"") for i in range(20_001))), "would unpack to"),
    "encrypted zip": (ASSET, encrypted, "broken"),
}


@pytest.mark.parametrize("kind", HOSTILE)
def test_broken_and_hostile_archives_install_nothing(server: ReleaseServer, tmp_path: Path, kind: str) -> None:
    name, made, sentence = HOSTILE[kind]
    server.files = {name: made()}
    with pytest.raises(EngineError, match=sentence):
        install()
    assert left_over() == []
    assert not list(tmp_path.rglob("evil*"))
    assert installed.installed() == ()


def test_wrong_digest_wrong_size_and_a_dead_line_install_nothing(server: ReleaseServer) -> None:
    server.digests = {ASSET: "sha256:" + "0" * 64}
    with pytest.raises(EngineError, match="not what its release says"):
        install()
    assert left_over() == []
    server.digests, server.cut = {}, [10, 0, 0, 0, 0]
    with pytest.raises(EngineError, match="connection broke") as caught:
        install()
    assert "continues where this one ended" in caught.value.hint
    assert left_over() == []
    server.cut = []
    assert install().engine.in_use  # the ten bytes were kept


def test_a_failed_update_keeps_what_is_there(server: ReleaseServer) -> None:
    install()
    server.tag, server.files = "b11500", {"llama-b11500-bin-ubuntu-x64.tar.gz": TRUNCATED}
    with pytest.raises(EngineError):
        engines.update_engines(None, Silent())
    assert [(e.tag, e.in_use) for e in installed.installed()] == [("b11434", True)]


def test_no_room_no_network_no_more_questions(server: ReleaseServer, monkeypatch: pytest.MonkeyPatch) -> None:
    server.answers = [(403, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1764280800"}, b"{}")]
    with pytest.raises(EngineError, match="limit of requests from this address is reached until") as caught:
        install()
    assert "GITHUB_TOKEN" in caught.value.hint
    server.answers = [(200, {}, b"<html>")]
    with pytest.raises(EngineError, match="cannot be listed"):
        install()
    server.answers = [(500, {}, b"")]
    with pytest.raises(EngineError, match="answers 500"):
        install()
    with pytest.raises(EngineError, match="there is no release"):
        install("b1")
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    server.answers = [(401, {}, b"")]
    with pytest.raises(EngineError, match="refuses the token"):
        install()
    assert server.asked[-1][1]["Authorization"] == "Bearer secret"
    install()
    assert all("Authorization" not in headers for path, headers in server.asked if path.startswith("/files/"))
    installed.remove("llama-server", "b11434")
    monkeypatch.setattr(installed, "SPARE_BYTES", 10**18)
    with pytest.raises(EngineError, match="needed to install"):
        install()
    monkeypatch.setenv("GITHUB_API_URL", "http://127.0.0.1:1")
    with pytest.raises(EngineError, match="cannot be listed") as caught:
        install()
    assert "HTTPS_PROXY" in caught.value.hint


def test_a_file_longer_than_its_archive_says(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="longer than the archive says"):
        unpack._write(tmp_path / "x", io.BytesIO(b"12345"), 0, 4)
