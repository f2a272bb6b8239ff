"""Prometheus: parsed with prometheus-client's own parser, from made readings and from a real engine that serves."""

import os
import socket
import threading
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric
from prometheus_client.parser import text_string_to_metric_families

from splitter.errors import EngineError, UsageError
from splitter.run.endpoint import any_free_port, ask
from splitter.run.metrics import ReadingCollector
from splitter.run.metrics_address import MetricsAddress, metrics_address
from splitter.run.metrics_server import serving_metrics
from splitter.run.reading import Expected, Reading
from splitter.units import MIB
from tests.run.launched import launched
from tests.run.readings import BUSY, EXPECTED, with_names

Values = dict[tuple[str, ...], float]


def page(reading: Reading, expected: Expected = EXPECTED) -> str:
    registry = CollectorRegistry()
    registry.register(ReadingCollector(lambda: reading, lambda: expected))
    return generate_latest(registry).decode("utf-8")


def values(text: str) -> Values:
    """Every sample by its name and its labels' values, the card's name left out."""
    return {
        (sample.name, *(value for label, value in sample.labels.items() if label != "name")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_a_busy_instance() -> None:
    told = values(page(BUSY))
    assert told["splitter_device_memory_used_bytes", "CUDA0"] == 3456 * MIB
    assert told["splitter_device_memory_planned_bytes", "CUDA2"] == 5100 * MIB
    assert told["splitter_device_memory_total_bytes", "CUDA2"] == 6144 * MIB
    assert told["splitter_device_utilization_ratio", "CUDA1"] == 0.42
    assert told["splitter_device_temperature_celsius", "CUDA0"] == 71
    assert told["splitter_device_power_watts", "CUDA0"] == 68.5
    assert told["splitter_device_sm_clock_hertz", "CUDA0"] == 1.7e9
    assert told["splitter_device_energy_joules_total", "CUDA1"] == 12345.5
    assert (told["splitter_engine_up",], told["splitter_engine_restarts_total",]) == (1, 3)
    assert (told["splitter_engine_slots",], told["splitter_engine_slots_busy",]) == (4, 2)
    assert told["splitter_engine_tokens_per_second",] == 61.25
    assert told["splitter_engine_generated_tokens_total",] == 4567
    assert told["splitter_predicted_tokens_per_second", "generation"] == 40
    assert told["splitter_process_resident_memory_bytes", "supervisor"] == 52 * MIB
    assert told["splitter_process_cpu_seconds_total", "engine"] == 321.5


def test_every_reason_for_a_slow_clock_is_a_series_of_its_own() -> None:
    told = values(page(BUSY))
    throttled = {key[1:]: value for key, value in told.items() if key[0] == "splitter_device_throttled"}
    assert throttled["CUDA0", "power cap"] == throttled["CUDA0", "thermal"] == 1
    assert throttled["CUDA0", "power brake"] == throttled["CUDA1", "thermal"] == 0
    assert ("CUDA2", "thermal") not in throttled


def test_what_is_unknown_has_no_sample() -> None:
    told = values(page(BUSY))
    assert ("splitter_device_memory_used_bytes", "CUDA2") not in told
    assert ("splitter_device_energy_joules_total", "CUDA0") not in told
    nothing = values(page(Reading(), Expected()))
    assert nothing["splitter_engine_up",] == 0
    assert ("splitter_engine_slots_busy",) not in nothing


def test_an_engine_that_is_down() -> None:
    assert BUSY.snapshot
    down = replace(BUSY, snapshot=replace(BUSY.snapshot, phase="failed", pid=None), engine=None)
    told = values(page(down))
    assert told["splitter_engine_up",] == 0
    assert ("splitter_process_resident_memory_bytes", "engine") not in told


@pytest.mark.parametrize("name", ['a "quoted\\name"', "two\nlines", "\x1b[31mred", "lone \udcff byte", "ключ"])
def test_hostile_names_keep_the_page_whole(name: str) -> None:
    told = values(page(with_names(BUSY, name)))
    assert told["splitter_device_memory_used_bytes", "CUDA0"] == 3456 * MIB


def check_names(families: list[Metric]) -> None:
    """Prometheus' own rules: base units, counters end in _total, one prefix, a help text each."""
    for family in families:
        assert family.name.startswith("splitter_")
        assert family.documentation
        assert not family.name.endswith(("_mib", "_mhz", "_ms", "_percent", "_total"))
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)


def test_names_follow_prometheus() -> None:
    check_names(list(text_string_to_metric_families(page(BUSY))))


@pytest.mark.parametrize(
    ("text", "address", "beyond"),
    [
        ("9400", MetricsAddress("127.0.0.1", 9400), False),
        ("0.0.0.0:9400", MetricsAddress("0.0.0.0", 9400), True),
        ("[::1]:9400", MetricsAddress("::1", 9400), False),
        ("localhost:1", MetricsAddress("localhost", 1), False),
        ("gpu-box:9400", MetricsAddress("gpu-box", 9400), True),
    ],
)
def test_addresses(text: str, address: MetricsAddress, beyond: bool) -> None:
    assert metrics_address(text) == address
    assert address.beyond_loopback() is beyond


@pytest.mark.parametrize("text", ["", "x", ":9400", "0", "65536", "-1", "1.5", "host:", "9400 9401", "²"])
def test_no_addresses(text: str) -> None:
    with pytest.raises(UsageError, match="neither a port nor HOST:PORT"):
        metrics_address(text)


def test_a_taken_port_is_a_sentence() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with (
            pytest.raises(EngineError, match=f"metrics port {port} .* already used by") as caught,
            serving_metrics(MetricsAddress("127.0.0.1", port), lambda: BUSY, lambda: EXPECTED),
        ):
            pytest.fail("nothing may start")
    assert "--metrics" in caught.value.hint


def test_the_port_is_given_back() -> None:
    address = MetricsAddress("127.0.0.1", any_free_port())
    for _ in range(2):
        with serving_metrics(address, lambda: BUSY, lambda: EXPECTED):
            assert values(scrape(address.port))["splitter_engine_slots",] == 4
    assert not [thread for thread in threading.enumerate() if "serve_forever" in thread.name]


def scrape(port: int) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=20) as answer:
        return str(answer.read().decode("utf-8"))


