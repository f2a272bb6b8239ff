"""What one run of the stand-in knows: its release, what its command line said, what it was told to do wrong."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Failure = Literal["", "context", "weights", "generate", "inactive", "admin", "hang"]


@dataclass(frozen=True)
class Run:
    """`values` are argparse's, by dest; `fail` is how it shall fail though nothing is wrong."""

    version: str
    values: Mapping[str, Any]
    fail: Failure
    backend: str

    @property
    def release(self) -> tuple[int, ...]:
        return tuple(map(int, self.version.split(".")))

    def get(self, *names: str) -> Any:
        """The first value that is set, of one thing's names in different releases."""
        return next((self.values[name] for name in names if self.values.get(name) not in (None, "")), None)

    @property
    def model(self) -> str:
        given = self.get("model", "model_param")
        return str(given[0] if isinstance(given, list) else given or "")

    @property
    def name(self) -> str:
        """What /api/v1/model calls the model."""
        return "inactive" if self.fail == "inactive" else "koboldcpp/" + re.sub(r"[^\w.-]", "", Path(self.model).stem)

    @property
    def context(self) -> int:
        return int(self.values["contextsize"])

    @property
    def port(self) -> int:
        return int(self.values["port"] or self.values["port_param"])

    @property
    def password(self) -> str:
        """From the environment since 1.111.1."""
        told = os.environ.get("KCPP_PASSWORD") if self.release >= (1, 111, 1) else None
        return str(self.values.get("password") or told or "")

    def visible(self) -> list[str]:
        """The real ids of the devices it shows itself, in its own order; [] for the CPU alone or for all."""
        asked = self.get("usecuda", "usecublas")
        if asked is None and self.values.get("usevulkan") is None:
            return []
        ids = sorted(word for word in asked or () if word.isdigit())
        if ids and not self.values["tensor_split"]:  # one id without a split hides all other cards
            return [f"CUDA{ids[0]}"]
        shown = os.environ.get("CUDA_VISIBLE_DEVICES") or os.environ.get("GGML_VK_VISIBLE_DEVICES") or ""
        return [f"CUDA{number}" for number in shown.split(",") if number]
