"""A real Chromium. Where there is none the tests are skipped, and fail when CI=true."""

from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from tests import missing

from . import jupyter

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


OWN = ("data:", "blob:")  # what a page asks itself for


class Watch:
    """What went wrong in a tab: errors, and requests that left this machine."""

    def __init__(self, page, inside: str | tuple[str, ...]):
        self.errors: list[str] = []
        self.outside: list[str] = []
        self.count = 0  # of requests
        self._inside = inside
        self._on_the_way: set = set()
        page.on("pageerror", lambda error: self.errors.append(f"page error: {error}"))
        page.on("console", self._console)
        page.on("request", self._request)
        page.on("requestfinished", self._finished)
        page.on("requestfailed", self._failed)

    def _console(self, message) -> None:
        if message.type == "error":
            self.errors.append(f"console: {message.text}")

    def _request(self, request) -> None:
        self.count += 1
        self._on_the_way.add(request)
        if not request.url.startswith(self._inside) and not request.url.startswith(OWN):
            self.outside.append(request.url)

    def _finished(self, request) -> None:
        self._on_the_way.discard(request)

    def _failed(self, request) -> None:
        self._on_the_way.discard(request)
        self.errors.append(f"failed: {request.url} {request.failure}")

    def leave(self, page, patience: int = 10_000) -> list[str]:
        """All that went wrong on a page, once nothing that it asked for is on its way.

        Whoever goes on to the next page earlier would end requests, which then count as failed.
        """
        for _ in range(patience):
            if not self._on_the_way:
                break
            page.evaluate("() => new Promise(done => setTimeout(done, 10))")
        late = [f"no end of {request.url}" for request in self._on_the_way]
        wrong = [*self.errors, *(f"asks the network: {url}" for url in self.outside), *late]
        for what in (self.errors, self.outside, self._on_the_way):
            what.clear()
        return wrong


@pytest.fixture(scope="session")
def watch():
    return Watch


@pytest.fixture(scope="session")
def lab(tmp_path_factory):
    """A running JupyterLab."""
    with jupyter.served(tmp_path_factory.mktemp("lab")) as running:
        yield running


@pytest.fixture
def page(lab, chromium, watch):
    """A page that fails the test when something was asked from outside, or went wrong in it."""
    page = chromium.new_page(viewport={"width": 1300, "height": 1100})
    seen = watch(page, inside=(lab.root, lab.root.replace("http", "ws")))
    yield page
    jupyter.end_kernels(lab.root)
    page.close()
    assert not seen.outside
    assert not seen.errors
