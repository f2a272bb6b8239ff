"""Commands that do not fit, in the shapes people post: model, rig, line, version, and what is to blame."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.rig.device import Device, Host, Rig
from splitter.units import from_mib
from tests.cases.unpacked import case_model, case_rig
from tests.check.builders import rig
from tests.engine.oracle import skeleton

CARDS: Mapping[str, tuple[int, int, int]] = {  # total MiB, free MiB, GB/s
    "RTX 3090": (24576, 24000, 936),
    "RTX 3060": (12288, 11800, 360),
    "RTX 4060 Ti 16GB": (16380, 15900, 288),
    "RTX 4090": (24564, 23500, 1008),
}


@dataclass(frozen=True)
class Failing:
    """`blamed` are words of the sentence that names the culprit."""

    model: str
    rig: str
    line: str
    blamed: str
    version: str | None = None

    def path(self) -> Path:
        return case_model(f"{self.model}.gguf") if "/" in self.model else skeleton(self.model)

    def facts(self) -> ModelFacts:
        return load_model(str(self.path()))

    def on(self) -> Rig:
        if self.rig.endswith(".yaml"):
            return case_rig(self.rig)
        return of_cards(self.rig) if "+" in self.rig or self.rig in CARDS else rig(self.rig)


def of_cards(names: str) -> Rig:
    """`RTX 3090+RTX 3060`"""
    devices = tuple(
        Device(f"CUDA{index}", name, from_mib(CARDS[name][0]), from_mib(CARDS[name][1]), CARDS[name][2] * 1e9)
        for index, name in enumerate(names.split("+"))
    )
    ram = from_mib(65536)
    return Rig(names, Host(ram, from_mib(60000), 60e9), devices)


SWA, MOE = "swa-remedy/gemma-4-31b-q4_0", "ncmoe-last-card/qwen3-coder-next-80b-q4_k_m"
PAIR = "RTX 3090+RTX 3090"
LLAMA = "llama-server -m x.gguf"
KOBOLD = "koboldcpp --model x.gguf --host 127.0.0.1 --usecuda normal"
FAILING: tuple[Failing, ...] = (
    Failing(MOE, "ncmoe-last-card/pair16.yaml", f"{LLAMA} -ngl 100 -c 65536 -ub 2048 --n-cpu-moe 24", "pile up"),
    Failing(SWA, PAIR, f"{LLAMA} -ngl 99 -c 65536 --swa-full", "sliding-window"),
    Failing(SWA, PAIR, f"LLAMA_ARG_SWA_FULL=1 {LLAMA} -ngl 99 -c 65536", "sliding-window"),
    Failing(SWA, PAIR, f"{KOBOLD} --gpulayers 99 --contextsize 65536", "sliding-window", "1.113"),
    Failing(SWA, PAIR, f"{KOBOLD} --gpulayers 99 --contextsize 65536 --noswa", "sliding-window", "1.123"),
    Failing("qwen2.5-32b-q4_k_m", "RTX 3090", f"{LLAMA} -ngl 99 -c 10240 -b 8192 -ub 8192", "at a time"),
    Failing("qwen2.5-32b-q4_k_m", "RTX 3090", f"{LLAMA} -ngl 99 -c 32768 -fa on", "f16 cache"),
    Failing("qwen2.5-32b-q4_k_m", "RTX 3090", f"{LLAMA} -ngl 99 -c 16384 -fa off", "flash attention"),
    Failing("qwen2.5-32b-q4_k_m", "phoenix", f"{LLAMA} -ngl 40 -ts 3,4.5,1.5 -c 4096", "the split gives"),
    Failing("qwen2.5-32b-q4_k_m", "phoenix", f"{LLAMA} -ngl 40 -ts 1,1,1 -c 4096", "the split gives"),
    Failing("qwen2.5-32b-q4_k_m", "phoenix", f"{LLAMA} -ngl 99 -c 4096", "layers on the devices"),
    Failing("qwen2.5-32b-q4_k_m", "phoenix", f"{LLAMA} -ngl 40 -sm none -mg 0 -c 4096", ""),
    Failing("qwen2.5-32b-q4_k_m", "phoenix", f"{LLAMA} -ngl 30 -dev CUDA0 -c 4096", ""),
    Failing(
        "qwen2.5-32b-q4_k_m", "phoenix", f"{KOBOLD} --gpulayers 40 --tensor_split 3 4.5 1.5 --contextsize 4096",
        "the split gives", "1.117",
    ),
    Failing("qwen2.5-14b-q4_k_m", "RTX 3060", f"{LLAMA} -ngl 99", "because none is given"),
    Failing("qwen3-30b-a3b-q4_k_m", "RTX 3060", f"{LLAMA} -ngl 99 -c 16384", "weights"),
    Failing("qwen3-30b-a3b-q4_k_m", "RTX 3060", f"{LLAMA} -ngl 99 -c 16384 -ncmoe 10", "weights"),
    Failing(
        "qwen3-30b-a3b-q4_k_m", "RTX 3060", f"{KOBOLD} --gpulayers 99 --contextsize 16384 --moecpu 8",
        "weights", "1.117",
    ),
    Failing("llama-3.3-70b-q4_k_m", PAIR, f"{LLAMA} -ngl 99 -c 32768 -ts 1,1", "f16 cache"),
    Failing(
        "llama-3.3-70b-q4_k_m", PAIR, f"{KOBOLD} --gpulayers 99 --contextsize 32768 --tensor_split 1 1",
        "flash", "1.100",
    ),
    Failing("gemma-3-27b-q4_k_m", "RTX 3090", f"{LLAMA} -ngl 99 -c 98304 -np 8 -no-kvu", "cache"),
    Failing("gpt-oss-20b-mxfp4", "RTX 3060", f"{LLAMA} -ngl 99 -c 65536 -ub 2048", ""),
    Failing("mistral-small-24b-q5_k_m", "RTX 4060 Ti 16GB", f"{LLAMA} -ngl 99 -c 8192", "layers on the devices"),
    Failing(
        "docker-environment/r1-distill-qwen-32b-q4_k_m", "docker-environment/2x3090.yaml",
        "docker run --gpus device=1 -e LLAMA_ARG_CTX_SIZE=65536 -e LLAMA_ARG_N_GPU_LAYERS=99 "
        "ghcr.io/ggml-org/llama.cpp:server-cuda -m /models/x.gguf",
        "context of 65536",
    ),
    Failing(
        "docker-environment/r1-distill-qwen-32b-q4_k_m", "RTX 4060 Ti 16GB+RTX 3060",
        f"{LLAMA} -ngl 99 -c 16384 -ub 4096 -b 4096", "",
    ),
    Failing("qwen2.5-32b-q4_k_m", "RTX 3090+RTX 3060", rf"{LLAMA} -ngl 99 -c 8192 -ot 'blk\.\d\d\.ffn=CUDA1'", ""),
)  # fmt: skip
