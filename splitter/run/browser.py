"""Opens a page in the user's browser, where there is a desktop."""

import os
import sys
import webbrowser


def open_page(url: str) -> bool:
    """Whether a browser took the page. Without a desktop none is tried: a text browser would take the terminal."""
    desktop = sys.platform in {"win32", "darwin"} or any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    try:
        return desktop and webbrowser.open(url)
    except (OSError, webbrowser.Error):
        return False
