"""The rooms of design.md: imports go down the arrows only, decisions stay pure, cli alone speaks to the terminal."""

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from splitter.engine.engines import NAMES

ROOT = Path(__file__).parents[1] / "splitter"
FACES = ("cli", "web", "gateway")  # what talks to people and programs: each over all other rooms, never another face
ROOMS = ("model", "memory", "rig", "plan", "engine", "script", "run", "bench", "profile", "app", *FACES)
LEAVES = {"units", "errors", "shipped", "folders", "whole_file", "printable", "safe_yaml", "masking"}
MAY_IMPORT: dict[str, set[str]] = {
    "model": set(),
    "memory": {"model"},
    "rig": set(),
    "plan": {"model", "memory", "rig"},
    "engine": {"model", "memory", "rig", "plan"},
    "script": {"model", "plan", "engine"},
    "run": {"memory", "rig", "plan", "engine"},
    "bench": {"model", "memory", "rig", "plan", "engine", "run"},
    "profile": {"model", "memory", "rig", "plan", "engine"},
    "app": {"model", "memory", "rig", "plan", "engine", "script", "run", "bench", "profile"},
} | {face: set(ROOMS) - set(FACES) for face in FACES}
# The thin modules that touch the world (files, driver, network, clock, processes), one reason each.
WORLD = {
    "model/source.py": "opens local files and answers range reads",
    "model/remote.py": "HTTP range requests",
    "model/hub.py": "Hugging Face's URLs, token and file lists",
    "model/fetch.py": "downloads from the Hub",
    "model/placing.py": "links a fetched file into another program's folder",
    "model/transfer.py": "streams a remote file to disk",
    "model/found.py": "looks into the caches of other programs",
    "model/locate.py": "asks whether a reference is a file",
    "model/load.py": "finds the parts of a model on disk or remotely",
    "rig/nvml.py": "asks the driver",
    "rig/listing.py": "runs the engine's --list-devices",
    "rig/sensors.py": "asks the driver while an engine runs",
    "rig/sysfs_sensors.py": "asks Linux while an engine runs",
    "rig/sysfs.py": "asks Linux for AMD and Intel cards",
    "rig/host.py": "asks psutil",
    "rig/files.py": "reads rig files and the catalog",
    "rig/node_file.py": "keeps the file of other machines",
    "rig/probe.py": "combines the probes",
    "engine/find.py": "looks for engines on disk and asks their version",
    "engine/installed.py": "downloads releases and keeps them on disk",
    "engine/unpack.py": "unpacks archives",
    "engine/learnt.py": "keeps what dry runs taught in the user's cache folder",
    "engine/capture.py": "runs an engine's short-lived tools",
    "engine/koboldcpp/rehearsal.py": "runs koboldcpp's parser alone",
    "engine/llama_server/dry_run.py": "runs llama-fit-params",
    "engine/embedded/server.py": "the child process that serves the embedded engine",
    "script/write.py": "writes the rendered files",
    "run/browser.py": "opens the page in the browser",
    "run/editor.py": "opens a text in the user's editor",
    "run/keys.py": "makes and finds the API key's file",
    "run/process.py": "starts and stops processes",
    "run/exit_code.py": "asks the system what its signals are called",
    "run/guard.py": "the process that ends the engine when the supervisor is killed (POSIX)",
    "run/job_object.py": "the job object that does so on Windows",
    "run/registry.py": "the files and locks of running instances",
    "run/stopping.py": "asks other supervisors to stop, and waits",
    "run/log_reader.py": "reads and follows log files",
    "run/log_file.py": "writes and rotates log files",
    "run/endpoint.py": "asks the engine over HTTP",
    "run/supervisor.py": "owns the loop and the clock",
    "run/interrupts.py": "asks which thread it runs in",
    "run/rpc_worker.py": "starts the worker that other machines compute with, and watches its port",
    "run/tunnel.py": "runs ssh",
    "run/watch.py": "samples a running instance from a thread",
    "run/process_use.py": "asks psutil what processes use",
    "run/metrics_server.py": "answers Prometheus over HTTP",
    "bench/measure.py": "owns the rounds and the budget's clock",
    "bench/cards.py": "reads the cards while something is measured",
    "bench/client.py": "times requests over HTTP",
    "bench/duel.py": "launches commands in turn, and owns their clock",
    "bench/run_llama_bench.py": "runs llama-bench",
    "bench/records/records.py": "keeps measurements in SQLite",
    "profile/files.py": "reads profile files",
    "gateway/app.py": "owns the wall clock of the history",
    "gateway/door.py": "owns the clock of the queue",
    "gateway/haproxy_process.py": "starts and stops HAProxy",
    "gateway/keeper.py": "probes, finds, writes, on its own clock",
    "gateway/probe.py": "asks backends over HTTP",
    "gateway/quota.py": "asks Redis",
    "gateway/relay.py": "passes requests on over HTTP",
    "gateway/serve.py": "listens, and hears the signals that stop it",
    "gateway/store.py": "keeps keys and history in a database",
    "app/background.py": "starts a launch's supervisor as a background process",
    "app/joining.py": "a thread that tells a gateway of an engine",
    "app/running.py": "a thread that supervises an engine for a program",
    "app/looking.py": "asks for the environment's variables",
    "app/nodes.py": "measures the network to a node",
    "app/working.py": "looks for the worker beside the engine, and hears whether it is still wanted",
    "app/grouping.py": "a thread that watches the tunnels of a launch",
    "app/listing.py": "owns the time for solving many models",
    "app/tuning.py": "owns a tune's clock",
    "web/serve.py": "listens, and keeps the session's key",
    "web/work.py": "a process for each piece of long work",
    "web/worker.py": "that process: its input and its output",
    "web/watching.py": "a thread that samples an instance",
    "web/live.py": "tells how long an instance has been running",
    "web/desk.py": "keeps headers and rigs for a while, by the clock",
    "web/api.py": "looks every now and then whether long work has news",
    "app/scripting.py": "quotes a line for Windows as subprocess would",
}
EFFECTS = {"os", "subprocess", "socket", "urllib", "http", "time", "psutil", "pynvml", "shutil", "tempfile", "signal",
           "huggingface_hub", "requests", "httpx", "aiohttp", "random", "sqlite3", "threading", "ctypes"}  # fmt: skip


