"""A real Chromium, driven by Debian's chromedriver."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import ActionChains, Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

DRIVER = shutil.which("chromedriver")
PROGRAM = shutil.which("chromium")
WAIT_S = 40.0


class Browser:
    """One browser with one window; `at` is the server's address."""

    def __init__(self, at: str, downloads: Path) -> None:
        options = ChromeOptions()
        for flag in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", "--hide-scrollbars"):
            options.add_argument(flag)
        options.binary_location = str(PROGRAM)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
        self.driver = Chrome(options=options, service=Service(DRIVER))
        self.at = at
        self.look(1440)

    def open(self, path: str) -> None:
        """A page of the server."""
        self.driver.get(self.at + path)

    def look(self, width: int, scheme: str = "light", motion: str = "no-preference") -> None:
        """The window's width in CSS pixels, and what the person prefers."""
        metrics = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def find(self, css: str) -> WebElement:
        """Waits for it."""
        found: WebElement = self.until(lambda: next(iter(self.all(css)), None), css)
        return found

    def all(self, css: str) -> list[WebElement]:
        """Those that are there now."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def until(self, true: Callable[[], Any], what: str = "") -> Any:
        """Waits till it is so; what was found meanwhile may be replaced by htmx."""

        def tried(_: Chrome) -> Any:
            try:
                return true()
            except Exception as error:
                if "stale" in str(error) or "no such element" in str(error):
                    return None
                raise

        return WebDriverWait(self.driver, WAIT_S, 0.05).until(tried, what or "it did not come true")

    def text(self, css: str = "main") -> str:
        """What a person reads there."""
        return str(self.script("return (document.querySelector(arguments[0]) || {}).innerText || ''", css))

    def reads(self, css: str, words: str) -> str:
        """Waits till the words stand there."""
        self.until(lambda: words in self.text(css), f"{words!r} in {css}: {self.text(css)[:600]}")
        return self.text(css)

    def script(self, code: str, *arguments: Any) -> Any:
        return self.driver.execute_script(code, *arguments)

    def choose(self, css: str, value: str) -> None:
        """A control set to `value`, as a person would leave it."""
        self.script(
            "const e=document.querySelector(arguments[0]);e.value=arguments[1];"
            "e.dispatchEvent(new Event('input',{bubbles:true}));e.dispatchEvent(new Event('change',{bubbles:true}))",
            css, value,
        )  # fmt: skip

    def click(self, css: str) -> None:
        """Scrolls there and clicks; once more where htmx replaces it meanwhile."""

        def clicked() -> bool:
            element = self.find(css)
            self.script("arguments[0].scrollIntoView({block:'center'})", element)
            element.click()
            return True

        self.until(clicked, css)

    @contextmanager
    def pressed(self, css: str) -> Iterator[None]:
        """A slow hand: the mouse button goes down on it, and up when the block ends."""

        def down() -> bool:
            ActionChains(self.driver).click_and_hold(self.find(css)).perform()
            return True

        self.until(down, css)
        yield
        ActionChains(self.driver).release().perform()

    def press(self, css: str, words: str) -> None:
        """Clicks the one that says `words`."""

        def pressed() -> bool:
            for element in self.all(css):
                if element.text == words:
                    element.click()
                    return True
            return False

        self.until(pressed, words)

    def solved(self) -> str:
        """Waits for the whole plan; its verdict."""
        self.find("#plan [data-whole]")
        return self.text("#verdict")

    def complaints(self) -> list[str]:
        """What stands in the console: scripts that failed, what the policy refused."""
        said: Any = self.driver.get_log("browser")  # type: ignore[no-untyped-call]
        return [entry["message"] for entry in said if entry["level"] == "SEVERE"]

    def asked(self) -> list[str]:
        """The addresses that were asked for since the last look."""
        said: Any = self.driver.get_log("performance")  # type: ignore[no-untyped-call]
        events = [json.loads(entry["message"])["message"] for entry in said]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def shot(self, path: Path) -> None:
        """The whole page as PNG."""
        shot = self.driver.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "format": "png"})
        path.write_bytes(base64.b64decode(shot["data"]))

    def close(self) -> None:
        self.driver.quit()
