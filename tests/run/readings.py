"""Made readings: a busy instance on three mismatched cards."""

from dataclasses import replace

from splitter.engine.command import EngineCommand, EngineRef
from splitter.engine.http import Slots
from splitter.rig.card_reading import CardReading, Readings
from splitter.run.reading import Expected, ExpectedDevice, ProcessUse, Reading
from splitter.run.snapshot import Snapshot
from splitter.run.tally import Tally
from splitter.units import MIB

COMMAND = EngineCommand(EngineRef("llama-server", "/bin/llama-server", "11434"), ("llama-server",), model_path="m.gguf")
SNAPSHOT = Snapshot("ready", 4242, "http://127.0.0.1:8080", 3, 4, 1000.0, 2.5, None, COMMAND)
EXPECTED = Expected(
    (
        ExpectedDevice("CUDA0", "GTX 1050 Ti", 4096 * MIB, 3400 * MIB),
        ExpectedDevice("CUDA1", "RTX 2080", 8192 * MIB, 7000 * MIB),
        ExpectedDevice("CUDA2", "GTX 1060 6GB", 6144 * MIB, 5100 * MIB),
    ),
    40.0,
    800.0,
)
CARDS = (
    CardReading("CUDA0", "GTX 1050 Ti", "GPU-0", 3456 * MIB, 640 * MIB, 4096 * MIB, 0.97, 71, 68.5, 75.0, 1700, 3504,
                ("power cap", "thermal"), None),
    CardReading("CUDA1", "RTX 2080", "GPU-1", 7001 * MIB, 1191 * MIB, 8192 * MIB, 0.42, 55, 120.0, 215.0, 1900, 7000,
                (), 12345.5),
)  # fmt: skip
TALLY = Tally(120, 4567, 890, 4500, 120.0, 2.0, 39.5, 777.0)
BUSY = Reading(
    SNAPSHOT,
    Readings(CARDS, "550.54", "CUDA2: a GPU has fallen off the bus"),
    Slots(4, 2, {1: 5, 2: 6}),
    TALLY,
    61.25,
    ProcessUse(1500 * MIB, 321.5, 1.84),
    ProcessUse(52 * MIB, 4.25, 0.01),
)


def with_names(reading: Reading, name: str) -> Reading:
    """The same cards, all called `name`."""
    cards = tuple(replace(card, name=name) for card in reading.cards.cards)
    return replace(reading, cards=replace(reading.cards, cards=cards))
