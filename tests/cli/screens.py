"""What the verbs show, made of fixed values: every screen with a table, for the snapshots and the tests of narrow
terminals. Nothing here is solved or estimated, so that a better model of memory or speed changes no snapshot.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from io import StringIO
from pathlib import Path

from rich.console import Console, RenderableType

from splitter.app.listing import ListedModel
from splitter.bench.verdict import compare_records
from splitter.cli.views.advice import advice_view
from splitter.cli.views.bench_record import comparison_view, duel_view, list_view, record_view
from splitter.cli.views.checked import checked_view
from splitter.cli.views.log_story import log_view
from splitter.cli.views.models import models_view
from splitter.cli.views.plan import notices_view, plan_view
from splitter.cli.views.ps import ps_view
from splitter.cli.views.rig import rig_view
from splitter.engine.engines import rules_of
from splitter.engine.log.explain import explain_log
from splitter.engine.log.shortage import Shortage
from splitter.engine.log.story import LoggedDevice, LogStory
from splitter.errors import DoesNotFitError, ModelError
from splitter.memory.footprint import Footprint, MemoryUse, Placement
from splitter.memory.settings import Settings
from splitter.model.caches import FoundModel, Source
from splitter.model.facts import ModelFacts, TensorInfo
from splitter.plan.advise import Advice, RankedFile, RankedModel
from splitter.plan.plan import Notice, Plan, PlannedDevice, Speed, Turn, Verified
from splitter.rig.device import Device, Host, Rig
from splitter.run.entry import Entry, Reserved
from splitter.units import GIB, MIB
from tests.bench.make_record import make_point, make_record

WIDTHS = (60, 80, 100, 160)
FOLDER = Path(__file__).parent / "snapshots"

FACTS = ModelFacts(
    path="/models/Qwen2.5-32B-Instruct-Q4_K_M.gguf", name="Qwen2.5 32B Instruct", architecture="qwen2",
    quantization="Q4_K_M", file_bytes=19_851_335_840, layers=64, context_train=32768, parameters=32_763_876_352,
    vocabulary=152064, tensors=(TensorInfo("blk.0.attn_q.weight", (5120, 5120), 12, 14_745_600, 0),), metadata={},
)  # fmt: skip
RIG = Rig(
    "phoenix",
    Host(64 * GIB, 60000 * MIB, 60e9, 12, "windows", {"ram_bandwidth_bytes_per_s": "rig file"}),
    (
        Device("CUDA0", "NVIDIA GeForce GTX 1050 Ti", 4096 * MIB, 3900 * MIB, 112e9, "6.1", display=True),
        Device("CUDA1", "NVIDIA GeForce RTX 2080", 8192 * MIB, 7800 * MIB, 448e9, "7.5", display=None),
        Device("CUDA2", "NVIDIA GeForce GTX 1060 6GB", 6144 * MIB, 5900 * MIB, 192e9, "6.1", display=False),
    ),
)
SETTINGS = Settings(
    context_size=16384, gpu_layers=46, tensor_split=(9, 22, 15), device_order=("CUDA0", "CUDA1", "CUDA2"),
    cache_type_k="q8_0", cache_type_v="q8_0",
)  # fmt: skip
OWNERS = (*[None] * 19, *[0] * 9, *[1] * 22, *[2] * 15)


def use(model: int, context: int, compute: int, other: int) -> MemoryUse:
    return MemoryUse(model * MIB, context * MIB, compute * MIB, (("CUDA context", other * MIB),) if other else ())


TURN = Turn(1024, 256, 2048, 59.3)
SPEED = Speed(4.7312, 211.57, generation_range=(4.2, 5.4), prompt_range=(160.0, 280.0), turn=TURN)


def plan(free_on_first_mib: int = 3900) -> Plan:
    first = replace(RIG.devices[0], free_bytes=free_on_first_mib * MIB)
    uses = (use(2516, 306, 116, 377), use(5951, 748, 116, 488), use(4219, 476, 308, 454))
    layers = (tuple(range(19, 28)), tuple(range(28, 50)), tuple(range(50, 64)))
    devices = tuple(
        PlannedDevice(device, held, held[-1] == 63, memory, 256 * MIB)
        for device, held, memory in zip((first, *RIG.devices[1:]), layers, uses, strict=True)
    )
    return Plan(
        FACTS, RIG, rules_of("llama-server"), SETTINGS, Placement(OWNERS, 3),
        Footprint(uses, use(5645, 646, 37, 0)), devices,
        SPEED, ("GPU memory is the limit: 19 of 64 layers stay in RAM",),
    )  # fmt: skip


def planned() -> Iterator[RenderableType]:
    shorter = replace(plan(), title="a shorter context", flags=("-c", "8192"), speed=Speed(5.21, 230.0))
    tensor = replace(plan(2000), title="every layer on several cards", flags=("-sm", "tensor"))
    found = replace(plan(), alternatives=(shorter, tensor), verified=Verified("llama-fit-params", "11434", 3 * MIB))
    return plan_view(found)


def checked() -> Iterator[RenderableType]:
    warning = Notice("split_rounded", "-ts 1.5,4.5,3 is rounded to 9 + 22 + 15 layers", "write the layers: -ts 9,22,15")
    tight = replace(plan(2000), warnings=(warning,))
    culprit = "the q8_0 cache of 16384 tokens takes 1.49 GiB on the devices"
    instead = "llama-server -m Qwen2.5-32B-Instruct-Q4_K_M.gguf --fit off -c 8192 --device CUDA0,CUDA1,CUDA2 -ngl 44"
    refused = Notice("cache_type", "a quantised V cache needs flash attention")
    yield from checked_view(tight, (refused,), culprit, instead, plan())
    yield from notices_view(tight.warnings)


def told() -> Iterator[RenderableType]:
    held = LoggedDevice("CUDA0", "Tesla P100-PCIE-16GB", None, 16013 * MIB, 1301 * MIB, 96 * MIB)
    story = LogStory(
        "llama-server", "8829",
        {"name": "Qwen3.5-122B-A10B", "architecture": "qwen35moe", "file_size": "71.27 GiB", "layers": "48",
         "context_size": "16384", "ubatch_size": "8192", "flash_attention": "disabled"},
        (held, LoggedDevice("CPU_Mapped", model_bytes=63315 * MIB)), (49, 49),
        short=Shortage("CUDA0", 18176 * MIB, "compute"),
    )  # fmt: skip
    return log_view(story, explain_log(story))


def listed() -> Iterator[RenderableType]:
    def found(name: str, source: Source, size_bytes: int) -> FoundModel:
        return FoundModel(name, f"/m/{name}", source, size_bytes)

    fast = replace(plan(), speed=Speed(328557.5, None))
    error = DoesNotFitError("needs 2861 GiB of RAM; only 58.6 GiB is free")
    return models_view(
        (
            ListedModel(found("bartowski/Qwen2.5-32B-Instruct-GGUF/Qwen2.5-32B-Instruct-Q4_K_M.gguf", "Hugging Face",
                              19_851_335_840), FACTS, plan(), "partly"),
            ListedModel(found("tiny.gguf", "folder", 1_400_000), FACTS, fast, "gpu"),
            ListedModel(found("huge.gguf", "folder", 3 * 1024 * GIB), FACTS, fit="no", error=error),
            ListedModel(found("broken.gguf", "LM Studio", 12), error=ModelError("it is a web page, not a GGUF model")),
        ),
        RIG,
    )  # fmt: skip


def running() -> Iterator[RenderableType]:
    held = tuple(Reserved(p.device.id, p.device.name, None, p.used_bytes(), asked=True) for p in plan().devices)
    entry = Entry(
        name="phoenix", id="1", supervisor_pid=1, supervisor_created=0.0, engine_kind="llama-server",
        engine_version="11434", host="127.0.0.1", port=18211, url="http://127.0.0.1:18211", model_path="m.gguf",
        model_name="Qwen2.5-32B-Instruct-Q4_K_M", log_file=None, argv=(), api_key_file=None, started_at=0.0,
        phase="ready", engine_pid=123456, devices=held,
    )  # fmt: skip
    second = replace(entry, name="embedded-on-the-second-port", engine_kind="embedded", engine_version="2026.10.11549",
                     devices=(), phase="degraded", restarts=12, url="http://127.0.0.1:8081")  # fmt: skip
    return ps_view((entry, second), 100_000.0)


def ranked() -> Iterator[RenderableType]:
    def file(name: str, quality: str, **more: object) -> RankedFile:
        facts = replace(FACTS, quantization=name)
        shape = {"layers": 65, "gpu_layers": 46, "context_size": 16384, "fits": True} | more
        return RankedFile(RankedModel(f"Qwen2.5-32B-Instruct-{name}.gguf", facts, plan()), quality, 4.85, **shape)  # type: ignore[arg-type]

    files = (
        file("Q4_K_M", "good", tokens_per_s=4.7312),
        file("Q2_K", "degraded", tokens_per_s=11.26, on_gpus=True, gpu_layers=65),
        file("Q8_0", "near-lossless", fits=False),
    )
    reason = "good: no file is fast on this rig; this is the fastest of acceptable quality"
    return advice_view("bartowski/Qwen2.5-32B-Instruct-GGUF", RIG, Advice(files, files[0].file, reason))


def recorded() -> Iterator[RenderableType]:
    first = replace(make_record("the plan, with its own words"), id=7)
    failed = replace(make_record(points=()), id=123456, error="the engine did not start")
    return list_view((first, replace(make_record(), id=8, kind="calibrate"), failed))


def measured() -> Iterator[RenderableType]:
    points = (make_point(), replace(make_point((1234.5, 1250.25, 1199.0), 4096, 4), half_width=1.878))
    return record_view(make_record("mine", points=points))


def compared() -> Iterator[RenderableType]:
    first, second = replace(make_record(), id=1), replace(make_record(points=(make_point((40.0, 41.0, 40.5)),)), id=2)
    return comparison_view(first, second, compare_records(first, second))


def duelled() -> Iterator[RenderableType]:
    first = make_record("plan", "c")
    other = make_record("the engine's own placement", "c", (make_point((40.0, 41.0, 40.5)),))
    return duel_view((first, other), [compare_records(first, second) for second in (first, other)])


SCREENS: Mapping[str, Callable[[], Iterator[RenderableType]]] = {
    "plan": planned,
    "check": checked,
    "check-log": told,
    "models": listed,
    "ps": running,
    "ranking": ranked,
    "bench-list": recorded,
    "bench": measured,
    "bench-compare": compared,
    "bench-duel": duelled,
    "rig": lambda: rig_view(RIG),
}


def drawn(name: str, width: int) -> str:
    """The screen as a terminal of `width` columns shows it, without the blanks at the ends of lines."""
    console = Console(width=width, file=StringIO(), markup=False, highlight=False, emoji=False)
    for part in SCREENS[name]():
        console.print(part, crop=False)
    assert isinstance(console.file, StringIO)
    return "".join(f"{line.rstrip()}\n" for line in console.file.getvalue().splitlines())


def write() -> None:
    """Writes every snapshot anew: look at the difference before you commit it."""
    FOLDER.mkdir(exist_ok=True)
    for name in SCREENS:
        for width in WIDTHS:
            (FOLDER / f"{name}-{width}.txt").write_text(drawn(name, width), encoding="utf-8")


if __name__ == "__main__":
    write()
