"""The koboldcpp command as koboldcpp's own parsers of three releases read it."""

import json
import random
from dataclasses import replace
from typing import Any

import pytest

from splitter.engine.command import EngineCommand, EngineRef, Server
from splitter.engine.commands import build_command
from splitter.engine.engines import ENGINES
from splitter.engine.koboldcpp.versions import default_context, koboldcpp_release, koboldcpp_rules, largest_context
from splitter.errors import UsageError
from splitter.memory.rules import MemoryRules
from splitter.memory.settings import Settings
from splitter.plan.placement import PIPELINE_OFF
from splitter.plan.plan import Plan
from splitter.script.kcpps import render_kcpps
from splitter.script.render import render
from tests.commands.koboldcpp.parser import RefusedError, parse
from tests.commands.plans import MODEL, facts, koboldcpp_plan, plan, rig
from tests.commands.random_plans import koboldcpp_settings

RELEASES = ("1.123", "1.115.1", "1.76")


def command(planned: Plan, version: str, server: Server | None = None) -> EngineCommand:
    return build_command(planned, EngineRef("koboldcpp", "/opt/koboldcpp", version), server or Server(port=5001))


def parsed(planned: Plan, version: str) -> dict[str, Any]:
    return parse(version, list(command(planned, version).argv[1:]))


@pytest.mark.parametrize("version", RELEASES)
def test_each_release_reads_the_plans_values(version: str) -> None:
    values = parsed(koboldcpp_plan(cache_type_k="q8_0", cache_type_v="q8_0", threads=6), version)
    model = values["model"]
    assert (model if isinstance(model, str) else model[0]) == MODEL
    assert values["gpulayers"] == 65
    assert values["tensor_split"] == [31, 9, 25]
    assert values["contextsize"] == 4096
    assert values.get("batchsize", values.get("blasbatchsize")) == 512
    assert values["threads"] == 6
    assert values["host"] == "127.0.0.1"
    assert values["port"] == 5001
    assert values["skiplauncher"] is True
    assert values.get("usecuda", values.get("usecublas")) == ["normal"]
    assert values["quantkv"] == ("q8_0" if version != "1.76" else 1)
    assert not values.get("noflashattention")


@pytest.mark.parametrize("version", RELEASES)
def test_the_seeds_line_with_device_ids_is_never_written(version: str) -> None:
    made = command(koboldcpp_plan(), version)
    assert made.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": "2,0,1"}
    flag = "--usecublas" if version == "1.76" else "--usecuda"
    assert made.argv[made.argv.index(flag) + 1] == "normal"


def test_the_oracle_refuses_the_seeds_line_on_1_76_and_takes_it_on_1_123() -> None:
    seed = [
        "--usecuda",
        "0",
        "1",
        "2",
        "--gpulayers",
        "40",
        "--tensor_split",
        "1.5",
        "4.5",
        "3",
        "--contextsize",
        "4096",
    ]
    assert parse("1.123", [*seed, "--model", "x.gguf"])["tensor_split"] == [1.5, 4.5, 3]
    with pytest.raises(RefusedError):
        parse("1.76", [*seed, "--model", "x.gguf"])


