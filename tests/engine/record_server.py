"""Records what the real llama-server holds for many models and flags, as test data that needs no engine.

    python -m tests.engine.record_server collect OUT.tar.xz DIR...    random flags for the models in DIR, no answers
    python -m tests.engine.record_server ask OUT.tar.xz [ARCHIVE]     asks the engine about every case of ARCHIVE (OUT)

An archive holds each model's header (weights cut off) and cases.json: {model, file_bytes, devices, args, draft} with
what the server and llama-fit-params answered. So a new build needs no other file: `ask` re-records everything with one
command and prints per family what moved.
"""

import io
import json
import os
import random
import sys
import tarfile
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any

from splitter.model.facts import ModelFacts
from splitter.model.families import supports_tensor_split
from splitter.model.header import read_header
from splitter.model.hparams import integer
from splitter.model.load import load_model
from splitter.model.source import open_local
from tests.engine.exact import compiled, fit_rows
from tests.engine.real_server import ask_server

Case = dict[str, Any]
WORKERS = 2
SERVER_ONLY = {"--spec-type": 1, "--spec-draft-n-max": 1, "-md": 1, "-ngld": 1}
OVERRIDES = ("ffn_(up|down)=CPU", r"blk\.[1-3]\.=CPU", "attn=CPU", "ffn_down=CUDA0")
KINDS = ("f16", "f16", "f16", "f16", "q8_0", "q8_0", "q4_0", "q5_1", "bf16", "f32", "iq4_nl")


def random_case(facts: ModelFacts, rnd: random.Random) -> tuple[int, str]:
    """The number of devices and the flags of one case."""
    devices = rnd.choice((1, 1, 2, 2, 2, 3, 3, 4))
    if rnd.random() < 0.08 and devices > 1 and supports_tensor_split(facts.architecture):
        return devices, _tensor_flags(rnd, devices)
    layers = rnd.choice([999, 999, 999, rnd.randint(0, facts.layers), rnd.randint(1, facts.layers)])
    args = ["-ngl", str(layers), "-c", rnd.choice(["4096", "8192", "9999", "16384", "32768"])]
    if devices > 1:
        split = [str(rnd.randint(1, 4)) for _ in range(devices)]
        if rnd.random() < 0.1:
            split[rnd.randrange(devices)] = "0"
        args += ["-ts", ",".join(split)]
    return devices, " ".join([*args, *_cache_flags(rnd), *_slots(rnd), *_moves(facts, rnd), *_speculation(facts, rnd)])


def _tensor_flags(rnd: random.Random, devices: int) -> str:
    split = ",".join(str(rnd.randint(1, 4)) for _ in range(devices))
    return f"-sm tensor -ngl 999 -c {rnd.choice(('4096', '16384'))} -ts {split} -np {rnd.choice(('1', '2'))}"


def _cache_flags(rnd: random.Random) -> list[str]:
    kind = rnd.choice(KINDS)
    args = ["-ctk", kind, "-ctv", kind] if kind != "f16" else []
    if kind in {"f16", "bf16", "f32"}:
        args += rnd.choice([[], [], [], ["-fa", "off"], ["-fa", "on"]])
    args += ["--swa-full"] if rnd.random() < 0.12 else []
    args += ["-nkvo"] if rnd.random() < 0.06 else []
    return args


def _slots(rnd: random.Random) -> list[str]:
    slots = rnd.choice([[], ["-np", "1"], ["-np", "1"], ["-np", "2"], ["-np", "3"], ["-np", "4"], ["-np", "8"]])
    args = [*slots, *(["-kvu"] if slots and slots[1] != "1" and rnd.random() < 0.5 else [])]
    batch = rnd.choice(["", "", "", "64", "128", "256", "1024", "2048", "4096"])
    args += ["-ub", batch] if batch else []
    return args + (["-b", rnd.choice(["512", "4096"])] if rnd.random() < 0.2 else [])


def _moves(facts: ModelFacts, rnd: random.Random) -> list[str]:
    args: list[str] = []
    if integer(facts, "expert_count") and rnd.random() < 0.3:
        args += rnd.choice([["-cmoe"], ["-ncmoe", str(rnd.randint(1, facts.layers))]])
    elif rnd.random() < 0.06:
        args += ["-ot", rnd.choice(OVERRIDES)]
    return args + (["--no-op-offload"] if rnd.random() < 0.05 else [])


def _speculation(facts: ModelFacts, rnd: random.Random) -> list[str]:
    if any(".nextn.eh_proj" in tensor.name for tensor in facts.tensors) and rnd.random() < 0.6:
        drafted = rnd.choice([[], ["--spec-draft-n-max", rnd.choice("1258")]])
        return ["--spec-type", "draft-mtp", *drafted]
    if rnd.random() < 0.04:
        return ["--spec-type", rnd.choice(["ngram-simple", "ngram-mod", "ngram-cache"])]
    return []


# -- archives ----------------------------------------------------------------------------------------------------------


def head_of(path: Path) -> bytes:
    """The header of a model, weights cut off."""
    with path.open("rb") as file:
        return file.read(read_header(open_local(str(path))).data_offset)


