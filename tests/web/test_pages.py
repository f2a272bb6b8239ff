"""The pages in a real Chromium: seed 002's story from the first look to the stop, and what everyone needs of a page."""

import json
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from splitter.run.endpoint import any_free_port
from tests.web.browser import DRIVER, PROGRAM, Browser
from tests.web.served import Served

pytestmark = [
    pytest.mark.engine,
    pytest.mark.browser,
    pytest.mark.skipif(not (DRIVER and PROGRAM), reason="no Chromium with its driver is here"),
]
QWEN, MOE, TINY = "models/qwen2.5-32b-q4_k_m.gguf", "models/qwen3-30b-a3b-q4_k_m.gguf", "models/tiny.gguf"
PAGES = ("/plan", f"/plan?model={QWEN}&rig=phoenix", "/run", "/models", "/engines", "/measure", "/api")
# An answer that says no, a server that a test took away, an answer that a newer question made needless.
HARMLESS = ("status of", "net::ERR_", '"htmx:sendAbort,', '"htmx:afterRequest,')
SHOTS = os.environ.get("SPLITTER_SHOTS")  # a folder for screenshots, to be looked at


@pytest.fixture(scope="module")
def downloads(folder: Path) -> Path:
    return folder / "downloads"


@pytest.fixture(scope="module")
def browser(served: Served, downloads: Path) -> Iterator[Browser]:
    """With a session."""
    made = Browser(served.base, downloads)
    made.open(f"/?token={served.key}")
    yield made
    made.close()


@pytest.fixture(autouse=True)
def nothing_is_complained_of(browser: Browser) -> Iterator[None]:
    """No script fails and the policy refuses nothing, whatever a test does."""
    yield
    assert [line for line in browser.complaints() if not any(words in line for words in HARMLESS)] == []


def plan(browser: Browser, model: str, more: str = "rig=phoenix") -> str:
    """Opens the plan page; the verdict once everything is solved."""
    browser.open(f"/plan?model={model}&{more}")
    return browser.solved()


def seconds(text: str) -> float:
    found = re.search(r"A turn\s+([\d.]+) s", text)
    assert found, text
    return float(found[1])


# Seed 002's story


def test_01_choose_a_model_and_a_rig(browser: Browser) -> None:
    browser.open("/plan")
    assert "Choose a model" in browser.text()
    browser.choose("#model", QWEN)
    browser.find("#wishes")
    browser.choose("#rig", "phoenix")
    browser.until(lambda: "rig=phoenix" in browser.driver.current_url)
    verdict = browser.solved()
    assert "does not fit whole on the cards" in verdict
    assert "wait in RAM" in verdict


def test_02_the_bars_are_to_scale(browser: Browser) -> None:
    plan(browser, QWEN)
    rows = browser.script(
        "return [...document.querySelectorAll('#plan .bar')].map(b => [b.querySelector('b').textContent,"
        "[...b.querySelectorAll('svg rect:not(.p)')].map(r => parseFloat(r.getAttribute('width')))])"
    )
    names = [name for name, _ in rows]
    assert any("RTX 2080" in name for name in names)
    assert names[-1] == "Host RAM"
    widths = {name: sum(parts) for name, parts in rows}
    largest = next(width for name, width in widths.items() if "2080" in name)
    assert largest == pytest.approx(100, abs=0.5)
    for name, width in widths.items():
        if "1060" in name:
            assert width == pytest.approx(100 * 6144 / 8192, abs=1.5)


def test_03_move_the_context(browser: Browser) -> None:
    plan(browser, QWEN)
    before = browser.text("#plan .figures")
    browser.choose("#w-context_size", "16384")
    browser.until(lambda: "16384" in browser.text("#plan .figures") and browser.all("#plan [data-whole]"))
    assert browser.text("#plan .figures") != before
    assert "Context: 16384" in browser.text("#plan .fixedlist")
    assert browser.find("#wishes .control.fixed .mark-fixed").is_displayed()


