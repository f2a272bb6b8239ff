"""llama-server, llama.cpp's own server, as a value."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from splitter.engine.engine import Engine

if TYPE_CHECKING:
    from splitter.engine.command import EngineCommand, EngineRef, Server
    from splitter.engine.reading.case import Trap
    from splitter.engine.reading.value import Findings, ReadCommand, ReadText
    from splitter.model.facts import ModelFacts
    from splitter.plan.engine_rules import EngineRules
    from splitter.plan.plan import Plan


class LlamaServer(Engine):
    """Releases of ggml-org/llama.cpp."""

    name = command_word = "llama-server"
    program_words: ClassVar[str | None] = (
        r"(?:llama-(?:server|cli|fit-params|completion|mtmd-cli|run|perplexity|sweep-bench|batched-bench)|server)"
        r"(?:\.exe)?|llama\.cpp:server[\w.-]*"
    )
    releases: ClassVar[str | None] = "https://github.com/ggml-org/llama.cpp/releases"
    get = f"`splitter engine install`, or install llama.cpp ({releases}) yourself, or name it with --engine-path"
    lists_devices = True
    tools_beside = True

    def rules(self, version: str | None) -> "EngineRules":
        from splitter.engine.llama_server.versions import llama_rules

        return llama_rules(self.name, version)

    def command(self, plan: "Plan", engine: "EngineRef", server: "Server") -> "EngineCommand":
        from splitter.engine.llama_server.command import llama_server_command

        return llama_server_command(plan, engine, server)

    def introduces(self, props: Mapping[str, Any]) -> bool:
        return "build_info" in props

    def knows_flag(self, flag: str) -> bool:
        from splitter.engine.llama_server.flags import flags_by_name

        return flag in flags_by_name() or flag.replace("_", "-") in flags_by_name()

    def read(
        self,
        program: str,
        args: Sequence[str],
        env: Mapping[str, str],
        version: str | None,
        read_text: "ReadText | None" = None,  # noqa: ARG002
    ) -> "ReadCommand":
        from splitter.engine.llama_server.read import read_llama

        return read_llama(program, args, env, version)

    def fill(
        self, read: "ReadCommand", given: dict[str, Any], facts: "ModelFacts", version: str | None, findings: "Findings"
    ) -> dict[str, Any]:
        from splitter.engine.llama_server.complete import fill_llama

        return fill_llama(read, given, facts, version, findings)

    def traps(self) -> "tuple[Trap, ...]":
        from splitter.engine.llama_server.traps import LLAMA_TRAPS

        return LLAMA_TRAPS


LLAMA_SERVER = LlamaServer()
