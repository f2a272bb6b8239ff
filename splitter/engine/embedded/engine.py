"""The embedded engine as a value: llama.cpp's server inside Python, which computes on the CPU."""

from dataclasses import replace
from typing import TYPE_CHECKING

from splitter.engine.engine import Engine

if TYPE_CHECKING:
    from splitter.engine.command import EngineCommand, EngineRef, Server
    from splitter.plan.engine_rules import EngineRules
    from splitter.plan.plan import Plan


class Embedded(Engine):
    """The wheel xllamacpp. Commands for it are read as llama-server's."""

    name = "embedded"
    program, command_word = "python", "llama-server"
    package = "xllamacpp"
    cpu_only = True
    get = "install the embedded engine: pip install 'splitter[embedded]'"

    def rules(self, version: str | None) -> "EngineRules":
        from splitter.engine.llama_server.versions import llama_rules

        return replace(llama_rules(self.name, version), cpu_only=True, split_modes=("layer",))

    def command(self, plan: "Plan", engine: "EngineRef", server: "Server") -> "EngineCommand":
        from splitter.engine.embedded.command import embedded_command

        return embedded_command(plan, engine, server)


EMBEDDED = Embedded()
