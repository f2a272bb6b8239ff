"""Engine: one engine as a value that answers questions, so that nothing outside this room compares an engine's name.

A folder of this room holds an engine: its `engine.py` has the one value, `versions.py` what each version can be told
and assumes, `command.py` a plan in its words, `read.py` somebody's command understood, `traps.py` what goes wrong with
such commands. The table in `engines.py` lists the values. This module and each `engine.py` import nothing heavy:
whatever only some verbs need is imported where it is asked for.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    from splitter.engine.command import EngineCommand, EngineRef, Server
    from splitter.engine.http import Answer, Slots
    from splitter.engine.reading.case import Trap
    from splitter.engine.reading.value import Findings, ReadCommand, ReadText
    from splitter.memory.settings import Settings
    from splitter.model.facts import ModelFacts
    from splitter.plan.engine_rules import EngineRules
    from splitter.plan.plan import Plan

Health = Literal["absent", "loading", "ready", "no_model"]
Ask = Callable[[str], "Answer"]  # GET of a path; OSError or HTTPException when nothing answers properly
Counts = Mapping[str, int | None]  # flag -> number of its values; None: all words up to the next flag


class Engine:
    """What splitter asks of an engine. What is not said otherwise is as in llama.cpp's own server."""

    name: ClassVar[str]
    program: ClassVar[str] = "llama-server"
    """The usual file name of its program, without `.exe`."""
    package: ClassVar[str | None] = None
    """The Python package that the engine is, where it is no program of its own."""
    port: ClassVar[int] = 8080
    cpu_only: ClassVar[bool] = False
    command_word: ClassVar[str]
    """What a command that is given as flags alone is read as: a program's name."""
    own_words: ClassVar[tuple[str, ...]] = ()
    """Words of its help by which it is told from another engine whose program has the same name."""
    program_words: ClassVar[str | None] = None
    """A pattern of the words that start it, in any case; None: its commands are read as another engine's."""
    releases: ClassVar[str | None] = None
    """The page to download it from."""
    get: ClassVar[str]
    """How to get it, as a hint."""
    version_questions: ClassVar[tuple[str, ...]] = ("--version",)
    version_timeout_s: ClassVar[float] = 15.0
    lists_devices: ClassVar[bool] = False
    """Whether it knows --list-devices."""
    tools_beside: ClassVar[bool] = False
    """Whether llama.cpp's tools (llama-fit-params, llama-bench) lie beside it."""
    settings_file: ClassVar[str | None] = None
    """The suffix of its own settings files."""
    key_flag: ClassVar[str | None] = "--api-key-file"
    """The flag that names the file of its API key; None: the key comes by the environment."""
    pulse_path: ClassVar[str] = "/health"
    """A page that answers while it works and that it does not write into its log."""
    slots_path: ClassVar[str] = "/slots"
    """The page that tells what it works on."""
    abort_path: ClassVar[str | None] = None
    """Where a request is ended that carries a `genkey`; None: it ends with its connection."""
    where_flags: ClassVar[Counts] = {"--device": 1, "-dev": 1, "-ts": 1, "--tensor-split": 1, "-sm": 1, "-mg": 1}
    """Flags of its commands that say where layers go, with the number of their values."""
    amount_flags: ClassVar[Counts] = {"-ngl": 1, "--fit": 1, "-ncmoe": 1, "-cmoe": 0, "-ot": 1}
    """Flags of its commands that say how much goes there."""
    own_placement: ClassVar[tuple[str, ...]] = ("--fit", "on")
    """The arguments that let it place the model itself."""

    def lister(self, path: str | None) -> str | None:
        """The program at `path` where it can be asked for its devices."""
        return path if self.lists_devices else None

    def file_names(self, windows: bool) -> tuple[str, ...]:
        """The names that its program has on this system, likeliest first."""
        return (f"{self.program}.exe" if windows else self.program,)

    def version_of(self, answer: str) -> str | None:
        """The version in its answer to one of `version_questions`, None where it states none."""
        from splitter.engine.version_text import llama_version

        return llama_version(answer)

    def rules(self, version: str | None) -> "EngineRules":
        """What this version can be told and what it assumes."""
        raise NotImplementedError

    def rules_of_command(self, read: "ReadCommand", version: str | None) -> "EngineRules":  # noqa: ARG002
        """`rules` as far as flags of a command that somebody wrote change them."""
        return self.rules(version)

    def command(self, plan: "Plan", engine: "EngineRef", server: "Server") -> "EngineCommand":
        """The command that tells it the whole plan. UsageError for what its version has no words for."""
        raise NotImplementedError

    def rehearse(self, command: "EngineCommand") -> None:
        """EngineError where it can tell without loading anything that it would refuse `command`."""

    def reads(self, word: str) -> bool:
        """Whether `word`, a file name, starts it."""
        return self.program_words is not None and re.fullmatch(self.program_words, word, re.IGNORECASE) is not None

    def lies_in(self, path: str) -> bool:  # noqa: ARG002
        """Whether the folders of `path` name it, which tells it from an engine whose program has the same name."""
        return False

    def knows_flag(self, flag: str) -> bool:  # noqa: ARG002
        """Whether some version of it has this flag."""
        return False

    def likeness(self, words: Sequence[str]) -> int:
        """How much `words`, the arguments of a command, look like its own: the flags that it knows."""
        return sum(word.startswith("-") and self.knows_flag(word) for word in words)

    def read(
        self,
        program: str,
        args: Sequence[str],
        env: Mapping[str, str],
        version: str | None,
        read_text: "ReadText | None" = None,
    ) -> "ReadCommand":
        """The command `program args` as this version reads it; `read_text` gives the text of files that it names.
        UsageError for a value that cannot be read."""
        raise NotImplementedError

    def fill(
        self, read: "ReadCommand", given: dict[str, Any], facts: "ModelFacts", version: str | None, findings: "Findings"
    ) -> dict[str, Any]:
        """`given`, the fields of Settings that `read` sets, with what this version adds by itself."""
        raise NotImplementedError

    def settled(self, settings: "Settings", facts: "ModelFacts", free_bytes: Sequence[int]) -> "Settings":  # noqa: ARG002
        """`settings` of a command as they are on devices with `free_bytes`, where it decides something by them."""
        return settings

    def traps(self) -> "tuple[Trap, ...]":
        """What goes wrong with its commands alone."""
        raise NotImplementedError

    def names_in_log(self, command: "EngineCommand") -> dict[str, str]:  # noqa: ARG002
        """What the log of `command` calls a device -> what the plan calls it, where they differ."""
        return {}

    def health(self, ask: Ask) -> Health:
        """What its pages say: /health is 503 while it loads. Raises what `ask` raises."""
        return "ready" if ask("/health").status == 200 else "loading"

    def introduces(self, props: Mapping[str, Any]) -> bool:  # noqa: ARG002
        """Whether `props`, the answer of /props, is its own."""
        return False

    def answers(self, ask: Ask) -> bool:
        """Whether it is what answers there. Raises what `ask` raises."""
        props = ask("/props").json()
        return isinstance(props, dict) and self.introduces(props)

    def slots(self, answer: Any, argv: Sequence[str] = ()) -> "Slots | None":  # noqa: ARG002
        """The JSON of `slots_path`, read; None where it does not tell. `argv` is its command."""
        from splitter.engine.http import read_slots

        return read_slots(answer)
