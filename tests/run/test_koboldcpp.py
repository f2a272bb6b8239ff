"""A koboldcpp that fails in every way it is known to: each ends with the right state, exit code and sentence.

The stand-in (tests/standin) parses the planned command as releases do and runs the embedded engine behind itself.
"""

import json
import signal
import socket
import sys
import threading
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from splitter.bench.alternatives import alternatives
from splitter.bench.client import identify
from splitter.bench.duel import Duel, duel
from splitter.bench.measure import Sweep, measure, measure_points
from splitter.bench.stopping import Stopping
from splitter.engine.command import EngineCommand, Server
from splitter.engine.commands import build_command
from splitter.engine.engines import ENGINES, rules_of
from splitter.engine.find import find_engine
from splitter.engine.log.timings import timings
from splitter.engine.supervision import UNSUPERVISED
from splitter.errors import EngineError
from splitter.memory.settings import Settings
from splitter.model.load import load_model
from splitter.plan.evaluate import evaluate
from splitter.rig.device import Host, Rig
from splitter.rig.files import load_rig
from splitter.run.endpoint import any_free_port, ask
from splitter.run.supervisor import Instance, launch
from splitter.run.watch import Watch
from tests.standin.install import install

pytest.importorskip("xllamacpp")
pytestmark = [
    pytest.mark.usefixtures("no_process_left"),
    pytest.mark.skipif(sys.platform == "win32", reason="the stand-in forks and dies of signals"),
]
TINY = Path(__file__).parents[2] / "examples" / "tiny.gguf"
RELEASES = ("1.123", "1.115.1", "1.76")
QUICK = replace(UNSUPERVISED, terminate_after_s=1, stop_timeout_s=2)


def command(
    folder: Path, release: str = "1.123", *, model: Path = TINY, key: Path | None = None, packed: bool = False,
    **variables: str,
) -> EngineCommand:  # fmt: skip
    """The command for the tiny model on phoenix's three cards, in the order 2, 0, 1, for the binary in `folder`."""
    path = install(folder, packed=packed, KCPP_RELEASE=release, KCPP_PAUSE_S="0.2", **variables)
    engine = find_engine("koboldcpp", str(path.parent))
    assert (engine.path, engine.version) == (str(path), release)
    settings = Settings(
        context_size=1024, gpu_layers=99, device_order=("CUDA2", "CUDA0", "CUDA1"), tensor_split=(3.0, 2.0, 1.0),
        batch_size=512, ubatch_size=512, flash_attention="on", parallel=1, mmap=False,
    )  # fmt: skip
    planned = evaluate(load_model(str(TINY)), load_rig("phoenix"), settings, engine=rules_of("koboldcpp"))
    made = build_command(planned, engine, Server(port=any_free_port(), api_key_file=str(key) if key else None))
    argv = tuple(str(model) if part == str(TINY) else part for part in made.argv)
    return replace(made, argv=argv, model_path=str(model))


def failure(planned: EngineCommand, **limits: Any) -> tuple[EngineError, Instance]:
    """The error of a launch that must fail while it loads, and the ended instance."""
    with pytest.raises(EngineError) as caught, launch(planned, supervision=QUICK, **limits) as instance:
        instance.wait_ready()
    assert caught.value.exit_code == 4
    assert caught.value.hint
    assert instance.phase == "failed"
    return caught.value, instance


@pytest.mark.parametrize("release", RELEASES)
def test_ready_is_what_the_endpoint_says_not_the_printed_line(tmp_path: Path, release: str) -> None:
    printed = threading.Event()

    def listen(line: str) -> None:
        if "Please connect to custom endpoint" in line:
            printed.set()

    planned = command(tmp_path, release, KCPP_BIND_LATE_S="0.5")
    with launch(planned, on_log=listen) as instance:
        assert printed.wait(30)
        assert instance.phase == "starting"
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", planned.server.port)) != 0
        instance.wait_ready()
        assert ask(instance.url, "/api/extra/version").json()["version"] == release
        assert ask(instance.url, "/api/v1/model").json() == {"result": "koboldcpp/tiny"}
        assert ask(instance.url, "/health").status == 404
        assert (ask(instance.url, "/ping").status == 200) is (release != "1.76")
        body = {"prompt": "The card", "max_length": 8, "bypass_eos": True}
        reply = ask(instance.url, "/api/v1/generate", body=body, timeout_s=60).json()
        assert len(reply["results"][0]["text"]) > 8
    assert (instance.phase, instance.exit_code) == ("exited", 0)


