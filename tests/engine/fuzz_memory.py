"""Differential fuzzing of the memory model: random models and flags against the engine's own dry run and server.

    nice -n 10 python -m tests.engine.fuzz_memory --cases 5000 --log FILE     hours; a run takes up where FILE ends

A model is a header of any family with true sizes, varied by `vary_headers` (layers, heads, windows, experts, MTP,
types) and given a vocabulary of 32k to 262k; the flags are those of `record_server`, on one to four devices. Ours must
hold what llama-fit-params says and, every `--server` cases, what llama-server then prints: weights and caches within a
MiB, and where the family's graph is compared, buffers not below the stated bound. What breaks this is shrunk to the
fewest flags and the plainest header, and kept as an archive (`--keep`); no test replays one yet. Exit code
1: findings.
"""

import argparse
import json
import random
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from splitter.memory.compute.proof import is_exact
from splitter.memory.model import MemoryModel
from splitter.memory.rules import LLAMA_CPP, LLAMA_SERVER, MemoryRules
from splitter.model.attention import placed_layers
from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.plan.placement import placement_of
from splitter.units import MIB
from tests.engine.exact import fit_rows
from tests.engine.real_server import ask_server
from tests.engine.record_server import dry_flags, head_of, random_case, read_archive, restored, write_archive
from tests.engine.vary_headers import Keys, bases, tensors, vary, write
from tests.memory.server_answers import ARCHIVE, server_settings

VOCABULARIES = (32000, 49153, 65536, 102400, 128256, 151936, 201088, 248320, 262144)
ROOM = 245760  # MiB of every emulated device
FLAG_SETS = 4  # per model
TERMS = ("model", "context", "compute")
Row = Sequence[float]  # MiB by TERMS


@dataclass(frozen=True)
class Case:
    """One question: a header by what it is made of, and the flags on so many devices."""

    base: str
    architecture: str
    keys: Keys = field(hash=False)
    vocabulary: int
    seed: str
    devices: int
    args: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """Ours minus the engine's on one device, MiB, and what the engine said."""

    oracle: str
    device: int
    term: str
    error: float
    theirs: float
    compared: bool

    def is_wrong(self) -> bool:
        """Weights and caches must be equal; buffers of a compared family may be above."""
        if self.term != "compute":
            return abs(self.error) > 1
        return self.compared and self.error < -max(16, 0.03 * self.theirs)


class Fuzz:
    """Makes cases of the headers in `folder` and asks about them."""

    def __init__(self, folder: Path, seed: str) -> None:
        self.folder, self.seed = folder, seed
        heads = folder / "heads"
        heads.mkdir()
        restored(heads, *read_archive(ARCHIVE))
        self.bases = bases(heads)
        self._written: tuple[object, ...] = ()
        self._path: Path | None = None

    def cases(self, first: int) -> Iterator[Case]:
        """Endless cases from the one with number `first` on; the same number is the same case."""
        names = sorted(self.bases)
        model = first // FLAG_SETS
        while True:
            rnd = random.Random(f"{self.seed} {model}")
            name = rnd.choice(names)
            arch, keys, own = self.bases[name]
            varied = _odd_heads(vary(keys, arch, rnd), rnd)
            fixed = arch in {"qwen3tts", "qwen4exp", "glm5-next"}
            plain = Case(name, arch, varied, own if fixed else rnd.choice(VOCABULARIES), f"{model}", 0, ())
            header = self.header(plain)
            if header is not None:
                facts = load_model(str(header))
                for _ in range(FLAG_SETS):
                    yield _flagged(plain, facts, rnd)
            model += 1

    def header(self, case: Case) -> Path | None:
        """The file of a case's model; None where llama.cpp refuses it."""
        wanted = (case.base, case.keys, case.vocabulary, case.seed)
        if self._written != wanted:
            self._path, self._written = self._made(case), wanted
        return self._path

    def _made(self, case: Case) -> Path | None:
        path = self.folder / "case.gguf"
        write(path, case.architecture, case.keys, case.vocabulary, [])
        table = tensors(path, case.keys, case.architecture, random.Random(case.seed))
        write(path, case.architecture, case.keys, case.vocabulary, table)
        return path if table else None

    def differences(self, case: Case, server: bool) -> list[Difference]:
        """What the engine says of a case beside ours; nothing where it refuses the model or the flags."""
        path = self.header(case)
        if path is None:
            return []
        facts = load_model(str(path))
        found = _beside("fit-params", facts, case, LLAMA_CPP, fit_rows(path, dry_flags(case.args), case.devices))
        if server:
            answer = ask_server(path, case.args, case.devices, self.folder / "report.txt")
            held = {name: _sum(answer.contexts, name) for name in _names(case)}
            found += _beside("server", facts, case, LLAMA_SERVER, None if answer.failed else held)
        return found

    def shrunk(self, case: Case, server: bool) -> Case:
        """The plainest case that still goes wrong: each simplification is kept if it does."""
        smaller = True
        while smaller:
            smaller = False
            for simpler in _simpler(case, self.bases[case.base][1]):
                if any(one.is_wrong() for one in self.differences(simpler, server)):
                    case, smaller = simpler, True
                    break
        return case