def modules() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(ROOT.rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text(encoding="utf-8"))


def imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            yield base
            if base == "splitter":
                yield from (f"{base}.{alias.name}" for alias in node.names)


def room_of(module: str) -> str:
    return module.split("/")[0] if "/" in module else ""


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down_the_arrows(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room} | LEAVES
    wrong = [
        f"{module}: {name}"
        for module, tree in modules()
        if room_of(module) == room
        for name in imported(tree)
        if name.startswith("splitter.") and name.split(".")[1] not in allowed | {"__version__"}
    ]
    assert wrong == []


def test_leaves_import_no_room() -> None:
    wrong = [
        f"{module}: {name}"
        for module, tree in modules()
        if module in {f"{leaf}.py" for leaf in LEAVES}
        for name in imported(tree)
        if name.startswith("splitter")
    ]
    assert wrong == []


@pytest.mark.parametrize(
    ("rooms", "libraries"),
    [({"cli"}, {"typer", "rich", "click"}), ({"web", "gateway"}, {"fastapi", "starlette", "uvicorn", "jinja2"})],
    ids=["terminal", "HTTP"],
)
def test_only_faces_import_their_libraries(rooms: set[str], libraries: set[str]) -> None:
    wrong = [
        f"{module}: {name}"
        for module, tree in modules()
        if room_of(module) not in rooms
        for name in imported(tree)
        if name.split(".")[0] in libraries
    ]
    assert wrong == []


def test_only_world_modules_touch_the_world() -> None:
    wrong = [
        f"{module}: {name}"
        for module, tree in modules()
        if room_of(module) not in {"", "cli"} and module not in WORLD
        for name in imported(tree)
        if name.split(".")[0] in EFFECTS and name != "urllib.parse"
    ]
    assert wrong == []


def test_every_room_of_the_design_exists() -> None:
    assert {p.name for p in ROOT.iterdir() if p.is_dir() and not p.name.startswith("_")} == set(ROOMS)


def test_only_units_knows_1024() -> None:
    wrong = [
        f"{module}:{node.lineno}"
        for module, tree in modules()
        if module != "units.py"
        for node in ast.walk(tree)
        if (isinstance(node, ast.Constant) and type(node.value) is int and node.value in {1024**2, 1024**3})
        or (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Pow)
            and isinstance(node.left, ast.Constant)
            and node.left.value == 1024
        )
    ]
    assert wrong == []


def test_no_engine_name_is_compared_outside_the_engine_room() -> None:
    """An engine is a value that answers questions: its name is no condition, no key, no case elsewhere."""
    wrong = [
        f"{module}:{getattr(node, 'lineno', '')}"
        for module, tree in modules()
        if room_of(module) != "engine"
        for node in ast.walk(tree)
        if any(isinstance(part, ast.Constant) and part.value in NAMES for part in decided_by(node))
    ]
    assert wrong == []


def decided_by(node: ast.AST) -> Iterator[ast.AST]:
    """The constants that `node` compares, matches, or looks up."""
    match node:
        case ast.Compare():
            for side in (node.left, *node.comparators):
                yield side
                yield from getattr(side, "elts", ())
        case ast.Dict():
            yield from (key for key in node.keys if key)
        case ast.MatchValue():
            yield node.value
        case ast.Subscript():
            yield node.slice
        case ast.Call(func=ast.Attribute(attr="get")):
            yield from node.args


def test_no_two_classes_share_a_name() -> None:
    homes: dict[str, list[str]] = {}
    for module, tree in modules():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                homes.setdefault(node.name, []).append(module)
    assert {name: found for name, found in homes.items() if len(found) > 1} == {}


def test_no_modules_import_each_other_in_a_circle() -> None:
    """At the level of the modules: what a function imports, or a type checker alone, is no circle when it runs."""
    names = {dotted(module): tree for module, tree in modules()}
    graph = {name: {t for t in loaded(tree.body) if t in names and t != name} for name, tree in names.items()}
    while leaves := {name for name, targets in graph.items() if not targets}:
        graph = {name: targets - leaves for name, targets in graph.items() if name not in leaves}
    assert graph == {}, "what is left imports each other, or what does"


def dotted(module: str) -> str:
    return "splitter." + module.removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def loaded(body: Iterable[ast.stmt]) -> Iterator[str]:
    """The modules that the statements load: `from splitter.a import b` is `splitter.a`, and `splitter.a.b` if there is
    such a module. A package's own file counts where it is named."""
    for node in body:
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom(module=str(base)):
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names)
            case ast.If(test=ast.Name(id="TYPE_CHECKING")):
                yield from loaded(node.orelse)
            case ast.If() | ast.Try() | ast.With() | ast.ClassDef():
                for part in ("body", "orelse", "finalbody"):
                    yield from loaded(getattr(node, part, ()))
                for handler in getattr(node, "handlers", ()):
                    yield from loaded(handler.body)
