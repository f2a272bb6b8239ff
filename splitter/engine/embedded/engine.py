"""The embedded engine as a value: llama.cpp's server inside Python, which computes on the CPU."""

from dataclasses import replace
from typing import TYPE_CHECKING

from splitter.engine.llama_server.engine import LlamaServer

if TYPE_CHECKING:
    from splitter.engine.command import EngineCommand, EngineRef, Server
    from splitter.plan.engine_rules import EngineRules
    from splitter.plan.plan import Plan


class Embedded(LlamaServer):
    """The wheel xllamacpp. Commands for it are read as llama-server's."""

    name = "embedded"
    program, program_words, releases = "python", None, None
    package = "xllamacpp"
    cpu_only, lists_devices, tools_beside = True, False, False
    get = "install the embedded engine: pip install 'tensor-splitter[embedded]'"

    def rules(self, version: str | None) -> "EngineRules":
        from splitter.engine.llama_server.versions import llama_rules

        return replace(llama_rules(self.name, version), cpu_only=True, split_modes=("layer",), drafts_itself=())

    def command(self, plan: "Plan", engine: "EngineRef", server: "Server") -> "EngineCommand":
        from splitter.engine.embedded.command import embedded_command

        return embedded_command(plan, engine, server)


EMBEDDED = Embedded()