def test_a_git_clone_is_found_and_started_by_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its script has mode 0644; the clone lies in ~/koboldcpp, or its folder is named."""
    clone = tmp_path / "home" / "koboldcpp"
    script = install(clone, name="koboldcpp.py", KCPP_RELEASE="1.115.1")
    assert script.stat().st_mode & 0o111 == 0
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    for path in (None, str(clone), str(script)):
        engine = find_engine("koboldcpp", path)
        assert (engine.path, engine.version) == (str(script), "1.115.1")
    settings = Settings(context_size=512, gpu_layers=0, device_order=(), batch_size=512, parallel=1, mmap=False)
    here = Rig("here", Host(os="linux"), ())
    planned = evaluate(load_model(str(TINY)), here, settings, engine=rules_of("koboldcpp", "1.115.1"))
    made = build_command(planned, engine, Server(port=any_free_port()))
    assert made.argv[:2] == ("python3", str(script))
    with launch(made) as instance:
        instance.wait_ready()
        assert ask(instance.url, "/api/extra/version").json()["version"] == "1.115.1"


@pytest.mark.parametrize("release", ["1.123", "1.115.1"])
def test_its_parser_is_asked_before_a_launch(tmp_path: Path, release: str) -> None:
    """`--exportconfig FILE` reads the command, loads nothing, and writes the key: which it therefore never gets."""
    key = tmp_path / "key"
    key.write_text("a-secret\n", encoding="utf-8")
    planned = command(tmp_path, release, key=key)
    ENGINES["koboldcpp"].rehearse(planned)
    with pytest.raises(EngineError) as caught:
        ENGINES["koboldcpp"].rehearse(replace(planned, argv=(*planned.argv, "--contextsize", "100")))
    assert "would not start: the engine does not accept argument --contextsize" in caught.value.message
    assert "100 is not in 256.." in caught.value.message
    assert "--engine-version" in caught.value.hint
    assert not list(tmp_path.rglob("*.kcpps"))


def test_what_cannot_be_asked_is_no_refusal(tmp_path: Path) -> None:
    """A release before 1.84.2, a program that is gone, an engine that is not here."""
    planned = command(tmp_path, "1.76")
    bad = replace(planned, argv=(*planned.argv, "--contextsize", "100"))
    for each in (bad, replace(bad, engine=replace(bad.engine, path=None, version="1.123"))):
        ENGINES["koboldcpp"].rehearse(each)
    gone = replace(bad, engine=replace(bad.engine, version="1.123"), argv=(str(tmp_path / "gone"), *bad.argv[1:]))
    ENGINES["koboldcpp"].rehearse(gone)


def test_the_engines_own_placement_is_read_from_its_log(tmp_path: Path) -> None:
    planned = command(tmp_path)
    own = next(each for each in alternatives(planned) if each.name == "fit")
    plan = Duel(Sweep(8, 8), rounds=1, repetitions=1)
    (outcome,) = duel([own], plan)
    assert outcome.error is None
    assert outcome.alternative.note == "the engine's own placement; it chose -c 4224 -ngl 43 -ts 8,22,13"


def test_a_packed_release_is_supervised_through_its_bootloader(tmp_path: Path) -> None:
    with launch(command(tmp_path, packed=True)) as instance:
        instance.wait_ready()
        assert len(psutil.Process(instance.pid).children(recursive=True)) == 2
    assert (instance.phase, instance.exit_code) == ("exited", 0)


@pytest.mark.parametrize(
    ("more", "refused"),
    [
        (("--moecpu",), "--moecpu"),
        (("--contextsize", "100"), "argument --contextsize: 100 is not in 256..262144"),
        (("--unknown", "word"), "argument model_param: not allowed with argument --model"),
    ],
)
def test_a_usage_error(tmp_path: Path, more: tuple[str, ...], refused: str) -> None:
    planned = command(tmp_path, "1.76")
    error, instance = failure(EngineCommand(planned.engine, (*planned.argv, *more), planned.env, planned.server, "x"))
    assert instance.exit_code == 2
    assert error.message == f"koboldcpp ended while it loaded: the engine does not accept {refused}"
    assert "--engine-version" in error.hint


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    gone = tmp_path / "gone.gguf"
    error, instance = failure(command(tmp_path, model=gone))
    assert instance.exit_code == 2
    assert error.message == f"koboldcpp ended while it loaded: there is no file {gone}"


@pytest.mark.parametrize("release", RELEASES)
def test_no_memory_for_the_cache(tmp_path: Path, release: str) -> None:
    """Its CUDA0 is the first of the cards it is shown: the plan's CUDA2."""
    error, instance = failure(command(tmp_path, release, KCPP_FAIL="context"))
    assert instance.exit_code == 3
    assert error.message == "koboldcpp ended while it loaded: CUDA2 had no room for another 832 MiB"
    assert "--margin" in error.hint


