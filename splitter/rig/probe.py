"""Combines the probes: what this host has, as the engine will see it."""

import platform

from splitter.errors import EngineError
from splitter.rig import sysfs
from splitter.rig.backends import BackendName, cards_of, choose_backend, on_backend
from splitter.rig.catalog import Catalog
from splitter.rig.combine import combine, worth_beside
from splitter.rig.defaults import shared_bandwidth
from splitter.rig.device import Host, Rig
from splitter.rig.files import load_catalog
from splitter.rig.host import probe_host
from splitter.rig.listing import list_devices
from splitter.rig.nvml import NO_DRIVER, detect
from splitter.rig.nvml_devices import Detection

NO_DRIVER_AT_ALL = (
    "no graphics card was found: an NVIDIA card needs its driver; AMD and Intel cards are found by a llama-server with "
    "Vulkan (name it with --engine-path)"
)


def probe_rig(engine_path: str | None = None, backend: BackendName | None = None) -> Rig:
    """This host's rig. With a llama-server at `engine_path` its --list-devices decides names, order, ids and free
    memory, of `backend` alone if one is named; else the drivers do: NVIDIA's, and Linux for AMD's and Intel's cards. No
    GPU, no driver or a broken engine gives a rig that says so in `notes`. RigError for a card that `backend` does not
    drive."""
    catalog = load_catalog()
    found = _devices(engine_path, backend, catalog)
    host = probe_host(unified_bytes_per_s=shared_bandwidth(found.devices))
    return Rig(platform.node() or "this host", host, found.devices, found.notes)


def _devices(engine_path: str | None, backend: BackendName | None, catalog: Catalog) -> Detection:
    if engine_path is None:
        return _called(_driver(catalog), backend, catalog)
    driver = _driver(catalog)
    try:
        listed = list_devices(engine_path)
    except EngineError as problem:
        named = _called(driver, backend, catalog)
        return Detection(named.devices, (f"{problem.message} ({problem.hint})", *driver.notes))
    found = combine(listed, driver.devices, catalog, backend)
    if found.devices:
        return found
    if listed and backend is not None:
        others = ", ".join(row.id for row in listed)
        return Detection((), (f"{engine_path} shows no {backend} device: it lists {others}",))
    return Detection((), (_none_listed(engine_path, driver), *driver.notes))


def _called(driver: Detection, backend: BackendName | None, catalog: Catalog) -> Detection:
    """The driver's cards as one backend calls them."""
    asked = backend or choose_backend(cards_of(driver.devices, catalog))
    rig = on_backend(Rig("", Host(), driver.devices), asked if driver.devices else None, catalog)
    return Detection(rig.devices, driver.notes)


def _driver(catalog: Catalog) -> Detection:
    """NVML's cards, and AMD's and Intel's of their own memory beside them; what the one driver lacks is no finding
    where the other has cards."""
    nvidia, others = detect(catalog), sysfs.detect(catalog)
    if nvidia.devices:
        return Detection((*nvidia.devices, *worth_beside(others.devices)), nvidia.notes)
    if others.devices:
        return others
    quiet = tuple(note for note in nvidia.notes if note != NO_DRIVER)
    return Detection((), (*quiet, *others.notes) or (NO_DRIVER_AT_ALL,))


def _none_listed(engine_path: str, driver: Detection) -> str:
    if not driver.devices:
        return f"{engine_path} sees no GPU"
    names = ", ".join(device.name for device in driver.devices)
    return (
        f"{engine_path} sees no GPU although the driver shows {names}: it is a CPU build, or lacks its CUDA libraries"
    )