def until(port: int, is_there: Callable[[Values], bool]) -> Values:
    """The first page on which `is_there`; the last one after a minute."""
    end = threading.Event()
    for _ in range(300):
        told = values(scrape(port))
        if is_there(told):
            break
        end.wait(0.2)
    return told


@pytest.mark.engine
@pytest.mark.skipif(os.name == "nt", reason="launch is ended with a signal")
def test_a_real_engine_while_it_serves(tmp_path: Path) -> None:
    port = any_free_port()
    with launched("llama-server", tmp_path, "--metrics", str(port)) as target:
        assert until(port, lambda told: told["splitter_engine_up",] == 1)["splitter_engine_slots",] == 8
        (listener,) = {c.laddr for c in psutil.Process(target.supervisor.pid).net_connections() if c.status == "LISTEN"}
        assert listener == ("127.0.0.1", port)
        body = {"prompt": "The card", "n_predict": 24, "ignore_eos": True}
        for _ in range(3):
            assert ask(target.url, "/completion", body=body, timeout_s=60).status == 200
        told = until(port, lambda told: told["splitter_engine_requests_total",] == 3)
        check_names(list(text_string_to_metric_families(scrape(port))))
    assert told["splitter_engine_requests_total",] == 3
    assert told["splitter_engine_generated_tokens_total",] == 72
    assert told["splitter_engine_generation_seconds_total",] > 0
    assert told["splitter_process_resident_memory_bytes", "engine"] > MIB