@pytest.mark.parametrize(("release", "code"), [("1.123", 3), ("1.115.1", -signal.SIGSEGV), ("1.76", -signal.SIGSEGV)])
@pytest.mark.parametrize("packed", [False, True])
def test_no_memory_for_the_weights(tmp_path: Path, release: str, code: int, packed: bool) -> None:
    error, instance = failure(command(tmp_path, release, packed=packed, KCPP_FAIL="weights"))
    assert instance.exit_code == code
    assert error.message == "koboldcpp ended while it loaded: CUDA0 had no room for another 6.31 GiB"


@pytest.mark.parametrize(("release", "code"), [("1.123", 3), ("1.115.1", -signal.SIGSEGV)])
def test_a_truncated_model(tmp_path: Path, release: str, code: int) -> None:
    broken = tmp_path / "broken.gguf"
    broken.write_bytes(TINY.read_bytes()[:60_000])
    error, instance = failure(command(tmp_path, release, model=broken))
    assert instance.exit_code == code
    assert "the engine cannot read the model" in error.message
    assert "corrupted or incomplete" in error.message


def test_no_memory_while_it_generates(tmp_path: Path) -> None:
    with launch(command(tmp_path, KCPP_FAIL="generate"), supervision=QUICK) as instance:
        instance.wait_ready()
        with pytest.raises(EngineError, match=r"broke off|nothing listens"):
            measure(instance.url, n_prompt=8, n_generate=8, repetitions=1)
        with pytest.raises(EngineError) as caught:
            instance.wait(20)
    assert instance.exit_code == -signal.SIGABRT
    assert caught.value.message == "koboldcpp ended while it ran: CUDA0 had no room for more memory"


@contextmanager
def holding(port: int) -> Iterator[None]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        yield


def test_a_port_that_is_taken_before(tmp_path: Path) -> None:
    planned = command(tmp_path)
    with holding(planned.server.port), pytest.raises(EngineError, match="already used by") as caught:
        launch(planned)
    assert caught.value.exit_code == 4


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGKILL", "SIGTERM"])
def test_a_signal_is_named_and_no_port_blamed(tmp_path: Path, name: str) -> None:
    """Every healthy start says "IPv6 Socket Failed to Bind"."""
    with launch(command(tmp_path), supervision=QUICK) as instance:
        instance.wait_ready()
        assert any("IPv6 Socket Failed to Bind" in line for line in instance.lines)
        backends = psutil.Process(instance.pid).children(recursive=True)
        psutil.Process(instance.pid).send_signal(getattr(signal, name))
        with pytest.raises(EngineError) as caught:
            instance.wait(20)
    psutil.wait_procs(backends, timeout=5)
    assert caught.value.message.startswith(f"koboldcpp ended while it ran (killed by {name})")
    assert caught.value.hint != "read its log"


