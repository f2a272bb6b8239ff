"""Which model a client means: names are matched as people write them. Pure.

`llama3.2`, `Llama-3.2-3B-Instruct-Q4_K_M.gguf`, `koboldcpp/Llama-3.2-3B-Instruct` and `llama3.2:latest` may be one.
"""

import re
from collections.abc import Collection, Mapping
from functools import lru_cache

MAX_NAME = 200  # characters of a model's name
ALIAS_STEPS = 4
_QUANTISATION = re.compile(r"[-._](?:ud[-_])?(?:i?q\d\w*|bf16|f16|f32|fp16|mxfp4\w*|tq\d\w*)$", re.IGNORECASE)
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_WORD = re.compile(r"\d+(?:\.\d+)*|[a-z]+")


@lru_cache(maxsize=1024)
def plain(name: str) -> str:
    """`name` without its folders, `.gguf`, the number of a part and `:latest`, in small letters."""
    base = re.split(r"[/\\]", name.strip())[-1].lower().removesuffix(":latest").removesuffix(".gguf")
    return _PART.sub("", base).removesuffix("-gguf")


def unquantised(name: str) -> str:
    """`plain` without the quantisation at its end."""
    return _QUANTISATION.sub("", plain(name))


def words(name: str) -> tuple[str, ...]:
    """`Qwen2.5-32B` and `qwen2.5:32b`: qwen, 2.5, 32, b."""
    return tuple(_WORD.findall(name))


def unaliased(asked: str, aliases: Mapping[str, str]) -> str:
    """What the table of aliases makes of `asked`."""
    told = {plain(alias): model for alias, model in aliases.items()}
    for _ in range(ALIAS_STEPS):
        if plain(asked) not in told:
            break
        asked = told[plain(asked)]
    return asked


def meant(asked: str, known: Collection[str], aliases: Mapping[str, str]) -> tuple[str, ...]:
    """The names among `known` that mean the model `asked`: the closest kind of likeness that any of them has.

    Several different models under one short name come back together: `distinct` tells.
    """
    if asked in known:
        return (asked,)
    name = unaliased(asked, aliases)
    if name in known:
        return (name,)
    shapes = (plain, unquantised, lambda text: words(plain(text)), lambda text: words(unquantised(text)))
    for shape in shapes:
        if found := tuple(model for model in known if shape(model) == shape(name)):
            return found
    begin = words(unquantised(name))
    return tuple(model for model in known if begin and words(unquantised(model))[: len(begin)] == begin)


def distinct(names: Collection[str]) -> tuple[str, ...]:
    """One name of each different model among `names`; quantisations of one model count as one."""
    return tuple({words(unquantised(name)): name for name in names}.values())
