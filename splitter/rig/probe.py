"""Combines the probes: what this host has, as the engine will see it."""

import platform

from splitter.errors import EngineError
from splitter.rig import sysfs
from splitter.rig.catalog import Catalog
from splitter.rig.combine import combine
from splitter.rig.device import Rig
from splitter.rig.files import load_catalog
from splitter.rig.host import probe_host
from splitter.rig.listing import list_devices
from splitter.rig.nvml import detect
from splitter.rig.nvml_devices import Detection


def probe_rig(engine_path: str | None = None) -> Rig:
    """This host's rig. With a llama-server at `engine_path` its --list-devices decides names, order, ids and free
    memory; else NVML does, and where it shows no card, Linux. No GPU, no driver or a broken engine gives a rig that
    says so in `notes`."""
    found = _devices(engine_path, load_catalog())
    return Rig(platform.node() or "this host", probe_host(), found.devices, found.notes)


def _devices(engine_path: str | None, catalog: Catalog) -> Detection:
    driver = _driver(catalog)
    if engine_path is None:
        return driver
    try:
        listed = list_devices(engine_path)
    except EngineError as problem:
        return Detection(driver.devices, (f"{problem.message} ({problem.hint})", *driver.notes))
    found = combine(listed, driver.devices, catalog)
    if found.devices:
        return found
    return Detection((), (_none_listed(engine_path, driver), *driver.notes))


def _driver(catalog: Catalog) -> Detection:
    """NVML's cards; AMD's and Intel's where it has none."""
    nvidia = detect(catalog)
    if nvidia.devices:
        return nvidia
    others = sysfs.detect(catalog)
    return others if others.devices else Detection((), (*nvidia.notes, *others.notes))


def _none_listed(engine_path: str, driver: Detection) -> str:
    if not driver.devices:
        return f"{engine_path} sees no GPU"
    names = ", ".join(device.name for device in driver.devices)
    return (
        f"{engine_path} sees no GPU although the driver shows {names}: it is a CPU build, or lacks its CUDA libraries"
    )