def test_a_port_that_is_taken_while_it_loads(tmp_path: Path) -> None:
    """It leaves with exit code 0."""
    planned = command(tmp_path, KCPP_BIND_LATE_S="0.5")
    taken = socket.socket()

    def take(line: str) -> None:
        if "Please connect" in line:
            taken.bind(("127.0.0.1", planned.server.port))  # bound, not listening: nobody answers there

    with taken:
        error, instance = failure(planned, on_log=take)
    assert instance.exit_code == 0
    port = planned.server.port
    assert error.message == f"koboldcpp ended while it loaded: port {port} is taken by another program"


def test_it_serves_no_model(tmp_path: Path) -> None:
    error, _ = failure(command(tmp_path, KCPP_FAIL="inactive"))
    assert error.message.startswith("koboldcpp serves no model")


@pytest.mark.parametrize("release", ["1.123", "1.115.1"])
def test_a_failed_child_of_an_admin_server(tmp_path: Path, release: str) -> None:
    error, instance = failure(command(tmp_path, release, KCPP_FAIL="admin"))
    assert instance.exit_code == 0
    assert error.message == "koboldcpp ended while it loaded: CUDA0 had no room for another 6.31 GiB"


def test_it_hangs_while_it_loads(tmp_path: Path) -> None:
    error, instance = failure(command(tmp_path, KCPP_FAIL="hang"), start_timeout_s=1)
    assert error.message.startswith("koboldcpp was not ready after 1 s and was stopped")
    assert "Loading Text Model" in error.message
    assert instance.exit_code is not None


@pytest.mark.parametrize("release", RELEASES)
def test_measured_as_its_perf_page_says(tmp_path: Path, release: str) -> None:
    perf: list[Any] = []
    with launch(command(tmp_path, release)) as instance:
        instance.wait_ready()

        def note(_done: int, _all: int) -> None:
            perf.append(ask(instance.url, "/api/extra/perf").json())

        result = measure(instance.url, n_prompt=64, n_generate=16, repetitions=2, on_progress=note)
    assert (result.engine, result.model) == ("koboldcpp", "koboldcpp/tiny")
    assert [page["total_gens"] for page in perf] == [1, 2, 3]
    for run, page in zip(result.runs, perf[1:], strict=True):
        assert (run.timed_by, run.generated_tokens) == ("engine", page["last_token_count"])
        assert run.prompt_tokens_per_s == pytest.approx(1000 / page["last_process"])
        assert run.generation_tokens_per_s == pytest.approx(1000 / page["last_eval"])
        assert run.prompt_tokens == pytest.approx(64, rel=0.25)
        if release != "1.76":
            assert run.prompt_tokens_per_s == pytest.approx(page["last_process_speed"])
            assert run.generation_s == pytest.approx(page["last_eval_time"])


@pytest.mark.parametrize("together", [1, 2])
def test_several_requests_at_once_are_timed_by_the_log(tmp_path: Path, together: int) -> None:
    """Its batched path never renews the perf page, and its stream says how often it is looked at, not how fast it is:
    the log alone knows. Counted events gave 49 t/s on any hardware."""
    planned = command(tmp_path)
    batched = EngineCommand(
        planned.engine, (*planned.argv, "--parallelrequests", "2"), planned.env, planned.server, "x"
    )  # fmt: skip
    watch = Watch(Rig("none", Host(), ()))
    with launch(batched, on_log=watch.on_line) as instance:
        instance.wait_ready()
        target = replace(identify(instance.url, None, None, 60), log=lambda: instance.lines)
        (found,) = measure_points(target, Sweep(32, 48, concurrencies=(together,), stopping=Stopping(repetitions=2)))
        assert ask(instance.url, "/api/extra/perf").json()["last_eval"] == 0
        told = [timing for line in instance.lines for timing in timings(line) if not timing.prompt][together:]
    assert {(run.timed_by, run.generated_tokens, run.gaps_s) for run in found.samples} == {("engine", 48, ())}
    assert sorted(run.generation_s for run in found.samples) == sorted(timing.seconds or 0 for timing in told)
    assert found.inter_token_s is None, "20 ms are how often it looks"
    assert found.generation_tokens_per_s
    fastest = max(48 / timing.seconds for timing in told if timing.seconds)
    assert found.generation_tokens_per_s.maximum <= together * fastest * 1.001
    tally = watch.sample().tally
    assert (tally.requests, tally.generated_tokens) == (3 * together, 3 * together * 48)