@pytest.mark.parametrize(
    ("version", "settings", "expected"),
    [
        ("1.123", {"batch_size": 2048, "ubatch_size": 256}, {"batchsize": 2048, "ubatchsize": 256}),
        ("1.115.1", {"flash_attention": "off"}, {"noflashattention": True}),
        ("1.76", {"flash_attention": "on"}, {"flashattention": True}),
        ("1.76", {"flash_attention": "off"}, {"flashattention": False}),
        ("1.76", {"mmap": False}, {"nommap": True}),
        ("1.76", {"mmap": True}, {"nommap": False}),
        ("1.123", {"mmap": True}, {"usemmap": True}),
        ("1.123", {"n_cpu_moe": 12}, {"moecpu": 12}),
        ("1.123", {"cpu_moe": True}, {"moecpu": 64}),
        ("1.123", {"override_tensors": ("exps=CPU", "a=CUDA0")}, {"overridetensors": "exps=CPU,a=CUDA0"}),
        ("1.123", {"kv_offload": False}, {"lowvram": True}),
        ("1.76", {"kv_offload": False}, {"usecublas": ["normal", "lowvram"]}),
        ("1.115.1", {"split_mode": "tensor"}, {"splitmode": "tensor"}),
        ("1.115.1", {"parallel": 4}, {"parallelrequests": 4}),
        ("1.123", {"cache_type_k": "q5_1", "cache_type_v": "q5_1"}, {"quantkv": "q5_1"}),
        ("1.76", {"cache_type_k": "q4_0", "cache_type_v": "q4_0"}, {"quantkv": 2}),
        ("1.123", {"mmproj": "/m/p.gguf"}, {"mmproj": "/m/p.gguf"}),
        (
            "1.123",
            {"draft_model": "/m/d.gguf", "draft_gpu_layers": 9},
            {"draftmodel": "/m/d.gguf", "draftgpulayers": 9},
        ),
        ("1.123", {"context_size": 524288}, {"contextsize": 524288}),
        ("1.123", {"tensor_split": (1.5, 4.5, 3.0)}, {"tensor_split": [1.5, 4.5, 3.0]}),
        ("1.123", {"tensor_split": ()}, {"tensor_split": [31, 9, 25]}),
        ("1.123", {"device_order": ("CUDA1",), "tensor_split": ()}, {"tensor_split": None, "gpulayers": 65}),
        ("1.76", {"device_order": (), "tensor_split": ()}, {"usecpu": True, "usecublas": None, "gpulayers": 0}),
    ],
)
def test_one_setting_one_value(version: str, settings: dict[str, Any], expected: dict[str, Any]) -> None:
    values = parsed(koboldcpp_plan(**settings), version)
    assert {key: values[key] for key in expected} == expected


@pytest.mark.parametrize(
    ("version", "settings", "sentence"),
    [
        (
            "1.123",
            {"cache_type_k": "q5_0", "cache_type_v": "q5_0"},
            "cache types f16, bf16, q8_0, q5_1, q4_0, not q5_0",
        ),
        ("1.76", {"cache_type_k": "bf16", "cache_type_v": "bf16"}, "not bf16"),
        ("1.123", {"cache_type_k": "q8_0"}, "one cache type for K and V"),
        (
            "1.123",
            {"cache_type_k": "q8_0", "cache_type_v": "q8_0", "flash_attention": "off"},
            "only with flash attention",
        ),
        ("1.123", {"ubatch_size": 300}, "not 300"),
        ("1.76", {"batch_size": 4096, "ubatch_size": 4096}, "not 4096"),
        ("1.115.1", {"batch_size": 2048}, "one batch size"),
        ("1.76", {"n_cpu_moe": 3}, "no --overridetensors"),
        ("1.76", {"override_tensors": ("exps=CPU",)}, "no --overridetensors"),
        ("1.76", {"parallel": 4}, "one request at a time"),
        ("1.123", {"parallel": 4, "kv_unified": False}, "its own cache"),
        ("1.76", {"split_mode": "tensor"}, "no split mode tensor"),
        ("1.123", {"split_mode": "none"}, "no split mode none"),
        ("1.115.1", {"context_size": 400000}, "256 to 262144, not 400000"),
        ("1.76", {"draft_model": "/m/d.gguf"}, "cannot place a draft model"),
        ("1.115.1", {"draft_model": "/m/d.gguf", "mmproj": "/m/p.gguf"}, "together with a projector"),
        ("1.123", {"op_offload": False}, "no --no-op-offload"),
        ("1.63", {"flash_attention": "on"}, "no flash attention"),
        ("1.60", {"flash_attention": "off", "mmproj": "/m/p.gguf"}, "no --mmproj"),
        ("1.88", {"cpu_moe": True}, "no --overridetensors"),
        ("1.123", {"n_cpu_moe": 201}, "at most 200 layers"),
        ("1.59", {}, "older than 1.60"),
        ("1.123", {"override_tensors": ("blk.{1,2}=CPU",)}, "comma"),
    ],
)
def test_what_a_release_cannot_say_is_refused_with_a_next_step(
    version: str, settings: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as caught:
        command(koboldcpp_plan(**settings), version)
    assert caught.value.hint


@pytest.mark.parametrize(
    ("version", "full", "expected"),
    [
        ("1.123", True, {"noswa"}),
        ("1.123", False, set()),
        ("1.100", False, {"useswa", "noshift"}),
        ("1.100", True, set()),
    ],
)
def test_sliding_window_by_release(version: str, full: bool, expected: set[str]) -> None:
    model = facts(attention__sliding_window=1024)
    own: dict[str, Any] = {"parallel": 1, "batch_size": 512, "ubatch_size": 512, "swa_full": full}
    argv = command(plan(model=model, engine="koboldcpp", **own), version).argv
    assert {flag for flag in ("noswa", "useswa", "noshift") if f"--{flag}" in argv} == expected


@pytest.mark.parametrize(
    ("version", "pipeline", "expected"),
    [
        ("1.105", True, ["--pipelineparallel"]),
        ("1.105", False, []),
        ("1.115.1", False, ["--nopipelineparallel"]),
        ("1.115.1", True, []),
        ("1.123", False, []),
    ],
)
def test_pipeline_copies_follow_the_plan(version: str, pipeline: bool, expected: list[str]) -> None:
    own: dict[str, Any] = {"parallel": 1, "batch_size": 512, "ubatch_size": 512}
    argv = command(plan(engine="koboldcpp", pipeline=pipeline, **own), version).argv
    assert [part for part in argv if "pipeline" in part] == expected


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("1.123", (["--moecpu", "3"], [])),
        ("1.97", (["--moecpu", "3"], [])),
        ("1.96", ([], [r"blk\.(0|1|2)\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU"])),
        ("1.89", ([], [r"blk\.(0|1|2)\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU"])),
    ],
)
def test_experts_in_ram_are_said_as_the_release_can(version: str, expected: tuple[list[str], list[str]]) -> None:
    """--overridetensors says it since 1.89, --moecpu since 1.97."""
    argv = list(command(koboldcpp_plan(n_cpu_moe=3), version).argv)
    found = tuple(
        argv[argv.index(flag) : argv.index(flag) + 2][at:] if flag in argv else []
        for flag, at in (("--moecpu", 0), ("--overridetensors", 1))
    )
    assert found == expected


