"""llama-server, llama.cpp's own server, as a value."""

from typing import TYPE_CHECKING

from splitter.engine.engine import Engine

if TYPE_CHECKING:
    from splitter.engine.command import EngineCommand, EngineRef, Server
    from splitter.plan.engine_rules import EngineRules
    from splitter.plan.plan import Plan


class LlamaServer(Engine):
    """Releases of ggml-org/llama.cpp."""

    name = command_word = "llama-server"
    releases = "https://github.com/ggml-org/llama.cpp/releases"
    get = f"install llama.cpp ({releases}) or name it with --engine-path"
    lists_devices = True
    tools_beside = True

    def rules(self, version: str | None) -> "EngineRules":
        from splitter.engine.llama_server.versions import llama_rules

        return llama_rules(self.name, version)

    def command(self, plan: "Plan", engine: "EngineRef", server: "Server") -> "EngineCommand":
        from splitter.engine.llama_server.command import llama_server_command

        return llama_server_command(plan, engine, server)


LLAMA_SERVER = LlamaServer()
