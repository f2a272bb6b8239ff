"""The Python API: what docs/python.md shows, one name per use case, lazily imported, several instances at once."""

import inspect
import json
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

import splitter
from splitter.app.keywords import ALIASES, Keywords, wishes_of
from splitter.errors import DoesNotFitError, SplitterError, UsageError
from splitter.profile.keys import BY_PATH, KEYS
from splitter.run.registry import Registry
from splitter.run.stopping import stop
from tests.cli.conftest import TINY, Splitter

ROOT = Path(__file__).parents[2]
BLOCKS = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "python.md").read_text(encoding="utf-8"), re.DOTALL)


def test_every_block_of_the_page_runs(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("xllamacpp")
    monkeypatch.chdir(ROOT)
    names: dict[str, object] = {}
    for number, block in enumerate(BLOCKS, 1):
        exec(compile(block, f"docs/python.md, block {number}", "exec"), names)
    said = capsys.readouterr().out
    assert "llama-server" in said
    assert "does_not_fit" in said
    assert "remark:" not in said
    assert "doing: solving the placement" in said
    assert len(BLOCKS) >= 7


def test_the_page_is_typed(tmp_path: Path) -> None:
    """A strict type checker knows what every function of the page takes and returns."""
    (tmp_path / "page.py").write_text("\n".join(BLOCKS), encoding="utf-8")
    words = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run([*words, str(tmp_path / "page.py")], capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout


def test_a_function_is_a_room_as_well() -> None:
    import splitter.plan.solve as solving

    assert callable(splitter.plan)
    assert callable(splitter.bench)
    assert splitter.plan.solve is solving  # type: ignore[attr-defined]
    assert "verify" in inspect.signature(splitter.plan).parameters
    with pytest.raises(AttributeError, match="no attribute 'plans'"):
        splitter.plans  # noqa: B018
    assert set(splitter.__all__) == set(dir(splitter))


def test_importing_imports_nothing() -> None:
    code = "import sys, splitter; print(sorted(m for m in sys.modules if m.startswith('splitter')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['splitter']"


def test_the_library_knows_no_command_line() -> None:
    code = (
        "import sys, splitter; splitter.plan(sys.argv[1], gpus='3060', context=512); "
        "splitter.check(sys.argv[1], '-ngl', '3', gpus='3060'); "
        "print([m for m in ('typer', 'rich', 'click', 'splitter.cli') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code, TINY], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_keywords_are_the_profiles_keys() -> None:
    """Every key of a profile can be said, and every keyword is a key."""
    about = {"name", "description", "model"}
    samples = {"rig": "phoenix"}
    said = {next(iter(wishes_of(None, None, {name: samples.get(name, 1)}).values)) for name in Keywords.__annotations__}
    assert said - {"rig.file"} == {key.path for key in KEYS} - about - {"rig.file"}
    assert set(ALIASES) <= set(Keywords.__annotations__)
    assert set(ALIASES.values()) <= set(BY_PATH)


def test_keywords_say_what_flags_say(splitter: Splitter) -> None:
    import splitter as library

    flags = ("--gpus", "1050ti,2080,1060-6gb", "-c", "2048", "-ngl", "all", "-ts", "1,2,1", "-ctk", "q8_0", "-fa", "on",
             "--margin", "600,400,400", "--engine-version", "11434", "--port", "9000")  # fmt: skip
    told = splitter("plan", TINY, *flags, "--json").json()["data"]
    planned = library.plan(
        Path(TINY),
        gpus=["1050ti", "2080", "1060-6gb"],
        context=2048,
        gpu_layers="all",
        tensor_split=[1, 2, 1],
        cache_type_k="q8_0",
        flash_attention="on",
        margin=(600, 400, 400),
        engine_version="11434",
        port=9000,
    )
    ours = json.loads(json.dumps(planned.data()))
    for data in (ours, told, *ours["alternatives"], *told["alternatives"]):
        del data["host"]["ram_free_bytes"]  # it changes from moment to moment
    assert ours == told


def test_check_takes_settings_as_keywords(splitter: Splitter) -> None:
    import splitter as library

    flags = ("-ngl", "3", "-c", "4096", "-ts", "1,2,1", "--rig", "phoenix", "--json")
    told = splitter("check", TINY, *flags).json()["data"]
    found = library.check(TINY, gpu_layers=3, context=4096, tensor_split=(1, 2, 1), rig="phoenix")
    assert found.fits
    ours = json.loads(json.dumps(found.data()))
    names = ("settings", "devices", "speed", "warnings")
    assert {name: ours[name] for name in names} == {name: told[name] for name in names}


def test_a_checked_command_says_what_was_given_beside_it() -> None:
    """A keyword is a part of what was checked: the command, and the one to run instead, have its flag."""
    found = splitter.check(TINY, "--top-k", "40", gpus="1050ti", context_size=2000000, gpu_layers=99)
    assert not found.fits
    line = found.command["line"]
    assert f"{TINY} --top-k 40" in line
    assert found.command["argv"] == line.split()
    again = splitter.check(command=line, gpus="1050ti")
    assert again.plan.settings == found.plan.settings
    assert again.plan.settings.context_size == 2000000
    assert again.plan.settings.gpu_layers > again.plan.facts.layers
    assert found.instead is not None
    assert found.better is not None
    cured = splitter.check(command=found.instead["line"], gpus="1050ti")
    assert cured.fits
    assert "-ngl" in found.instead["argv"] or "--gpu-layers" in found.instead["argv"]
    assert cured.plan.settings == found.better.settings
    whole = splitter.check(TINY, "-ngl", "3", gpus="1050ti")
    assert whole.command["argv"][-2:] == ["-ngl", "3"]
    with pytest.raises(UsageError, match="not at max"):
        splitter.check(TINY, gpus="1050ti", context="max")


def test_errors_have_a_next_step() -> None:
    with pytest.raises(UsageError, match="no keyword 'contextsise'") as unknown:
        splitter.plan(TINY, contextsise=3)  # type: ignore[call-arg]
    assert unknown.value.hint == "did you mean context_size?"
    with pytest.raises(SplitterError, match="must be") as wrong:
        splitter.plan(TINY, context="many")  # type: ignore[arg-type]
    assert "context_size" in wrong.value.message
    assert wrong.value.message.startswith("context (context_size) must be")
    with pytest.raises(SplitterError, match=r"^port must be a whole number"):
        splitter.plan(TINY, port="http")  # type: ignore[arg-type]
    with pytest.raises(DoesNotFitError):
        splitter.plan(TINY, rig="phoenix", gpu_layers="all", margin=8000)
    with pytest.raises(UsageError, match="both name the devices"):
        splitter.plan(TINY, rig="phoenix", gpus="3060")


def test_ranking_takes_a_folder_or_files() -> None:
    folder = splitter.rank(Path(TINY).parent, rig="phoenix")
    files = splitter.rank([TINY], rig="phoenix")
    assert Path(folder.recommended or "").name == "tiny.gguf"
    assert files.recommended == TINY
    with pytest.raises(UsageError, match="no model to rank"):
        splitter.rank([], rig="phoenix")


def test_a_running_server_is_measured_as_it_is() -> None:
    """What would have to be planned or launched is refused, not left out in silence."""
    with pytest.raises(UsageError, match="without model, context_size"):
        splitter.bench(TINY, url="http://127.0.0.1:1", context_size=512)


def test_two_engines_in_one_program() -> None:
    pytest.importorskip("xllamacpp")
    before = signal.getsignal(signal.SIGINT)
    with splitter.launch(TINY, engine="embedded", context=256, name="one") as one:
        two = splitter.launch(TINY, engine="embedded", context=256, name="two")
        assert signal.getsignal(signal.SIGINT) is before
        assert one.url != two.url
        for running in (one, two):
            with urllib.request.urlopen(f"{running.url}/health", timeout=10) as answer:
                assert answer.status == 200
            measured = running.metrics()
            assert measured["phase"] == "ready"
            json.dumps(measured)
        entries = {entry.name: entry for entry in Registry().entries()}
        assert set(entries) == {"one", "two"}
        assert stop(Registry(), [entries["two"]], 20) == ()
        two.wait(20)
        assert one.phase == "ready"
        assert {entry.name for entry in Registry().entries()} == {"one"}
        assert two.stop() == two.stop()
        last = two.metrics()  # of an engine that has ended: as it was, and the driver is not asked again
        assert (last["phase"], last["restarts"]) == ("exited", 0)
    assert Registry().entries() == ()


def test_an_engine_that_cannot_start_says_why() -> None:
    with pytest.raises(SplitterError, match="there is no file /nowhere/llama-server"):
        splitter.launch(TINY, engine_path="/nowhere/llama-server", gpus="3060")