def test_experts_stand_before_other_overrides_as_in_llama_cpp() -> None:
    argv = command(koboldcpp_plan(n_cpu_moe=1, override_tensors=("a=CUDA0",)), "1.91").argv
    assert argv[argv.index("--overridetensors") + 1] == r"blk\.(0)\.ffn_(up|down|gate|gate_up)_(ch|)exps=CPU,a=CUDA0"


@pytest.mark.parametrize(
    ("version", "flags"),
    [
        ("1.103", ["--overridetensors"]),
        ("1.105", []),
        ("1.115.1", ["--nopipelineparallel"]),
        ("1.123", ["--overridetensors"]),
    ],
)
def test_an_override_of_no_tensor_turns_the_pipeline_off_only_where_no_flag_does(
    version: str, flags: list[str]
) -> None:
    argv = command(koboldcpp_plan(override_tensors=(PIPELINE_OFF,)), version).argv
    assert [
        part for part in argv if part in {"--overridetensors", "--nopipelineparallel", "--pipelineparallel"}
    ] == flags


def test_threads_are_the_cores_unless_the_user_says_otherwise() -> None:
    """Its own default is half of the processors."""
    on = rig()
    cores = replace(on, host=replace(on.host, cores=2))
    assert parsed(koboldcpp_plan(on=cores), "1.123")["threads"] == 2
    assert parsed(koboldcpp_plan(on=cores, threads=7), "1.123")["threads"] == 7
    assert "--threads" not in command(koboldcpp_plan(), "1.123").argv


@pytest.mark.parametrize("version", RELEASES)
def test_prompts_and_answers_stay_out_of_the_log(version: str) -> None:
    assert parsed(koboldcpp_plan(), version)["quiet"] is True


def test_a_git_clones_script_is_started_by_python() -> None:
    made = build_command(koboldcpp_plan(), EngineRef("koboldcpp", "/src/koboldcpp/koboldcpp.py", "1.117"), Server())
    assert made.argv[:4] == ("python3", "/src/koboldcpp/koboldcpp.py", "--model", MODEL)
    assert made.arguments[:2] == ("--model", MODEL)
    values = json.loads(render_kcpps(koboldcpp_plan(), made, "again"))
    assert (values["model_param"], values["quiet"]) == (MODEL, True)
    shell = next(file for file in render(koboldcpp_plan(), made, "x", "again") if file.name.endswith(".sh"))
    assert "ENGINE=$(command -v python3)" in shell.content.decode()
    assert 'exec "$ENGINE" /src/koboldcpp/koboldcpp.py --model' in shell.content.decode()
    with pytest.raises(UsageError, match="needs the folder"):
        render(koboldcpp_plan(), made, "x", "again", one_folder=True)
    windows = koboldcpp_plan(on=rig(os="windows"))
    made = build_command(windows, EngineRef("koboldcpp", "C:\\k\\koboldcpp.py", "1.117"), Server())
    assert made.argv[:2] == ("python", "C:\\k\\koboldcpp.py")