def test_04_what_was_fixed_can_be_freed(browser: Browser) -> None:
    plan(browser, QWEN)
    browser.choose("#w-context_size", "16384")
    browser.reads("#plan .fixedlist", "16384")
    browser.click("#wishes .control.fixed .mark-fixed")
    browser.until(lambda: not browser.all("#plan .fixedlist") and browser.all("#plan [data-whole]"))
    assert browser.script("return document.querySelector('#w-context_size').name") == ""
    assert "8192" in browser.text("#plan .figures")


def test_05_take_an_alternative(browser: Browser) -> None:
    plan(browser, QWEN)
    titles = browser.script("return [...document.querySelectorAll('#plan .others article h3')].map(t => t.textContent)")
    smaller = next(index for index, title in enumerate(titles) if "q8_0" in title)
    browser.click(f"#plan .others article:nth-of-type({smaller + 1}) button")
    browser.until(lambda: browser.all("#plan .fixedlist li"), titles[smaller])
    browser.solved()
    assert "q8_0" in browser.text("#plan .fixedlist")
    assert "-ctk q8_0" in browser.text("#command")


def test_06_what_does_not_fit_says_by_how_much_and_which_change_would_do(browser: Browser) -> None:
    browser.open(f"/plan?model={QWEN}&rig=phoenix&gpu_layers=65&context_size=32768")
    text = browser.reads("#plan", "Does not fit")
    assert re.search(r"\d (MiB|GiB)", text)
    browser.find("#plan section button[data-set]")
    browser.click("#plan section button[data-set]")
    assert "Does not fit" not in browser.solved()


def test_07_download_the_bat(browser: Browser, downloads: Path) -> None:
    plan(browser, QWEN, "rig=phoenix&context_size=4096")
    browser.click("a[href^='/download/bat']")
    browser.until(lambda: list(downloads.glob("*.bat")), "the download")
    text = next(downloads.glob("*.bat")).read_text(encoding="utf-8")
    assert "llama-server" in text
    assert "-c 4096" in text
    assert text.count("\n") > 10


def test_08_download_the_profile_and_the_sh(browser: Browser, downloads: Path) -> None:
    plan(browser, TINY, "rig=phoenix&context_size=2048")
    browser.click("a[href^='/download/profile']")
    browser.until((downloads / "tiny.yaml").is_file, "the download")
    assert "context_size: 2048" in (downloads / "tiny.yaml").read_text(encoding="utf-8")
    script = browser.script(  # Chromium keeps no .sh without a person's word
        "const done = fetch(document.querySelector(\"a[href^='/download/sh']\").href).then(a => a.text());return done"
    )
    assert script.startswith("#!/bin/sh")


def test_09_koboldcpp_has_its_own_file(browser: Browser, downloads: Path) -> None:
    plan(browser, QWEN, "rig=phoenix&engine=koboldcpp&context_size=4096")
    assert "koboldcpp" in browser.text("#command")
    browser.click("a[href^='/download/kcpps']")
    browser.until(lambda: list(downloads.glob("*.kcpps")), "the download")
    assert "is not on this machine" in browser.text("#plan")


def test_10_cards_out_and_in(browser: Browser) -> None:
    plan(browser, QWEN)
    browser.click("#cards li[data-id='CUDA2'] input")
    browser.until(lambda: "Cards and their order" in browser.text("#plan .fixedlist"))
    browser.solved()
    assert "1060" not in browser.text("#plan .bars")
    browser.click("#cards li[data-id='CUDA2'] input")
    browser.until(lambda: "1060" in browser.text("#plan .bars"))


def test_11_cards_in_another_order_by_keyboard(browser: Browser) -> None:
    plan(browser, QWEN)
    first = browser.script("return document.querySelector('#cards li').dataset.id")
    button = browser.find("#cards li:first-child [data-move=down]")
    button.send_keys(Keys.ENTER)
    browser.until(lambda: "Cards and their order" in browser.text("#plan .fixedlist"))
    assert browser.script("return document.querySelectorAll('#cards li')[1].dataset.id") == first


def test_12_a_margin_is_kept(browser: Browser) -> None:
    plan(browser, TINY, "gpus=3060")
    browser.choose("#m-1", "2048")
    browser.until(lambda: "2048" in browser.text("#plan .fixedlist"))
    browser.solved()
    assert "Margin kept" in browser.text("#plan .legend")
    assert browser.driver.find_elements("css selector", "#plan .f-margin")


