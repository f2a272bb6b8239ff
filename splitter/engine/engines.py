"""The table of engines. A new engine is a folder with its value, and one line here."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from splitter.engine.embedded.engine import EMBEDDED
from splitter.engine.engine import Engine
from splitter.engine.ik_llama.engine import IK_LLAMA
from splitter.engine.koboldcpp.engine import KOBOLDCPP
from splitter.engine.llama_server.engine import LLAMA_SERVER

if TYPE_CHECKING:
    from splitter.plan.engine_rules import EngineRules

ENGINES: Mapping[str, Engine] = {
    engine.name: engine
    for engine in (
        LLAMA_SERVER,
        KOBOLDCPP,
        IK_LLAMA,
        EMBEDDED,
    )
}
NAMES: tuple[str, ...] = tuple(ENGINES)
DEFAULT = LLAMA_SERVER
EVERYWHERE = EMBEDDED  # runs on any machine, without a GPU


def rules_of(name: str, version: str | None = None) -> "EngineRules":
    """What `version` (None: the newest) of the engine `name` can be told and what it assumes."""
    return ENGINES[name].rules(version)
