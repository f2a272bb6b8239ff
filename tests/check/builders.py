"""Small rigs and models for the tests of `check`."""

from splitter.model.facts import ModelFacts
from splitter.rig.device import Device, Host, Rig
from splitter.units import from_mib
from tests.engine.oracle import RIGS

SEED = (
    "koboldcpp.exe --usecuda 0 1 2 --gpulayers 40 --tensor_split 1.5 4.5 3 --contextsize 4096 "
    "--model Qwen2.5-32B-Instruct-Q4_K_M.gguf"
)


def rig(name: str = "phoenix") -> Rig:
    """One of the oracle's rigs."""
    devices = tuple(
        Device(f"CUDA{index}", card, from_mib(total), from_mib(free), bandwidth_bytes_per_s=speed * 1e9)
        for index, (card, total, free, speed) in enumerate(RIGS[name])
    )
    return Rig(name, Host(ram_total_bytes=from_mib(65536), ram_free_bytes=from_mib(60000)), devices)


def facts(layers: int = 64, context_train: int | None = 32768) -> ModelFacts:
    """A model of which only the counts matter."""
    return ModelFacts(
        path="m.gguf",
        name="m",
        architecture="qwen2",
        quantization=None,
        file_bytes=1,
        layers=layers,
        context_train=context_train,
        parameters=1,
        vocabulary=1,
        tensors=(),
        metadata={"qwen2.attention.sliding_window": 4096},
    )
