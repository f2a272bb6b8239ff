"""Engines installed from their releases: which file fits this machine, install, update, remove."""

import platform
from dataclasses import dataclass

from splitter.app.events import Events
from splitter.engine.installed import Installed, ask_release, install, installed, use
from splitter.engine.releases import BuildChoice, Machine, choose, machine_of
from splitter.errors import EngineNotFoundError
from splitter.rig.backends import vendor
from splitter.rig.catalog import find
from splitter.rig.files import load_catalog
from splitter.rig.host import operating_system
from splitter.rig.nvml import driver_version
from splitter.rig.probe import probe_rig
from splitter.units import format_bytes


@dataclass(frozen=True, slots=True)
class EngineInstall:
    """What was installed, why this file, and whether it was here already."""

    engine: Installed
    choice: BuildChoice
    was_here: bool


def this_machine() -> Machine:
    """System, processor, cards and driver, as far as drivers tell without an engine."""
    catalog = load_catalog()
    rig = probe_rig()
    return machine_of(
        operating_system(),
        platform.machine(),
        rig.devices,
        driver_version(),
        lambda device: vendor(device.name, find(catalog, device.name, device.total_bytes)),
    )


def choose_engine(kind: str, tag: str | None, backend: str | None, events: Events) -> tuple[BuildChoice, str]:
    """The files that `install` would take, and the release's tag; nothing is downloaded."""
    with events.step("looking up the release"):
        release = ask_release(kind, tag)
    return choose(kind, release, this_machine(), backend), release.tag


def install_engine(kind: str, tag: str | None, backend: str | None, events: Events) -> EngineInstall:
    """Downloads and installs the release that fits, and takes it into use."""
    with events.step("looking up the release"):
        release = ask_release(kind, tag)
    machine = this_machine()
    choice = choose(kind, release, machine, backend)
    before = {(engine.tag, engine.backend) for engine in installed(kind)}
    was_here = (release.tag, choice.backend) in before
    size = sum(asset.size_bytes for asset in choice.assets)
    if not was_here:
        events.say(f"{choice.assets[0].name}, {format_bytes(size)}: {choice.reason}")
    with events.transfer() as on_progress:
        engine = install(kind, release, choice, machine, on_progress)
    return EngineInstall(engine, choice, was_here)


def update_engines(kind: str | None, events: Events) -> tuple[EngineInstall, ...]:
    """The latest release of each installed kind, with the backend that is in use. Older ones stay until removed."""
    used = [engine for engine in installed(kind) if engine.in_use]
    if not used:
        raise EngineNotFoundError("no engine was installed by splitter", "`splitter engine install llama-server`")
    return tuple(install_engine(engine.kind, None, engine.backend, events) for engine in used)


def use_engine(kind: str, version: str) -> Installed:
    """Takes another installed engine into use, by its tag or TAG+BACKEND. EngineNotFoundError where there is none."""
    found = next((e for e in installed(kind) if version in {e.tag, f"{e.tag}+{e.backend}"}), None)
    if found is None:
        hint = f"`splitter engine install {kind} --version {version}`"
        raise EngineNotFoundError(f"no {kind} {version} is installed", hint)
    use(kind, f"{found.tag}+{found.backend}")
    return found
