"""llama-server's flags: each group alone, then whole commands; the embedded engine takes the same."""

import sys
from dataclasses import replace
from typing import Any

import pytest

from splitter.engine.command import EngineRef, Server
from splitter.engine.commands import build_command
from splitter.errors import UsageError
from splitter.plan.plan import Plan
from splitter.rig.device import Device
from splitter.units import from_mib
from tests.commands.plans import MODEL, plan, rig


def argv(planned: Plan, version: str | None = "11434", server: Server | None = None) -> list[str]:
    made = build_command(planned, EngineRef("llama-server", "/bin/llama-server", version), server or Server())
    return list(made.argv)


def test_the_whole_plan_stands_in_the_command() -> None:
    assert argv(plan()) == [
        "/bin/llama-server", "-m", MODEL, "--fit", "off", "-c", "4096", "--device", "CUDA2,CUDA0,CUDA1", "-ngl", "65",
        "-sm", "layer", "-ts", "31,9,25", "-b", "2048", "-ub", "512", "-ctk", "f16", "-ctv", "f16", "-fa", "auto",
        "--host", "127.0.0.1", "--port", "8080", "--webui", "--cors-origins", "localhost",
    ]  # fmt: skip


def test_cuda_order_is_always_set() -> None:
    made = build_command(plan(), EngineRef("llama-server"), Server())
    assert made.env == {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    assert made.argv[0] == "llama-server"
    windows = build_command(plan(on=rig(os="windows")), EngineRef("llama-server"), Server())
    assert windows.argv[0] == "llama-server.exe"


@pytest.mark.parametrize(
    ("settings", "version", "expected"),
    [
        ({"tensor_split": (1.5, 4.5, 3.0)}, "11434", "-ts 1.5,4.5,3"),
        ({"tensor_split": ()}, "11434", "-ts 31,9,25"),
        ({"split_mode": "tensor"}, "11434", "-sm tensor -ts 31,9,25"),
        ({"split_mode": "tensor", "tensor_split": ()}, "11434", "-sm tensor -b"),
        ({"split_mode": "none", "main_gpu": 2}, "11434", "-sm none -mg 2 -b"),
        ({"device_order": ("CUDA1",), "tensor_split": ()}, "11434", "--device CUDA1 -ngl 65 -b"),
        ({"device_order": (), "tensor_split": ()}, "11434", "--device none -ngl 0 -b"),
        ({"flash_attention": "off"}, "11434", "-fa off"),
        ({"flash_attention": "on"}, "6000", "-fa -np"),
        ({"flash_attention": "off"}, "6000", "f16 -np"),
        ({"parallel": 2, "kv_unified": False}, "11434", "-np 2 --host"),
        ({"parallel": 2}, "5000", "-np 2 --host"),
        ({"n_cpu_moe": 12}, "11434", "-ncmoe 12"),
        ({"cpu_moe": True}, "11434", "-cmoe"),
        ({"override_tensors": (r"blk\.1\.=CPU", "x=CUDA0")}, "11434", r"-ot blk\.1\.=CPU,x=CUDA0"),
        ({"swa_full": True}, "11434", "--swa-full"),
        ({"kv_offload": False}, "11434", "-nkvo"),
        ({"op_offload": False}, "11434", "--no-op-offload"),
        ({"mmap": False}, "11434", "--load-mode none"),
        ({"mmap": False}, "9999", "--no-mmap"),
        ({"threads": 7}, "11434", "-t 7"),
        ({"mmproj": "/m/p.gguf"}, "11434", "--mmproj /m/p.gguf"),
        ({"draft_model": "/d.gguf", "draft_gpu_layers": 5}, "11434", "-md /d.gguf --spec-type draft-simple -ngld 5"),
        ({"draft_model": "/d.gguf"}, "7000", "-md /d.gguf --host"),
        ({"cache_type_k": "q8_0", "cache_type_v": "q4_0"}, "11434", "-ctk q8_0 -ctv q4_0"),
        ({"batch_size": 256, "ubatch_size": 64}, "11434", "-b 256 -ub 64"),
    ],
)
def test_one_setting_one_flag(settings: dict[str, Any], version: str, expected: str) -> None:
    assert expected in " ".join(argv(plan(**settings), version))


@pytest.mark.parametrize(
    ("version", "has_fit"),
    [("7000", False), ("b7414", True), ("0.6.0-dev", True), (None, True), ("2026.10.11549", True)],
)
def test_fit_off_from_its_build_on(version: str | None, has_fit: bool) -> None:
    assert ("--fit" in argv(plan(), version)) is has_fit


@pytest.mark.parametrize("ids", [("Vulkan1", "Vulkan0"), ("ROCm0",), ("SYCL1", "SYCL0"), ("MTL0",), ("Metal",)])
def test_other_backends_are_named_as_the_listing_names_them(ids: tuple[str, ...]) -> None:
    """--device alone chooses: no variable hides cards, for every id would then name another one."""
    cards = tuple(Device(name, name, from_mib(8192), from_mib(7900)) for name in sorted(ids))
    made = build_command(
        plan(on=replace(rig(), devices=cards), device_order=ids, tensor_split=tuple(1.0 for _ in ids)),
        EngineRef("llama-server", "/bin/llama-server", "11434"),
        Server(),
    )
    assert made.argv[made.argv.index("--device") + 1] == ",".join(ids)
    assert [name for name in made.env if "VISIBLE" in name or "SELECTOR" in name] == []


def test_an_old_build_cannot_split_the_cache_by_slot() -> None:
    with pytest.raises(UsageError, match="4 slots") as caught:
        argv(plan(kv_unified=False), "5000")
    assert "-np 1" in caught.value.hint


def test_the_key_is_named_by_its_file_only() -> None:
    words = argv(plan(), server=Server("0.0.0.0", 9000, "/etc/key"))
    assert words[-9:-5] == ["--host", "0.0.0.0", "--port", "9000"]
    assert words[-5:] == ["--webui", "--cors-origins", "localhost", "--api-key-file", "/etc/key"]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.7", "gaming-pc", "example.org", "localhost.example.org"])
def test_no_command_serves_others_without_a_key(host: str) -> None:
    for kind in ("llama-server", "koboldcpp", "embedded"):
        with pytest.raises(UsageError, match="others can reach"):
            build_command(plan(), EngineRef(kind), Server(host))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "LOCALHOST"])
def test_loopback_needs_no_key(host: str) -> None:
    assert "--api-key-file" not in argv(plan(), server=Server(host))


def test_web_ui_and_origins_are_said_in_the_words_of_the_build() -> None:
    closed = Server(web_ui=False, cors_origins="https://a.example")
    assert argv(plan(), server=closed)[-3:] == ["--no-webui", "--cors-origins", "https://a.example"]
    assert "--webui" in argv(plan(), version="9113")
    assert "--cors-origins" not in argv(plan(), version="9113")
    assert argv(plan(), version="6150", server=closed)[-1] == "--no-webui"
    assert "--webui" not in argv(plan(), version="6150")


def test_the_embedded_engine_takes_the_same_flags() -> None:
    made = build_command(plan(), EngineRef("embedded", sys.executable, "2026.10.11549"), Server())
    assert made.argv[:3] == (sys.executable, "-m", "splitter.engine.embedded.server")
    assert list(made.argv[3:]) == argv(plan())[1:]
