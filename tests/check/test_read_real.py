"""The real llama-server as oracle: which flags exist, what it refuses, what a value means."""

import random
import re
import subprocess

import pytest

from splitter.engine.llama_server.flags import REMOVED, flags_by_name
from splitter.engine.reading.command import read_command
from splitter.errors import UsageError
from tests.engine.oracle import RIGS, engine_dir

pytestmark = pytest.mark.engine
BUILD = "11434"


def server(*args: str) -> subprocess.CompletedProcess[str]:
    engine = engine_dir()
    command = [str(engine.binary("llama-server")), *args]
    return subprocess.run(
        command, capture_output=True, text=True, env=engine.env(RIGS["phoenix"]), check=False, timeout=60
    )


HEADS = re.compile(r"^(-{1,2}\w.*)$", re.MULTILINE).findall
SPELLINGS = re.compile(r"(?:^|(?<=, )|(?<=,  )|(?<=,   )|(?<=,    ))--?[A-Za-z][\w.-]*").findall


def test_every_spelling_of_the_help_is_known_and_all_others_are_marked_as_removed() -> None:
    spellings = {name for line in HEADS(server("--help").stdout) for name in SPELLINGS(line)}
    assert len(spellings) > 400
    assert spellings - set(flags_by_name()) == set()
    assert set(flags_by_name()) - spellings - set(REMOVED) == set()


CASES = [
    "-ngl 40", "-ngl all", "-ngl auto", "-ngl many", "-ngl -1", "-ts 1,2/3", "-ts 1,x", "-ts ,1", "-ts 1,2,", "-c 32k",
    "-c x", "-fa on", "-fa", "-fa -c 5", "-fa maybe", "-fa 0", "-np 0", "-np 3", "-kvu", "-no-kvu", "-nkvo",
    "--no-kv-offload", "--no-op-offload", "--op-offload", "-dev CUDA1,CUDA0", "-dev none", "-sm row", "-sm tensor",
    "-sm grid", "-mg 1", "-ctk q8_0", "-ctk q9", "-ot blk=CPU", "-ot blk", "-ncmoe 3", "-ncmoe -3", "-cmoe", "-ncffn 2",
    "-lm none", "-lm maybe", "--no-mmap", "--mlock", "--ctx_size 5", "--ctx-size=5", "-ngl40", "--fit off", "--fit",
    "--fit maybe", "--host 0.0.0.0 --port 80", "--port x", "--tensor-splitt 1", "stray", "-ub 5 -b 4", "--swa-full",
    "--jinja --metrics --temp 0.5", "-md d.gguf -ngld 3", "--draft 4", "--control-vector-layer-range 1 2", "-t 4 -tb 4",
    "-ts 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "-ts 1,1,1,1,1,1,1,1,1,1,1,1,1,1,1", "--load-mode dio", "--cpu-moe 3",
]  # fmt: skip
# -sm row is parsed but ends the load; values that are refused only after parsing.
LATER = {"-sm row"}


@pytest.mark.parametrize("flags", CASES)
def test_refused_and_accepted_as_by_the_real_parser(flags: str) -> None:
    real = server(*flags.split(), "--list-devices").returncode == 0
    try:
        ours = not read_command(["llama-server", *flags.split()], version=BUILD).refusals
    except UsageError:
        ours = False
    assert ours == (real and flags not in LATER)


ENDING = {"--version", "--list-devices", "--cache-list", "-cl", "--completion-bash", "--help", "-h", "--usage"}


def flags_with(values: int) -> list[str]:
    """Spellings of build 11434 that take so many values."""
    known = flags_by_name().items()
    return [name for name, (flag, _) in known if flag.values == values and name not in {*REMOVED, *ENDING}]


def test_flags_without_a_value_take_none() -> None:
    names = [name for name in flags_with(0) if not name.endswith(("-default", "-spec"))]
    for start in range(0, len(names), 12):
        refused = server(*names[start : start + 12], "--list-devices")
        assert refused.returncode == 0, refused.stderr[-300:]


def test_flags_with_a_value_take_one() -> None:
    """Had one none, the parser would call the 1 an invalid argument; had it two, it would not list the devices."""
    for name in random.Random(7).sample(flags_with(1), 60):
        tried = server(name, "1", "--list-devices", "--list-devices")
        assert "invalid argument" not in tried.stderr, name
        assert tried.returncode == 0 or "error while handling argument" in tried.stderr, (name, tried.stderr[-300:])
