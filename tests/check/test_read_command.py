"""Commands for llama-server and koboldcpp: every spelling, what is refused, what is merely understood."""

import json
import shlex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from splitter.engine.command import Server
from splitter.engine.koboldcpp.flags import kobold_flags
from splitter.engine.llama_server.flags import flags_by_name
from splitter.engine.reading.command import read_command
from splitter.engine.reading.script import read_script
from splitter.errors import SplitterError, UsageError
from tests.check.builders import SEED


def refusals(line: str, version: str | None = None) -> list[str]:
    return [notice.code for notice in read_command(line, version=version).refusals]


def test_the_seeds_line() -> None:
    read = read_command(SEED)
    assert (read.kind, read.program, read.model) == ("koboldcpp", "koboldcpp.exe", "Qwen2.5-32B-Instruct-Q4_K_M.gguf")
    assert read.settings == {"context_size": 4096, "gpu_layers": 40, "tensor_split": (1.5, 4.5, 3)}
    assert read.flags["usecuda"] == ["0", "1", "2"]
    assert read.server == Server("", 5001)
    assert not read.refusals
    assert refusals(SEED, "1.76") == ["flag_too_new"]
    assert refusals(SEED.replace("--usecuda", "--usecublas"), "1.76") == []


LLAMA = [
    ("-ngl 40", {"gpu_layers": 40}),
    ("-ngl all", {"gpu_layers": -2}),
    ("--gpu-layers auto", {"gpu_layers": -1}),
    ("--n-gpu-layers 7 --n_gpu_layers 8", {"gpu_layers": 8}),
    ("-ts 1.5,4.5/3", {"tensor_split": (1.5, 4.5, 3)}),
    ("--tensor-split 3,1,", {"tensor_split": (3, 1)}),
    ("-dev CUDA1,CUDA0", {"device_order": ("CUDA1", "CUDA0")}),
    ("--device none", {"device_order": ()}),
    ("-c 32k", {"context_size": 32}),
    ("--ctx-size 0", {"context_size": 0}),
    ("-b 1024 -ub 256", {"batch_size": 1024, "ubatch_size": 256}),
    ("-ctk q8_0 --cache-type-v q4_0", {"cache_type_k": "q8_0", "cache_type_v": "q4_0"}),
    ("-fa on", {"flash_attention": "on"}),
    ("-fa 0", {"flash_attention": "off"}),
    ("-fa auto -np 2", {"flash_attention": "auto", "parallel": 2}),
    ("-fa -np 2", {"flash_attention": "on", "parallel": 2}),
    ("-np -1 -kvu", {"parallel": -1, "kv_unified": True}),
    ("-no-kvu -nkvo --no-op-offload", {"kv_unified": False, "kv_offload": False, "op_offload": False}),
    ("--swa-full -cmoe", {"swa_full": True, "cpu_moe": True}),
    ("-ncmoe 12 -sm none -mg 1", {"n_cpu_moe": 12, "split_mode": "none", "main_gpu": 1}),
    ("-ot a=CPU,b=CUDA0 -ot c=CPU", {"override_tensors": ("a=CPU", "b=CUDA0", "c=CPU")}),
    ("-ncffn 1", {"override_tensors": (r"blk\.0\.ffn_(up|down|gate)\.=CPU",)}),
    ("-lm none", {"mmap": False}),
    ("-lm mmap+mlock -t 8", {"mmap": True, "threads": 8}),
    ("--no-mmap", {"mmap": False}),
    ("-mm p.gguf -md d.gguf -ngld 99", {"mmproj": "p.gguf", "draft_model": "d.gguf", "draft_gpu_layers": 99}),
    ("--spec-draft-model d.gguf --temp 0.7 --jinja --metrics", {"draft_model": "d.gguf"}),
]


@pytest.mark.parametrize(("flags", "settings"), LLAMA)
def test_llama_server_flags(flags: str, settings: dict[str, Any]) -> None:
    read = read_command(f"./build/bin/llama-server -m m.gguf {flags}")
    assert (read.kind, read.model) == ("llama-server", "m.gguf")
    assert read.settings == settings
    assert not read.unknown