def test_13_experts_in_ram(browser: Browser) -> None:
    plan(browser, MOE, "gpus=3060")
    before = browser.text("#command")
    browser.choose("#w-n_cpu_moe", "40")
    browser.until(lambda: "Experts in RAM: 40" in browser.text("#plan .fixedlist"))
    browser.solved()
    assert "-ncmoe 40" in browser.text("#command") or "--n-cpu-moe 40" in browser.text("#command")
    assert browser.text("#command") != before


def test_14_a_dense_model_has_no_slider_for_experts(browser: Browser) -> None:
    plan(browser, QWEN)
    assert browser.all("#w-n_cpu_moe") == []


def test_15_cards_by_name_with_completion(browser: Browser) -> None:
    plan(browser, QWEN)
    names = browser.script("return [...document.querySelectorAll('#known option')].map(o => o.value)")
    assert len(names) > 100
    assert any("3060" in name for name in names)
    browser.choose("#gpus", "3090, 3060")
    browser.until(lambda: "gpus=" in browser.driver.current_url and "3090" in browser.driver.current_url)
    assert "Fits" in browser.solved()
    browser.open(f"/plan?model={QWEN}&gpus=voodoo2")
    assert "voodoo2" in browser.reads("main", "voodoo2")


def test_16_every_cache_type_and_workload_is_solved(browser: Browser) -> None:
    plan(browser, QWEN)
    usual = seconds(browser.text("#plan .figures"))
    browser.choose("#w-workload", "agent")
    browser.until(lambda: "Workload: agent" in browser.text("#plan .fixedlist"))
    browser.solved()
    assert seconds(browser.text("#plan .figures")) > 2 * usual
    browser.choose("#w-cache_type_k", "q4_0")
    browser.until(lambda: "q4_0" in browser.text("#command"))


def test_17_the_longest_context(browser: Browser) -> None:
    plan(browser, TINY, "gpus=3060")
    browser.click("#wishes button[data-set]")
    browser.until(lambda: "max" in browser.text("#plan .fixedlist"))
    browser.solved()
    assert "4096" in browser.text("#plan .figures")


def test_what_arrives_under_a_pressed_mouse_is_shown_once_it_is_up(browser: Browser) -> None:
    plan(browser, TINY, "gpus=3060&context_size=4096")
    with browser.pressed("#plan .figures"):
        browser.choose("#w-context_size", "3072")
        time.sleep(2)
        assert "3072" not in browser.text("#plan .figures")
    browser.until(lambda: "3072" in browser.text("#plan .figures"))
    browser.solved()


# Launch, watch, measure, stop


def test_18_launch_the_tiny_model_on_the_emulated_rig(browser: Browser, served: Served) -> None:
    plan(browser, TINY, "context_size=2048")
    port = any_free_port()
    browser.choose("#port", str(port))
    browser.click("form[hx-post='/start/launch'] button")
    browser.until(lambda: "/run?work=" in browser.driver.current_url)
    browser.reads("#work", "done")
    browser.reads("#instances", "ready")
    (entry,) = served.ask("/api/v1/ps").json()["data"]["instances"]
    assert (entry["name"], entry["port"], entry["phase"]) == ("tiny", port, "ready")
    browser.click("#work a.button")
    browser.reads("#live", "ready")


