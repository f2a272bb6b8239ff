"""What the pages of a server tell of it: its kind, models, slots and abilities, whichever engine it is. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from splitter.engine.engine import Ask, Engine
from splitter.engine.engines import ENGINES
from splitter.gateway.names import MAX_NAME
from splitter.printable import printable

MOST_MODELS, MOST_SLOTS = 256, 1024
OTHER_SLOTS = 8  # requests at once at a server that does not tell how many it takes


@dataclass(frozen=True, slots=True)
class Kind:
    """How a server is asked. `engine` None: whatever speaks OpenAI's interface (`openai`), or Ollama."""

    name: str
    engine: Engine | None = None


@dataclass(frozen=True, slots=True)
class Described:
    """What it says of itself; None: it does not tell."""

    models: tuple[str, ...] = ()
    slots: int | None = None
    context_size: int | None = None
    vision: bool | None = None
    details: Mapping[str, Any] | None = None


def kind_of(ask: Ask) -> Kind | None:
    """Which kind of server answers; None: it cannot be told yet. Raises what `ask` raises."""
    for engine in ENGINES.values():
        if engine.answers(ask):
            return Kind(engine.name, engine)
    version = ask("/api/version").json()
    if isinstance(version, dict) and version.get("version") and ask("/api/tags").status == 200:
        return Kind("ollama")
    return Kind("openai") if ask("/v1/models").status == 200 else None


def pulse_of(kind: Kind, ask: Ask) -> str:
    """What a probe sees: ready, loading or no_model. Raises what `ask` raises."""
    if kind.engine is not None:
        return kind.engine.health(ask)
    return "ready" if ask("/v1/models").status == 200 else "loading"


def described(ask: Ask) -> Described:
    """What its pages tell. Raises what `ask` raises."""
    listed, props = ask("/v1/models").json(), ask("/props").json()
    props = props if isinstance(props, dict) else {}
    rows = listed.get("data") if isinstance(listed, dict) else None
    rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    names = [*(row.get("id") for row in rows), *(alias for row in rows for alias in _listed(row.get("aliases")))]
    path = props.get("model_path")
    names += [PurePath(str(path).replace("\\", "/")).name] if path else []
    modalities = props.get("modalities")
    defaults = props.get("default_generation_settings")
    return Described(
        tuple(dict.fromkeys(str(name) for name in names if sound_name(name)))[:MOST_MODELS],
        whole(props.get("total_slots"), MOST_SLOTS),
        whole(defaults.get("n_ctx") if isinstance(defaults, dict) else None, 1 << 31),
        bool(modalities.get("vision")) if isinstance(modalities, dict) else None,
        rows[0].get("meta") if rows and isinstance(rows[0].get("meta"), dict) else None,
    )


def sound_name(name: Any) -> bool:
    """Whether it may be shown and compared as the name of a model."""
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME and printable(name, MAX_NAME) == name


def whole(value: Any, most: int) -> int | None:
    """A sensible number of something."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= most else None


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