KOBOLD = [
    ("--gpulayers", {"gpu_layers": 1}),
    ("-ngl -1", {"gpu_layers": -1}),
    ("--gpu-layers 7", {"gpu_layers": 7}),
    ("-ts 1 2 3", {"tensor_split": (1, 2, 3)}),
    ("--tensor_split 1.5,4.5,3", {"tensor_split": (1.5, 4.5, 3)}),
    ("--device CUDA1,CUDA0", {"device_order": ("CUDA1", "CUDA0")}),
    ("--context 4096", {"context_size": 4096}),
    ("--usecpu --gpulayers 9", {"gpu_layers": 0}),
    ("--usecuda normal lowvram", {"kv_offload": False}),
    ("--usecuda rowsplit", {"split_mode": "tensor"}),
    ("--splitmode tensor --maingpu 1", {"split_mode": "tensor", "main_gpu": 1}),
    ("--quantkv 1", {"cache_type_k": "q8_0", "cache_type_v": "q8_0"}),
    ("--quantkv q4_0", {"cache_type_k": "q4_0", "cache_type_v": "q4_0"}),
    ("--batchsize 1024 --ubatchsize -1", {"batch_size": 1024, "ubatch_size": -1}),
    ("--blasbatchsize 256", {"batch_size": 256}),
    ("--noflashattention", {"flash_attention": "off"}),
    ("--noswa --usemmap", {"swa_full": True, "mmap": True}),
    ("--moecpu", {"n_cpu_moe": 200}),
    ("--moecpu 5 --overridetensors a=CPU,b=CUDA1", {"n_cpu_moe": 5, "override_tensors": ("a=CPU", "b=CUDA1")}),
    ("--draftmodel d.gguf --draftgpulayers 9", {"draft_model": "d.gguf", "draft_gpu_layers": 9}),
    ("--draftgpulayers 9 --maingpu -1", {}),
    ("--parallelrequests 4 --threads 6", {"parallel": 4, "threads": 6}),
    ("--threads -1", {}),
]


@pytest.mark.parametrize(("flags", "settings"), KOBOLD)
def test_koboldcpp_flags(flags: str, settings: dict[str, Any]) -> None:
    read = read_command(f"python koboldcpp.py --model m.gguf {flags}")
    assert (read.kind, read.model) == ("koboldcpp", "m.gguf")
    assert read.settings == settings


@pytest.mark.parametrize(
    ("line", "version", "codes"),
    [
        ("llama-server -m m -fa", None, ["flash_attention_value"]),
        ("llama-server -m m -fa", "6000", []),
        ("llama-server -m m -fa on", "6000", ["flash_attention_value"]),
        ("llama-server -m m --fit off", "7000", ["flag_too_new"]),
        ("llama-server -m m --fit -ngl 3", None, ["fit_value"]),
        ("llama-server -m m --no-mmap", None, []),
        ("llama-server -m m --no-mmap", "11434", ["flag_removed"]),
        ("llama-server -m m --no-mmap", "9000", []),
        ("llama-server -m m -sm row", None, ["split_mode_row"]),
        ("llama-server -m m --ctx-size=4096", None, ["equals_sign"]),
        ("llama-server -m m -ngl40", None, ["glued_value"]),
        ("llama-server -m m --tensor-splt 1,2", None, ["unknown_flag"]),
        ("llama-server -m m stray", None, ["unknown_flag"]),
        ("koboldcpp m.gguf --tensor_split 1,2", None, ["split_commas"]),
        ("koboldcpp m.gguf --gpulayers all", None, ["gpulayers_word"]),
        ("koboldcpp m.gguf --usecuda 4", None, ["usecuda_id"]),
        ("koboldcpp m.gguf --contextsize 128", None, ["context_range"]),
        ("koboldcpp m.gguf --batchsize 300", None, ["batch_size"]),
        ("koboldcpp m.gguf --batchsize 16", "1.80", ["flag_too_new", "batch_size"]),
        ("koboldcpp m.gguf --quantkv q8_0", "1.100", ["quantkv_word"]),
        ("koboldcpp m.gguf --moecpu 4", "1.90", ["flag_too_new"]),
        ("koboldcpp m.gguf --useclblast 0 0", "1.110", ["flag_removed"]),
        ("koboldcpp m.gguf --fit", "1.123", []),
        ("koboldcpp m.gguf --gpulayrs", None, ["unknown_flag"]),
    ],
)
def test_what_the_engine_would_refuse_but_we_understand(line: str, version: str | None, codes: list[str]) -> None:
    assert refusals(line, version) == codes


