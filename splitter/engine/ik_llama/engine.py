"""ik_llama.cpp's llama-server as a value."""

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from splitter.engine.engine import Ask, Health
from splitter.engine.llama_server.engine import LlamaServer

if TYPE_CHECKING:
    from splitter.engine.command import EngineCommand, EngineRef, Server
    from splitter.engine.reading.case import Trap
    from splitter.engine.reading.value import Findings, ReadCommand, ReadText
    from splitter.memory.settings import Settings
    from splitter.model.facts import ModelFacts
    from splitter.plan.engine_rules import EngineRules
    from splitter.plan.plan import Plan


OWN_COUNTS = 4


class IkLlama(LlamaServer):
    """Its program has the name of llama.cpp's own: it is told apart by flags that only it has."""

    name = "ik-llama"
    releases = "https://github.com/ikawrakow/ik_llama.cpp"
    get = f"build ik_llama.cpp ({releases}) and name its llama-server with --engine-path"
    own_words = ("--run-time-repack", "--merge-up-gate-experts")  # of its help
    lists_devices, tools_beside = False, False
    own_placement = ("--fit",)

    def rules(self, version: str | None) -> "EngineRules":
        from splitter.engine.ik_llama.rules import ik_rules

        return ik_rules(self.name, version)

    def rules_of_command(self, read: "ReadCommand", version: str | None) -> "EngineRules":
        from splitter.engine.ik_llama.read import latent_of
        from splitter.engine.ik_llama.rules import ik_rules

        return ik_rules(self.name, version, latent_of(read))

    def command(self, plan: "Plan", engine: "EngineRef", server: "Server") -> "EngineCommand":
        from splitter.engine.ik_llama.command import ik_llama_command

        return ik_llama_command(plan, engine, server)

    def lies_in(self, path: str) -> bool:
        return re.search(r"ik[_-]?llama", path, re.IGNORECASE) is not None

    def knows_flag(self, flag: str) -> bool:
        from splitter.engine.ik_llama.flags import knows_flag

        return knows_flag(flag)

    def likeness(self, words: Sequence[str]) -> int:
        """What only it has tells more than what it shares."""
        from splitter.engine.ik_llama.flags import own_words

        return super().likeness(words) + OWN_COUNTS * own_words(words)

    def read(
        self,
        program: str,
        args: Sequence[str],
        env: Mapping[str, str],
        version: str | None,
        read_text: "ReadText | None" = None,  # noqa: ARG002 - it has no files of presets
    ) -> "ReadCommand":
        from splitter.engine.ik_llama.read import read_ik_llama

        return read_ik_llama(program, args, env, version)

    def fill(
        self,
        read: "ReadCommand",
        given: dict[str, Any],
        facts: "ModelFacts",
        version: str | None,  # noqa: ARG002
        findings: "Findings",
    ) -> dict[str, Any]:
        from splitter.engine.ik_llama.read import fill_ik_llama

        return fill_ik_llama(read, given, facts, findings)

    def settled(self, settings: "Settings", facts: "ModelFacts", free_bytes: Sequence[int]) -> "Settings":
        from splitter.engine.ik_llama.read import settled

        return settled(settings, facts, free_bytes)

    def traps(self) -> "tuple[Trap, ...]":
        from splitter.engine.ik_llama.traps import IK_LLAMA_TRAPS

        return IK_LLAMA_TRAPS

    def health(self, ask: Ask) -> Health:
        """It binds its port before it loads and answers nothing until then: a page that hangs is one that loads."""
        try:
            return super().health(ask)
        except TimeoutError:
            return "loading"

    def introduces(self, props: Mapping[str, Any]) -> bool:
        return "model_name" in props and "build_info" not in props and "n_ctx" in props


IK_LLAMA = IkLlama()
