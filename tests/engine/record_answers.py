"""Records what llama.cpp answers for many headers, as test data that needs no engine.

    python -m tests.engine.record_answers OUT.tar.xz DIR...

DIR: folders of models, for example what `test-llama-archs -o DIR` writes and what vary_headers.py writes. The archive
holds each model's header (weights cut off) and answers.json: {model, file_bytes, args, rows, pipeline} per case.
"""

import io
import json
import random
import sys
import tarfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from splitter.model.families import supports_tensor_split
from splitter.model.header import read_header
from splitter.model.load import load_model
from splitter.model.source import open_local
from tests.engine.exact import exact_bytes, loaded_bytes

SHOWN = ("-ngl 999 -c 32768 -ts 1,2,1", "-ngl 2 -c 65536 -ts 1,0,1 -np 2 -ctk q8_0 -ctv q8_0")
SPLITS = ("1,2,1", "1,0,1", "3,1,2", "2.7,0,4.6", "1,1,5")
OVERRIDES = ("ffn_(up|down)=CUDA1", "token_embd=CUDA2", r"blk\.[1-3]\.=CPU,output=CUDA0", "attn=CPU")


def random_settings(rnd: random.Random) -> str:
    """Flags of one random setting."""
    args = [
        "-ngl",
        rnd.choice(["999", "999", "2", "3", "5", "8"]),
        "-c",
        rnd.choice(["4096", "9999", "32768", "65536", "100001", "262144"]),
    ]
    args += ["-ts", rnd.choice(SPLITS)]
    kind = rnd.choice(["f16", "f16", "q8_0", "q4_0", "q5_1", "bf16", "f32", "iq4_nl"])
    args += ["-ctk", kind, "-ctv", kind]
    if kind in {"f16", "bf16", "f32"} and rnd.random() < 0.4:
        args += ["-fa", "off"]
    for chance, flags in (
        (0.6, ["-np", rnd.choice(["2", "3", "4", "8"])]),
        (0.4, ["-kvu"]),
        (0.25, ["--swa-full"]),
        (0.1, ["-nkvo"]),
        (0.3, ["-ub", rnd.choice(["64", "256", "1024", "2048"])]),
        (0.2, ["-ncmoe", rnd.choice(["1", "2", "5"])]),
        (0.1, ["-ot", rnd.choice(OVERRIDES)]),
    ):
        args += flags if rnd.random() < chance else []
    return " ".join(args)


def tensor_settings(rnd: random.Random) -> str:
    """Flags of one random `-sm tensor` setting; without -ts llama.cpp shares equally."""
    kind = rnd.choice(["f16", "f16", "q8_0"])
    split = rnd.choice(["", *(f"-ts {s}" for s in (*SPLITS, "0.3,0.9,5"))])
    slots = rnd.choice(["", "-np 2"])
    context = rnd.choice(["4096", "9999", "32768"])
    return " ".join(f"-sm tensor -ngl 999 -c {context} -ctk {kind} -ctv {kind} {split} {slots}".split())


def settings_of(model: Path, shown: bool) -> Iterator[str]:
    """The settings recorded for one model."""
    rnd = random.Random(model.stem)
    yield from SHOWN if shown else ()
    yield random_settings(rnd)
    yield random_settings(rnd)
    if supports_tensor_split(load_model(str(model)).architecture):
        yield tensor_settings(rnd)


def record(model: Path, shown: bool) -> list[dict[str, object]]:
    """The cases of one model that llama.cpp answers."""
    cases = []
    for args in settings_of(model, shown):
        answer = (loaded_bytes if "tensor" in args.split() else exact_bytes)(model, args.split())
        if answer is not None:
            case = {"model": model.stem, "file_bytes": model.stat().st_size, "args": args, "shown": args in SHOWN}
            cases.append({**case, "rows": answer.rows, "pipeline": answer.pipeline})
    return cases


def _head(path: Path, size: int) -> bytes:
    with path.open("rb") as file:
        return file.read(size)


def add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    """One file into the archive, without times and owners."""
    info = tarfile.TarInfo(name)
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def main() -> None:
    out, *folders = map(Path, sys.argv[1:])
    models = [(path, folder == folders[0]) for folder in folders for path in sorted(folder.glob("*.gguf"))]
    with ThreadPoolExecutor(2) as pool:
        recorded = list(pool.map(record, *zip(*models, strict=True)))
    with tarfile.open(out, "w:xz", preset=9) as archive:
        for (path, _), cases in zip(models, recorded, strict=True):
            if cases:
                header = read_header(open_local(str(path)))
                add(archive, f"{path.stem}.gguf", _head(path, header.data_offset))
        lines = ",\n".join(json.dumps(case) for cases in recorded for case in cases)
        add(archive, "answers.json", f"[\n{lines}\n]\n".encode())
    print(out, out.stat().st_size, "bytes,", sum(map(len, recorded)), "cases,", len(models), "models")


if __name__ == "__main__":
    main()