def test_a_split_with_commas_still_counts_and_the_remedy_is_the_flag() -> None:
    read = read_command("koboldcpp m.gguf --tensor_split 1.5,4.5,3")
    assert read.settings["tensor_split"] == (1.5, 4.5, 3)
    assert read.refusals[0].hint == "write --tensor_split 1.5 4.5 3"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", "neither koboldcpp nor llama-server"),
        ("hello world", "neither koboldcpp nor llama-server"),
        ("llama-server -m m -ngl many", "-ngl takes a whole number, auto or all, not 'many'"),
        ("llama-server -m m -ngl -fa", "-ngl takes a whole number, auto or all, not '-fa'"),
        ("llama-server -m", "-m has no value"),
        ("llama-server -m m -ts 1,x", "-ts takes numbers separated by commas, not '1,x'"),
        ("llama-server -m m -ts 1,-2", "-ts takes numbers that are not negative"),
        ("llama-server -m m -ts 1,nan", "-ts takes numbers that are not negative"),
        ("llama-server -m m -ts " + ",".join("1" * 16), "-ts takes at most 15 numbers"),
        ("llama-server -m m -np 0", "-np takes a number of slots, or -1 for auto, not '0'"),
        ("llama-server -m m -ncmoe -1", "-ncmoe takes a whole number that is not negative"),
        ("llama-server -m m -ctk q9", "-ctk takes one of f32, f16"),
        ("llama-server -m m -ot foo", "'foo' in -ot is not PATTERN=BUFFER"),
        ("llama-server -m m --port x", "--port takes a whole number"),
        ("llama-server -m 'm", "never closed"),
        ("koboldcpp --model m.gguf --quiet other.gguf", "koboldcpp would refuse this"),
        ("koboldcpp --model m.gguf --gpu 40", "ambiguous"),
        ("koboldcpp --usecuda m.gguf", "--usecuda swallows 'm.gguf'"),
        ("koboldcpp --tensor_split 1 2 m.gguf", "--tensor_split swallows 'm.gguf'"),
        ("koboldcpp --multiuser m.gguf", "--multiuser takes a whole number, not 'm.gguf'"),
        ("koboldcpp m.gguf --contextsize 4k", "--contextsize takes a whole number, not '4k'"),
        ("koboldcpp m.gguf --quantkv q9", "--quantkv takes f16"),
        ("koboldcpp m.gguf --usecuda --usevulkan", "koboldcpp would refuse this"),
        ("koboldcpp m.gguf --splitmode none", "--splitmode takes layer or tensor"),
        ("koboldcpp m.gguf --port 99999", "--port takes 1 to 65535"),
    ],
)
def test_nonsense_is_refused_in_a_sentence(line: str, words: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_command(line)
    assert words in caught.value.message
    assert caught.value.hint


def test_llama_variables_count_where_no_flag_is_given() -> None:
    env = {
        "LLAMA_ARG_N_GPU_LAYERS": "12", "LLAMA_ARG_CTX_SIZE": "4096", "LLAMA_ARG_NO_KV_OFFLOAD": "1",
        "LLAMA_ARG_SWA_FULL": "false", "LLAMA_ARG_CPU_MOE": "1", "CUDA_VISIBLE_DEVICES": "1", "PATH": "/bin",
    }  # fmt: skip
    read = read_command("llama-server -m m.gguf -c 8192", env)
    assert read.settings == {"gpu_layers": 12, "context_size": 8192, "kv_offload": False, "cpu_moe": True}
    assert "PATH" not in read.env


def test_keys_are_masked_everywhere() -> None:
    for line in (
        "LLAMA_API_KEY=s3cret llama-server -m m.gguf --api-key s3cret --api-key=s3cret",
        "KCPP_PASSWORD=s3cret koboldcpp m.gguf --password s3cret --adminpassword s3cret",
    ):
        assert "s3cret" not in repr(read_command(line))


@pytest.mark.parametrize(
    ("flags", "model"),
    [
        ("-hf a/b:Q4_K_M", "hf:a/b:Q4_K_M"),
        ("-hf a/b -hff c.gguf", "hf:a/b/c.gguf"),
        ("-mu https://x/y.gguf", "https://x/y.gguf"),
        ("--models-dir x", None),
    ],
)
def test_models_that_are_not_files(flags: str, model: str | None) -> None:
    assert read_command(f"llama-server {flags}").model == model


def test_flags_without_a_program_are_told_apart() -> None:
    assert read_command(["-m", "m.gguf", "-ngl", "9"]).kind == "llama-server"
    assert read_command(["--model", "m.gguf", "--gpulayers", "9"]).kind == "koboldcpp"
    assert read_command(["-ts", "1", "2"], kind="koboldcpp").settings == {"tensor_split": (1, 2)}


WRAPPED = [
    "nohup ./llama-server -m m.gguf -ngl 9 > log 2>&1 &",
    "env CUDA_VISIBLE_DEVICES=0 exec llama-server -m m.gguf -ngl 9",
    "cd /models && /opt/llama.cpp/build/bin/llama-server -m m.gguf -ngl 9",
    "sudo nice -n 5 llama-server -m m.gguf -ngl 9",
    r'"C:\llama cpp\llama-server.exe" -m m.gguf -ngl 9',
    'start "my server" /wait llama-server.exe -m m.gguf -ngl 9',
    'call "%~dp0llama-server.exe" -m m.gguf -ngl 9',
]


@pytest.mark.parametrize("line", WRAPPED)
def test_an_engine_behind_other_words_is_found(line: str) -> None:
    read = read_command(line)
    assert (read.kind, read.model, read.settings) == ("llama-server", "m.gguf", {"gpu_layers": 9})


KNOWN = [*flags_by_name(), *(name for _, _, names in kobold_flags() for name in names)]
WORDS = st.one_of(
    st.sampled_from(KNOWN), st.sampled_from(["1", "-1", "1,2", "all", "m.gguf", "", "--", "q8_0"]), st.text(max_size=6)
)


@given(
    st.sampled_from(["llama-server", "koboldcpp"]), st.lists(WORDS, max_size=8), st.sampled_from([None, "1.76", "6000"])
)
def test_any_argv_is_understood_or_refused_in_a_sentence(program: str, args: list[str], version: str | None) -> None:
    try:
        read = read_command([program, *args], version=version)
    except SplitterError as refused:
        assert refused.message  # noqa: PT017
    else:
        assert read.argv[0] == program


@given(st.text(max_size=120), st.sampled_from(["a.bat", "a.sh", "a.kcpps", "a.service", "a"]))
def test_any_script_is_understood_or_refused_in_a_sentence(text: str, name: str) -> None:
    try:
        read_script(text + "\nllama-server -m m.gguf " + shlex.quote(text), name)
    except SplitterError as refused:
        assert refused.message  # noqa: PT017


@given(st.dictionaries(st.sampled_from([row[0] for row in kobold_flags()]), st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 10**12), st.floats(), st.text(max_size=5)),
    lambda inner: st.lists(inner, max_size=3), max_leaves=4), max_size=6))  # fmt: skip
def test_any_kcpps_is_understood_or_refused_in_a_sentence(values: dict[str, Any]) -> None:
    try:
        read_script(json.dumps(values), "a.kcpps")
    except SplitterError as refused:
        assert refused.message  # noqa: PT017
