"""What a machine may lack: Chromium, Node and a compiler. How each is found, and how to get it."""

import os
import shutil

import pytest

CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
# The fixture that needs it: how to get it.
REMEDIES = {
    "chromium": "Chromium: .venv/bin/playwright install chromium, or your system's package",
    "node": "Node: your system's package nodejs",
    "needs_compiler": "g++, which KeOps compiles with: your system's package",
}
IN_CI = os.environ.get("CI") == "true"


def find(fixture: str) -> str | None:
    """Where that which a fixture needs is installed, if it is."""
    if fixture == "chromium":
        return next(filter(None, map(shutil.which, CHROMIUM)), None) or _of_playwright()
    return shutil.which({"node": "node", "needs_compiler": "g++"}[fixture])


def required(fixture: str) -> str:
    """The same; without it the test is skipped, and fails in CI."""
    path = find(fixture)
    if path is None and IN_CI:
        pytest.fail(f"missing in CI: {REMEDIES[fixture]}", pytrace=False)
    if path is None:
        pytest.skip(f"this needs {REMEDIES[fixture]}")
    return path


def tell_once(config, items) -> None:
    """Of the tests that need what is not there, one stays, which says so for all in one line."""
    for fixture, remedy in REMEDIES.items():
        needing = [item for item in items if fixture in getattr(item, "fixturenames", ())]
        if len(needing) < 2 or IN_CI or find(fixture):
            continue
        needing[0].add_marker(pytest.mark.skip(f"{len(needing)} tests need {remedy}"))
        config.hook.pytest_deselected(items=needing[1:])
        items[:] = [item for item in items if item not in needing[1:]]


def _of_playwright() -> str | None:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        return shutil.which(playwright.chromium.executable_path)