def test_without_its_log_a_short_answer_is_not_measurable(tmp_path: Path) -> None:
    planned = command(tmp_path)
    batched = EngineCommand(
        planned.engine, (*planned.argv, "--parallelrequests", "2"), planned.env, planned.server, "x"
    )  # fmt: skip
    with launch(batched) as instance:
        instance.wait_ready()
        (run,) = measure(instance.url, n_prompt=8, n_generate=8, repetitions=1).runs
    assert (run.timed_by, run.generated_tokens) == ("clock", 8)
    assert run.generation_tokens_per_s is None


@pytest.mark.parametrize("release", RELEASES)
def test_its_log_counts_what_it_works(tmp_path: Path, release: str) -> None:
    """The timing line of each release is read. Prompts stay out of the log; where the user wants them in it, the
    progress that is written over itself leaves one line."""
    watch = Watch(Rig("none", Host(), ()))
    with launch(command(tmp_path, release), on_log=watch.on_line) as instance:
        instance.wait_ready()
        measure(instance.url, n_prompt=16, n_generate=24, repetitions=1)
    assert (watch.sample().tally.requests, watch.sample().tally.generated_tokens) == (2, 48)
    assert not any("Generating (" in line or "Input: " in line for line in instance.lines)
    quiet = command(tmp_path, release)
    loud = replace(quiet, argv=tuple(word for word in quiet.argv if word != "--quiet"))
    watch = Watch(Rig("none", Host(), ()))
    with launch(loud, on_log=watch.on_line) as instance:
        instance.wait_ready()
        measure(instance.url, n_prompt=16, n_generate=24, repetitions=1)
    tally = watch.sample().tally
    assert (tally.requests, tally.generated_tokens) == (2, 48)
    progress = [line for line in instance.lines if "Generating (" in line]
    assert progress == ["Generating (24 / 24 tokens)"] * 2, "one line for each request: its last state"
    assert not any("\r" in line for line in instance.lines)


def test_a_password_is_read_from_its_file_when_it_starts(tmp_path: Path) -> None:
    key = tmp_path / "key"
    key.write_text("a-secret\nanother\n", encoding="utf-8")
    with launch(command(tmp_path, key=key)) as instance:
        instance.wait_ready()
        assert ask(instance.url, "/api/v1/model").json() == {"result": "koboldcpp/protected-model"}
        with pytest.raises(EngineError, match="needs an API key"):
            measure(instance.url, n_prompt=8, n_generate=8)
        assert measure(instance.url, api_key=instance.api_key, n_prompt=8, n_generate=8, repetitions=1).runs
    said = "\n".join(instance.lines)
    assert "a-secret" not in " ".join(instance.command.argv) + said
    assert "password='***'" in said, "the stand-in prints its whole Namespace, as koboldcpp does"


@pytest.mark.parametrize(("text", "sentence"), [(None, "cannot be read"), ("\n", "its first line is empty")])
def test_never_started_without_the_password_that_was_asked_for(tmp_path: Path, text: str | None, sentence: str) -> None:
    key = tmp_path / "key"
    if text is not None:
        key.write_text(text, encoding="utf-8")
    with pytest.raises(EngineError, match=sentence):
        launch(command(tmp_path, key=key))


def test_a_stream_is_aborted(tmp_path: Path) -> None:
    with launch(command(tmp_path)) as instance:
        instance.wait_ready()
        body = json.dumps({"prompt": "The card", "max_length": 800, "bypass_eos": True}).encode()
        with urllib.request.urlopen(instance.url + "/api/extra/generate/stream", body, timeout=60) as answer:
            assert answer.readline() == b"event: message\n"
            ask(instance.url, "/api/extra/abort", body={})
            events = [line for line in answer if line.startswith(b"data: ")]
    assert len(events) < 800