@pytest.mark.parametrize(("version", "refused"), [("1.115.1", True), ("1.116", False), ("1.123", False)])
def test_a_draft_beside_a_projector_is_refused_until_june_2026(version: str, refused: bool) -> None:
    planned = koboldcpp_plan(draft_model="/m/d.gguf", mmproj="/m/p.gguf")
    if refused:
        with pytest.raises(UsageError, match="together with a projector"):
            command(planned, version)
    else:
        argv = command(planned, version).argv
        assert argv[argv.index("--mmproj") + 1 : argv.index("--mmproj") + 4] == (
            "/m/p.gguf",
            "--draftmodel",
            "/m/d.gguf",
        )


@pytest.mark.parametrize(
    ("version", "largest", "assumed"),
    [("1.123", 524288, 16384), ("1.117", 524288, 12288), ("1.116.1", 262144, 12288), ("1.115.2", 262144, 12288),
     ("1.115.1", 262144, 16384), ("1.96", 262144, 8192), ("1.76", 262144, 4096), ("1.69", 262144, 2048)],
)  # fmt: skip
def test_contexts_by_release(version: str, largest: int, assumed: int) -> None:
    release = koboldcpp_release(version)
    assert (largest_context(release), default_context(release)) == (largest, assumed)


def memory(version: str, **flags: Any) -> MemoryRules:
    return koboldcpp_rules("koboldcpp", version, flags if flags else None).memory


@pytest.mark.parametrize(
    ("version", "flags", "copies"),
    [
        ("1.100", {}, 4),
        ("1.110", {}, 4),
        ("1.111", {}, 2),
        ("1.123", {}, 2),
        ("1.105", {"model": "m"}, 1),
        ("1.105", {"pipelineparallel": True}, 4),
        ("1.103", {"model": "m"}, 4),
        ("1.115.1", {"nopipelineparallel": True}, 1),
        ("1.115.1", {"model": "m"}, 2),
        ("1.123", {"nopipelineparallel": True}, 2),  # a hidden flag that does nothing any more
    ],
)
def test_copies_of_the_pipeline_by_release(version: str, flags: dict[str, Any], copies: int) -> None:
    assert memory(version, **flags).pipeline_copies == copies


def test_how_each_release_lays_out_memory() -> None:
    assert memory("1.76").window_padding == 0
    assert memory("1.117").window_padding == 128
    assert memory("1.117", swapadding="37").window_padding == 165
    assert (memory("1.117").contexts, memory("1.117", enableguidance=True).contexts) == (1, 2)
    assert memory("1.117").pipelines_whole_batches
    assert not memory("1.122").pipelines_whole_batches


def test_a_password_comes_from_its_file_and_stands_nowhere() -> None:
    server = Server(port=5001, api_key_file="/etc/key")
    made = command(koboldcpp_plan(), "1.123", server)
    assert made.env_files == {"KCPP_PASSWORD": "/etc/key"}
    assert "/etc/key" not in made.argv
    with pytest.raises(UsageError, match="password"):
        command(koboldcpp_plan(), "1.110", server)


@pytest.mark.parametrize(
    ("backend", "flag", "variable"),
    [("Vulkan", "--usevulkan", "GGML_VK_VISIBLE_DEVICES"), ("ROCm", "--usecuda", "HIP_VISIBLE_DEVICES")],
)
def test_other_backends(backend: str, flag: str, variable: str) -> None:
    order = (f"{backend}1", f"{backend}0")
    own: dict[str, Any] = {
        "parallel": 1,
        "batch_size": 512,
        "ubatch_size": 512,
        "device_order": order,
        "tensor_split": (40.0, 25.0),
    }
    made = command(plan(on=rig(2, backend), engine="koboldcpp", **own), "1.123")
    assert flag in made.argv
    assert made.env[variable] == "1,0"
    assert parse("1.123", list(made.argv[1:]))["tensor_split"] == [40, 25]


def test_cards_that_were_renumbered_for_the_planner_are_shown_by_the_drivers_number() -> None:
    on = rig(2)
    renumbered = replace(on, devices=(replace(on.devices[0], driver_index=2), on.devices[1]))
    made = command(koboldcpp_plan(on=renumbered, device_order=("CUDA1", "CUDA0"), tensor_split=(40.0, 25.0)), "1.123")
    assert made.env["CUDA_VISIBLE_DEVICES"] == "1,2"
    assert ENGINES["koboldcpp"].names_in_log(made) == {"CUDA0": "CUDA1", "CUDA1": "CUDA0"}