def _flagged(case: Case, facts: ModelFacts, rnd: random.Random) -> Case:
    while True:
        devices, args = random_case(facts, rnd)
        if "tensor" not in args.split():
            return replace(case, devices=devices, args=tuple(args.split()))


def _odd_heads(keys: Keys, rnd: random.Random) -> Keys:
    """Head counts that are no power of two, where the header gives the width of a head."""
    plain = all(
        isinstance(keys.get(f"attention.{name}"), int) for name in ("head_count", "head_count_kv", "key_length")
    )
    if not plain or "attention.key_length_mla" in keys or rnd.random() < 0.7:
        return keys
    heads, per_kv = rnd.choice(((14, 7), (25, 5), (9, 3), (20, 5), (12, 12)))
    return keys | {"attention.head_count": heads, "attention.head_count_kv": heads // per_kv}


def _names(case: Case) -> list[str]:
    return [f"CUDA{i}" for i in range(case.devices)]


def _sum(contexts: Sequence[dict[str, list[float]]], name: str) -> Row:
    return [sum(context.get(name, [0.0] * 3)[term] for context in contexts) for term in range(3)]


def _beside(
    oracle: str, facts: ModelFacts, case: Case, rules: MemoryRules, said: dict[str, Any] | None
) -> list[Difference]:
    if said is None:
        return []
    unit = MIB if oracle == "fit-params" else 1
    words = dry_flags(case.args) if oracle == "fit-params" else list(case.args)
    settings = server_settings(words, case.devices)
    placement = placement_of(placed_layers(facts), settings, (ROOM,) * case.devices)
    found, compared = [], is_exact(facts.architecture)
    for i, (name, use) in enumerate(
        zip(_names(case), MemoryModel(facts, settings, rules).footprint(placement).devices, strict=True)
    ):
        ours = (use.model_bytes, use.context_bytes, use.compute_bytes)
        row = said.get(name, (0, 0, 0))
        for term, our, their in zip(TERMS, ours, row[:3], strict=True):
            found.append(Difference(oracle, i, term, our / MIB - their / unit, their / unit, compared))
    return found


# -- shrinking ---------------------------------------------------------------------------------------------------------


def _simpler(case: Case, plain: Keys) -> Iterator[Case]:
    """Cases with one thing less: a flag, a device, a key that differs from the header it began with."""
    flags = _flags(case.args)
    for i, flag in enumerate(flags):
        if flag[0] not in {"-ngl", "-c"}:
            yield replace(case, args=_joined(flags[:i] + flags[i + 1 :]))
    if case.devices > 1:
        fewer = [(flag, ",".join(rest[0].split(",")[:-1])) if flag == "-ts" else (flag, *rest) for flag, *rest in flags]
        yield replace(case, devices=case.devices - 1, args=_joined(fewer))
    for i, flag in enumerate(flags):
        for value in {"-c": ("4096",), "-ngl": ("999",), "-np": ("1", "2"), "-ub": ("512",)}.get(flag[0], ()):
            if flag[1] != value and (flag[0] != "-np" or int(value) < int(flag[1])):
                yield replace(case, args=_joined([*flags[:i], (flag[0], value), *flags[i + 1 :]]))
    for key, value in case.keys.items():
        if key in plain and plain[key] != value and not isinstance(value, tuple):
            yield replace(case, keys={**case.keys, key: plain[key]})
    if case.vocabulary != VOCABULARIES[0]:
        yield replace(case, vocabulary=VOCABULARIES[0])


def _flags(args: Sequence[str]) -> list[tuple[str, ...]]:
    """Each flag with its value; a negative number is none of ours."""
    found: list[tuple[str, ...]] = []
    for word in args:
        if word.startswith("-"):
            found.append((word,))
        else:
            found[-1] += (word,)
    return found


def _joined(flags: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    return tuple(word for flag in flags for word in flag)


# -- the run -----------------------------------------------------------------------------------------------------------


@dataclass
class Tally:
    """Worst signed errors of weights, caches and buffers by oracle and family."""

    worst: dict[tuple[str, str], dict[str, list[float]]] = field(
        default_factory=lambda: defaultdict(lambda: {term: [0.0, 0.0] for term in TERMS})
    )
    cases: int = 0
    devices: int = 0
    over: int = 0

    def add(self, architecture: str, found: Sequence[Difference]) -> None:
        self.cases += bool(found)
        for one in found:
            row = self.worst[one.oracle, architecture][one.term]
            row[:] = min(row[0], one.error), max(row[1], one.error)
            if one.term == "compute" and one.compared:
                self.devices += 1
                self.over += one.error > max(32, 0.1 * one.theirs)

    def show(self) -> None:
        print("oracle and family: lowest and highest of model, context, compute (MiB)")
        for (oracle, family), rows in sorted(self.worst.items()):
            print(f"  {oracle:10} {family:20}", *(f"{low:+9.1f} {high:+9.1f}" for low, high in rows.values()))
        print(f"{self.cases} cases; compared families: {self.devices} devices, {self.over} over max(32 MiB, 10 %)")


def run(fuzz: Fuzz, numbers: range, server: int, log: Path | None = None) -> tuple[Tally, list[Case]]:
    """The tally of these cases, and the shrunk ones that went wrong, once per family, oracle and term."""
    tally, findings = Tally(), {}
    for number, case in zip(numbers, fuzz.cases(numbers.start), strict=False):
        asked = bool(server) and number % server == 0
        found = fuzz.differences(case, asked)
        tally.add(case.architecture, found)
        wrong = [one for one in found if one.is_wrong()]
        if log is not None:
            _write(log, number, case, found)
        key = (case.architecture, wrong[0].oracle, wrong[0].term) if wrong else None
        if key is not None and key not in findings:
            findings[key] = fuzz.shrunk(case, wrong[0].oracle == "server")
            print(
                f"finding {number}: {case.base} {' '.join(findings[key].args)} on {case.devices}", wrong[0], flush=True
            )
    return tally, list(findings.values())


def _write(log: Path, number: int, case: Case, found: Sequence[Difference]) -> None:
    row = {"number": number, "case": asdict(case), "found": [asdict(one) for one in found]}
    with log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(row) + "\n")


def _resumed(log: Path | None) -> int:
    """The number of the next model whose cases are not in the log."""
    if log is None or not log.exists():
        return 0
    last: dict[str, Any] = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    return (int(last["number"]) // FLAG_SETS + 1) * FLAG_SETS


def keep(fuzz: Fuzz, findings: Sequence[Case], out: Path) -> None:
    """The findings as an archive of `record_server`'s, with what server and dry run said."""
    heads, cases = {}, []
    for i, case in enumerate(findings):
        path = fuzz.header(case)
        assert path is not None
        name = f"fuzz-{case.architecture}-{i}"
        heads[name] = head_of(path)
        size, args = path.stat().st_size, " ".join(case.args)
        cases.append({"model": name, "file_bytes": size, "devices": case.devices, "args": args})
    write_archive(out, heads, cases)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=400)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--server", type=int, default=10, help="ask the server too, every so many cases; 0: never")
    parser.add_argument("--log", type=Path)
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fuzz = Fuzz(Path(folder), asked.seed)
        first = _resumed(asked.log)
        tally, findings = run(fuzz, range(first, asked.cases), asked.server, asked.log)
        if asked.keep and findings:
            keep(fuzz, findings, asked.keep)
    tally.show()
    print(len(findings), "findings")
    return bool(findings)


if __name__ == "__main__":
    sys.exit(main())
