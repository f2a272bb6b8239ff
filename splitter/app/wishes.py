"""What somebody asks for: one layer of dotted keys, whether they came from flags, keyword arguments or JSON."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from splitter.errors import UsageError
from splitter.profile.files import load_profile
from splitter.profile.profile import Profile, ProfileTask, to_request

RIG = ("rig.name", "rig.file")


@dataclass(frozen=True, slots=True)
class Wishes:
    """`values` by the profile's dotted keys (`model`, `rig.gpus`, `settings.context_size`, ...), over the profile of
    the name or file `profile`, over the user's and the project's settings."""

    values: Mapping[str, Any] = field(default_factory=dict)
    profile: str | None = None

    def settings(self) -> dict[str, Any]:
        """The engine settings among the values, by their short names."""
        prefix = "settings."
        return {key.removeprefix(prefix): value for key, value in self.values.items() if key.startswith(prefix)}

    def over(self, values: Mapping[str, Any]) -> "Wishes":
        """The same with `values` where nothing is said of them."""
        return Wishes({**values, **self.values}, self.profile)


@dataclass(frozen=True, slots=True)
class Asked:
    """All that is asked for, each value with its source, and what it means for the rooms."""

    profile: Profile
    task: ProfileTask

    def said(self, key: str) -> bool:
        """Whether the wishes themselves, and no file, set `key`."""
        return key in self.profile.values and self.profile.values[key].source == "command line"

    def model(self) -> str:
        """The model's reference. UsageError where none is named."""
        if not self.task.model:
            raise UsageError("no model given", "name a GGUF file, hf:OWNER/REPO/FILE, or --profile P")
        return self.task.model


def ask(wishes: Wishes) -> Asked:
    """`wishes` over the profile and the settings of user and project, before a model or a device is looked at."""
    if wishes.values.get("rig.gpus") and any(wishes.values.get(key) for key in RIG):
        raise UsageError("--rig and --gpus both name the devices", "give one of them")
    profile = load_profile(wishes.profile, wishes.values)
    return Asked(profile, to_request(profile))