@pytest.mark.parametrize("backend", ["SYCL", "MTL"])
def test_backends_that_koboldcpp_lacks_are_refused(backend: str) -> None:
    planned = koboldcpp_plan(on=rig(1, backend), device_order=(f"{backend}0",), tensor_split=())
    with pytest.raises(UsageError, match=f"cannot be told to use {backend}0") as caught:
        command(planned, "1.123")
    assert "--engine llama-server" in caught.value.hint


@pytest.mark.parametrize("version", RELEASES)
def test_vulkan_ids_stand_in_the_environment_alone(version: str) -> None:
    """Releases up to 1.112.2 run the digits of `--usevulkan 1 0` together; all take the variable first."""
    planned = koboldcpp_plan(on=rig(3, "Vulkan"), device_order=("Vulkan2", "Vulkan0"), tensor_split=(40.0, 25.0))
    made = command(planned, version)
    values = parse(version, list(made.argv[1:]))
    assert (values["usevulkan"], values["tensor_split"]) == ([], [40, 25])
    assert made.env["GGML_VK_VISIBLE_DEVICES"] == "2,0"
    assert not {"CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ONEAPI_DEVICE_SELECTOR"} & made.env.keys()


def test_mixed_backends_are_refused() -> None:
    mixed = plan(engine="koboldcpp")
    settings = replace(mixed.settings, device_order=("CUDA0", "Vulkan0", "CUDA1"))
    with pytest.raises(UsageError, match="Vulkan0"):
        command(replace(mixed, settings=settings), "1.123")


def told(settings: Settings, version: str) -> dict[str, Any]:
    """What the release must understand, in its own words."""
    old, cards = version == "1.76", settings.device_order
    flash = settings.flash_attention != "off"
    backend = ["normal"] + (["lowvram"] if old and not settings.kv_offload else []) if cards else None
    numbers = {"f16": 0, "q8_0": 1, "q4_0": 2}
    kind = settings.cache_type_k
    common = {
        "contextsize": settings.context_size,
        "gpulayers": settings.gpu_layers,
        "tensor_split": list(settings.tensor_split) if len(cards) > 1 else None,
        "usecpu": not cards,
        "quantkv": numbers[kind] if old else kind,
        "host": "127.0.0.1",
        "port": 5001,
        "skiplauncher": True,
    }
    if old:
        own = {"usecublas": backend, "blasbatchsize": settings.batch_size, "flashattention": flash}
        return {**common, **own, "nommap": not settings.mmap, "model": MODEL}
    own = {
        "usecuda": backend,
        "batchsize": settings.batch_size,
        "noflashattention": not flash,
        "usemmap": settings.mmap,
    }
    newest = {"ubatchsize": settings.ubatch_size} if version == "1.123" else {}
    return {
        **common, **own, **newest, "model": [MODEL], "lowvram": not settings.kv_offload, "moecpu": settings.n_cpu_moe,
        "parallelrequests": settings.parallel, "overridetensors": ",".join(settings.override_tensors),
        "splitmode": settings.split_mode if len(cards) > 1 else "layer",
    }  # fmt: skip


@pytest.mark.parametrize("version", RELEASES)
def test_two_hundred_random_plans_are_understood_as_planned(version: str) -> None:
    rng = random.Random(f"koboldcpp {version}")
    compared = 0
    for _ in range(200):
        made = koboldcpp_plan(**koboldcpp_settings(rng, version))
        expected = told(made.settings, version)
        if made.settings.threads is not None:
            expected["threads"] = made.settings.threads
        values = parsed(made, version)
        assert {key: values[key] for key in expected} == expected
        compared += len(expected)
        visible = command(made, version).env.get("CUDA_VISIBLE_DEVICES")
        assert visible == (",".join(name[4:] for name in made.settings.device_order) or None)
    print(f"koboldcpp {version}: 200 of 200 plans accepted; {compared} parsed values equal the plans'")


def test_a_full_cache_is_all_that_old_releases_have() -> None:
    own: dict[str, Any] = {"parallel": 1, "batch_size": 512, "ubatch_size": 512}
    model = facts(attention__sliding_window=1024)
    with pytest.raises(UsageError, match=r"1\.76 always keeps a full-size cache") as caught:
        command(plan(model=model, engine="koboldcpp", **own), "1.76")
    assert "--swa-full" in caught.value.hint
