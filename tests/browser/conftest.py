"""A real Chromium. Where there is none the tests are skipped, and fail when CI=true."""

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests import missing

ARTEFACTS = Path(__file__).parent / "artefacts"


@pytest.fixture(scope="session")
def chromium():
    """A headless Chromium."""
    path = missing.required("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def artefacts() -> Path:
    """Where screenshots are kept, to look at."""
    ARTEFACTS.mkdir(exist_ok=True)
    return ARTEFACTS


class Watch:
    """What went wrong on a page: errors, and requests that left this machine."""

    def __init__(self, page, inside: str | tuple[str, ...]):
        self.errors: list[str] = []
        self.outside: list[str] = []
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        page.on("console", self._console)
        page.on("requestfailed", lambda r: self.errors.append(f"failed: {r.url} {r.failure}"))
        page.on("request", lambda r: self._request(r.url, inside))

    def _console(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _request(self, url: str, inside) -> None:
        if not url.startswith(inside) and not url.startswith(("data:", "blob:")):
            self.outside.append(url)


@pytest.fixture
def watch():
    return Watch