def write_archive(out: Path, heads: Mapping[str, bytes], cases: Sequence[Case]) -> None:
    """The headers that the cases name, and the cases, one a line."""
    used = {case["model"] for case in cases} | {case["draft"] for case in cases if case.get("draft")}
    with tarfile.open(out, "w:xz", preset=9) as archive:
        for name in sorted(used):
            _add(archive, f"{name}.gguf", heads[name])
        lines = ",\n".join(json.dumps(case) for case in cases)
        _add(archive, "cases.json", f"[\n{lines}\n]\n".encode())


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def read_archive(path: Path) -> tuple[dict[str, bytes], list[Case]]:
    """Headers by model name, and the cases."""
    with tarfile.open(path) as archive:
        files = {member.name: archive.extractfile(member).read() for member in archive.getmembers()}  # type: ignore[union-attr]
    cases: list[Case] = json.loads(files.pop("cases.json"))
    return {name.removesuffix(".gguf"): head for name, head in files.items()}, cases


def collect(folders: Sequence[Path], per_model: int, seed: str) -> tuple[dict[str, bytes], list[Case]]:
    """Random cases of every model in `folders`."""
    heads, cases = {}, []
    for path in sorted(path for folder in folders for path in folder.glob("*.gguf")):
        facts, rnd = load_model(str(path)), random.Random(f"{path.stem} {seed}")
        heads[path.stem] = head_of(path)
        for _ in range(per_model):
            devices, args = random_case(facts, rnd)
            cases.append({"model": path.stem, "file_bytes": facts.file_bytes, "devices": devices, "args": args})
    return heads, cases


# -- asking ------------------------------------------------------------------------------------------------------------


def restored(folder: Path, heads: Mapping[str, bytes], cases: Sequence[Case]) -> None:
    """The models as files with holes for their weights."""
    sizes = {case["model"]: case["file_bytes"] for case in cases}
    sizes |= {case["draft"]: case["draft_bytes"] for case in cases if case.get("draft")}
    for name, size in sizes.items():
        path = folder / f"{name}.gguf"
        path.write_bytes(heads[name])
        os.truncate(path, size)


def answered(case: Case, folder: Path, emulator: Path | None) -> Case:
    """The case with what the server and llama-fit-params say."""
    model, args = folder / f"{case['model']}.gguf", case["args"].split()
    draft = ["-md", str(folder / f"{case['draft']}.gguf")] if case.get("draft") else []
    report = folder / f"report-{os.getpid()}-{id(case)}.txt"
    answer = ask_server(model, [*args, *draft], case["devices"], report, emulator)
    report.unlink(missing_ok=True)
    dry = fit_rows(model, dry_flags(args), case["devices"])
    return {**case, "server": asdict(answer), "fit_params": dry}


def dry_flags(args: Sequence[str]) -> list[str]:
    """The flags that llama-fit-params knows (-kvu by exact_bytes.cpp), the server's default slots said."""
    return list(_without(args))


def _without(args: Sequence[str]) -> Iterator[str]:
    if "-np" not in args:
        yield from ("-np", "4", "-kvu")
    words = iter(args)
    for word in words:
        if word in SERVER_ONLY:
            for _ in range(SERVER_ONLY[word]):
                next(words)
        else:
            yield word


def ask(heads: Mapping[str, bytes], cases: Sequence[Case], emulator: Path | None, log: Path | None) -> list[Case]:
    """All cases answered, in order; `log` gets each as it comes."""
    done = {_key(case): case for case in _logged(log)}
    compiled("exact_bytes")
    with tempfile.TemporaryDirectory() as name, ThreadPoolExecutor(WORKERS) as pool:
        restored(Path(name), heads, cases)

        def one(case: Case) -> Case:
            found = done.get(_key(case)) or answered(case, Path(name), emulator)
            if log is not None and _key(case) not in done:
                with log.open("a", encoding="utf-8") as file:
                    file.write(json.dumps(found) + "\n")
            return found

        return list(pool.map(one, cases))


def _key(case: Case) -> tuple[Any, ...]:
    return (case["model"], case["devices"], case["args"], case.get("draft"))


def _logged(log: Path | None) -> list[Case]:
    if log is None or not log.exists():
        return []
    return [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]


def moved(old: Sequence[Case], new: Sequence[Case]) -> dict[str, list[str]]:
    """By model: the cases whose answers differ."""
    found: dict[str, list[str]] = defaultdict(list)
    for before, after in zip(old, new, strict=True):
        if "server" in before and before["server"]["contexts"] != after["server"]["contexts"]:
            found[before["model"]].append(before["args"])
    return found


def main() -> None:
    verb, out, *rest = sys.argv[1:]
    if verb == "collect":
        heads, cases = collect([Path(folder) for folder in rest], int(os.environ.get("CASES", "3")), "1")
        write_archive(Path(out), heads, cases)
        print(out, len(cases), "cases of", len(heads), "models")
        return
    heads, cases = read_archive(Path(rest[0] if rest else out))
    emulator, log = os.environ.get("EMULATOR"), os.environ.get("LOG")
    new = ask(heads, cases, Path(emulator) if emulator else None, Path(log) if log else None)
    for model, args in moved(cases, new).items():
        print(f"moved: {model} ({len(args)} cases, for example {args[0]})")
    write_archive(Path(out), heads, [case for case in new if not case["server"]["failed"]])
    print(out, len(new), "cases,", sum(bool(case["server"]["failed"]) for case in new), "refused by the server")


if __name__ == "__main__":
    main()
