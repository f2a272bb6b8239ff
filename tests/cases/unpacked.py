"""Public reports as small inputs: rigs, and models of true shape whose weights are a hole in the file."""

import json
import os
import tarfile
from functools import cache
from pathlib import Path

from splitter.model.facts import ModelFacts
from splitter.model.load import load_model
from splitter.rig.device import Rig
from splitter.rig.files import load_rig
from tests.engine.oracle import CACHE

HERE = Path(__file__).parent


@cache
def case_model(name: str) -> Path:
    """The file `CASE/MODEL.gguf`, unpacked beside the other models without weights."""
    target = CACHE / "cases" / name
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(HERE / "headers.tar.xz") as headers:
            member = next(item for item in headers.getmembers() if item.name.removeprefix("./") == name)
            content = headers.extractfile(member)
            assert content is not None
            part = target.with_name(f"{target.name}.{os.getpid()}.part")
            part.write_bytes(content.read())
        os.truncate(part, json.loads((HERE / "sizes.json").read_text())[name])
        part.replace(target)
    return target


@cache
def case_facts(name: str) -> ModelFacts:
    return load_model(str(case_model(name)))


@cache
def case_rig(name: str) -> Rig:
    """The rig `CASE/RIG.yaml`."""
    return load_rig(str(HERE / name))