def chat(served: Served, tokens: int = 64) -> None:
    """One request to what runs."""
    (entry,) = served.ask("/api/v1/ps").json()["data"]["instances"]
    body = json.dumps({"prompt": "once", "n_predict": tokens}).encode()
    request = urllib.request.Request(entry["url"] + "/completion", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 200


def test_19_watch_it(browser: Browser, served: Served) -> None:
    browser.open("/run/tiny")
    browser.reads("#live", "Chat page of the engine")
    chat(served)
    browser.reads("#live", "1 requests")
    text = browser.text("#live")
    assert "of 4 work" in text
    assert "GTX 1050 Ti" in text or "RTX 2080" in text
    assert browser.all("#live svg.plot")


def test_20_search_its_log(browser: Browser) -> None:
    browser.open("/run/tiny")
    browser.until(lambda: len(browser.text("#log").splitlines()) > 10)
    browser.find("#find").send_keys("listening")
    browser.until(
        lambda: browser.all("#log mark") and all("listening" in line for line in browser.text("#log").splitlines())
    )


def test_21_two_browsers_and_a_terminal_see_the_same(browser: Browser, served: Served, folder: Path) -> None:
    other = Browser(served.base, folder / "other")
    try:
        other.open(f"/?token={served.key}")
        for one in (browser, other):
            one.open("/run")
            one.reads("#instances", "ready")
        launched = served.splitter("launch", TINY, "--engine", "embedded", "--name", "second", "--detach", "--port",
                                   str(any_free_port()), "-c", "512")  # fmt: skip
        assert launched.returncode == 0, launched.stderr
        for one in (browser, other):
            one.reads("#instances", "second")
        other.open("/run/second")
        other.click("button.stop")
        other.reads("#live", "does not run any more")
        browser.until(lambda: "second" not in browser.text("#instances"))
        assert "second" not in served.splitter("ps").stdout
        assert "tiny" in served.splitter("ps").stdout
    finally:
        other.close()


def test_22_the_server_is_killed_and_comes_back(browser: Browser, served: Served) -> None:
    browser.open("/run/tiny")
    browser.reads("#live", "ready")
    served.kill()
    browser.until(lambda: browser.find("#away").is_displayed())
    assert "splitter ui" in browser.text("#away")
    assert "tiny" in served.splitter("ps").stdout  # what was launched runs on
    served.start()
    browser.until(lambda: not browser.find("#away").is_displayed())
    browser.reads("#live", "ready")
    browser.complaints()  # that the server did not answer


def test_23_restart_it(browser: Browser, served: Served) -> None:
    before = served.ask("/api/v1/ps").json()["data"]["instances"][0]
    browser.open("/run/tiny")
    browser.reads("#live", "Restart")
    browser.press("#live button", "Restart")
    browser.until(lambda: "/run?work=" in browser.driver.current_url)
    browser.reads("#work", "done")
    (after,) = served.ask("/api/v1/ps").json()["data"]["instances"]
    assert (after["name"], after["port"]) == (before["name"], before["port"])
    assert after["id"] != before["id"]


def test_24_measure_it_and_compare_two(browser: Browser, served: Served) -> None:
    browser.open("/run/tiny")
    browser.press("#live a.button", "Measure it")
    for name in ("first", "second"):
        browser.open("/measure?url=" + served.ask("/api/v1/ps").json()["data"]["instances"][0]["url"])
        for field, value in (("prompt_tokens", "64"), ("generate", "16"), ("label", name)):
            browser.choose(f"#{field}", value)
        browser.click("main form button.main")
        browser.reads("#work", "done")
    browser.click("#work a.button")
    browser.reads("main", "second")
    browser.open("/measure")
    rows = browser.all("main tbody tr")
    assert len(rows) == 2
    rows[0].find_element("css selector", "input[name=first]").click()
    rows[1].find_element("css selector", "input[name=second]").click()
    browser.click("main form[action='/compare'] button")
    assert "A / B" in browser.reads("main", "generation")


def test_25_work_is_stopped_on_the_way(browser: Browser, served: Served) -> None:
    url = served.ask("/api/v1/ps").json()["data"]["instances"][0]["url"]
    browser.open(f"/measure?url={url}")
    browser.choose("#generate", "1500")
    browser.choose("#prompt_tokens", "256")
    browser.click("main form button.main")
    browser.reads("#work", "measuring")
    browser.click("#work button.stop")
    browser.reads("#work", "stopped")


def test_26_stop_it(browser: Browser, served: Served) -> None:
    browser.open("/run/tiny")
    browser.reads("#live", "Stop")
    with browser.pressed("#live button.stop"):
        time.sleep(3)  # the page is told something new twice meanwhile
    browser.reads("#live", "does not run any more")
    browser.until(lambda: len(browser.text("#log").splitlines()) > 10)  # its log stays
    assert served.ask("/api/v1/ps").json()["data"] == {"instances": []}


# For everyone


def test_27_models_and_their_fit(browser: Browser) -> None:
    browser.open("/models?rig=phoenix")
    browser.until(lambda: browser.all("main tbody tr"))
    assert "tiny.gguf" in browser.text()
    assert "on cards" in browser.text()


def test_28_engines_and_what_to_look_at(browser: Browser) -> None:
    browser.open("/engines")
    assert "11434" in browser.text()
    browser.reads("main", "RAM")


@pytest.mark.parametrize("width", [360, 768, 1440])
def test_29_no_page_is_wider_than_the_window(browser: Browser, width: int) -> None:
    for scheme in ("light", "dark"):
        browser.look(width, scheme)
        for page in PAGES:
            browser.open(page)
            if "model=" in page:
                browser.solved()
            wide = browser.script("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, (page, wide)
            if SHOTS:
                name = re.sub(r"\W+", "-", page.partition("?")[0].strip("/") + ("-solved" if "?" in page else ""))
                browser.shot(Path(SHOTS) / f"{name}-{width}-{scheme}.png")
    browser.look(1440)


def test_30_by_keyboard_alone(browser: Browser) -> None:
    """From the first key to a changed plan: nothing needs a mouse, and what has the focus shows it."""
    plan(browser, QWEN)
    body = browser.find("body")
    seen: list[str] = []
    for _ in range(60):
        browser.driver.switch_to.active_element.send_keys(Keys.TAB) if seen else body.send_keys(Keys.TAB)
        at = browser.script("const e=document.activeElement;return e.id||e.textContent.trim().slice(0,20)")
        seen.append(at)
        if at == "w-context_size":
            break
    assert seen[0] == "Skip to the content"
    assert seen[-1] == "w-context_size"
    outline = browser.script("return getComputedStyle(document.activeElement).outlineStyle")
    assert outline != "none"
    browser.driver.switch_to.active_element.send_keys(Keys.ARROW_RIGHT)
    browser.until(lambda: "Context" in browser.text("#plan .fixedlist"))


def test_31_nothing_moves_where_less_motion_is_wanted(browser: Browser) -> None:
    browser.look(1440, motion="reduce")
    plan(browser, TINY)
    moving = browser.script(
        "return [...document.querySelectorAll('*')].filter(e => parseFloat(getComputedStyle(e).transitionDuration) > 0"
        " || getComputedStyle(e).animationName !== 'none').length"
    )
    assert moving == 0
    browser.look(1440)


def axe() -> str | None:
    """axe-core's file, from npm once per machine."""
    place = Path(os.environ.get("SPLITTER_AXE", str(Path.home() / ".cache" / "splitter-axe")))
    file = place / "node_modules" / "axe-core" / "axe.min.js"
    if not file.is_file():
        place.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(["npm", "install", "--silent", "--prefix", str(place), "axe-core@4"], check=False)
        if done.returncode:
            return None
    return file.read_text(encoding="utf-8")


def test_32_axe_finds_nothing_serious(browser: Browser) -> None:
    code = axe()
    if code is None:
        pytest.skip("npm cannot fetch axe-core here")
    for scheme in ("light", "dark"):
        browser.look(1440, scheme)
        for page in PAGES:
            browser.open(page)
            if "model=" in page:
                browser.solved()
            browser.driver.execute_cdp_cmd("Runtime.evaluate", {"expression": code})
            found = browser.driver.execute_async_script(
                "const done=arguments[0];axe.run().then(r=>done(r.violations.map(v=>[v.id,v.impact,"
                "v.nodes.slice(0,3).map(n=>n.html)])))"
            )
            assert [item for item in found if item[1] in {"serious", "critical"}] == [], (page, scheme)
    browser.look(1440)


def test_33_the_first_paint_is_quick(browser: Browser) -> None:
    times = []
    for _ in range(5):
        plan(browser, QWEN)
        times.append(browser.script("return performance.getEntriesByName('first-contentful-paint')[0].startTime"))
    assert sorted(times)[2] < 500, times


def test_34_nothing_is_asked_of_anybody_else(browser: Browser, served: Served) -> None:
    browser.asked()
    for page in PAGES:
        browser.open(page)
        time.sleep(0.2)
    urls = browser.asked()
    assert len(urls) > 20
    assert [url for url in urls if not url.startswith((served.base, "data:"))] == []
