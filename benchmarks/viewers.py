"""Answers a second while a slider is dragged, and the time to settle, in a real JupyterLab.

python benchmarks/viewers.py ["plan"] ["half a second"] ["kernel"] ["flow"]

A slider of a viewer of 2,000 points is dragged for two seconds in headless Chromium, which shares the
machine with the kernel. Needs Chromium and the extra `test`.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from helpers.timing import machine
from playwright.sync_api import Page, sync_playwright

CELLS = {
    "plan": """
import sparseot as so
from sparseot_widgets import PlanViewer
x = so.datasets.spiral(2000, seed=0)
PlanViewer(x, 0.6 * so.datasets.spiral(2000, seed=1) + 0.3, blur=0.1)""",
    "half a second": """
import time
import sparseot as so
from sparseot_widgets import PlanViewer
class Timed(PlanViewer):  # the whole answer takes exactly half a second
    module = "plan"
    def answer(self, state, coarse, check):
        end = time.perf_counter() + 0.5
        found = super().answer(state, True, check)
        while not coarse and time.perf_counter() < end:
            check()
            time.sleep(0.01)
        return found
x = so.datasets.spiral(2000, seed=0)
Timed(x, 0.6 * so.datasets.spiral(2000, seed=1) + 0.3, blur=0.1)""",
    "kernel": """
import sparseot as so
from sparseot_widgets import KernelViewer
KernelViewer(so.datasets.swiss_roll(2000), sigma=0.1)""",
    "flow": """
import numpy as np
import sparseot as so
from sparseot_widgets import FlowViewer
x = 0.5 * so.datasets.spiral(2000, seed=0)
y = 0.6 * so.datasets.spiral(2000, seed=1) + 0.4
FlowViewer(x, y, blurs=np.geomspace(0.01, 1, 40))""",
}
MARK = """() => {
  const canvas = document.querySelector(".sov canvas");
  window.marks = [];
  new MutationObserver(() => {
    if (window.marks.at(-1)?.[1] !== canvas.dataset.answer + canvas.dataset.coarse) {
      window.marks.push([performance.now(), canvas.dataset.answer + canvas.dataset.coarse]);
    }
  }).observe(canvas, { attributes: true, attributeFilter: ["data-answer", "data-coarse"] });
}"""
IDLE = "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel?.status === 'idle'"


def drag(page: Page) -> tuple[float, float]:
    """Answers shown a second, and seconds from the release to the last one."""
    slider = page.locator(".sov .sov-asks input[type=range]:enabled").first
    slider.scroll_into_view_if_needed()
    page.evaluate(MARK)
    box = slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.9 * box["width"], middle)
    page.mouse.down()
    begun = time.perf_counter()
    while (share := (time.perf_counter() - begun) / 2) < 1:
        page.mouse.move(box["x"] + (0.9 - 0.8 * share) * box["width"], middle)
        page.wait_for_timeout(5)
    seconds = time.perf_counter() - begun
    released = page.evaluate("performance.now()")
    page.mouse.up()
    page.wait_for_timeout(4000)
    marks = page.evaluate("window.marks")
    during = {answer for at, answer in marks if at < released}
    return len(during) / seconds, max(0.0, (marks[-1][0] - released) / 1e3)


def measure(page: Page, root: str) -> tuple[float, float]:
    """Open the notebook, run it, drag."""
    page.goto(f"{root}lab/tree/viewer.ipynb?token=t")
    page.wait_for_function(IDLE, timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(".sov[data-drawn]").wait_for(timeout=120_000)
    page.wait_for_timeout(2000)
    return drag(page)


def live(code: str) -> tuple[float, float]:
    """The same in a JupyterLab of its own."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        cell = {"cell_type": "code", "metadata": {}, "source": code.strip(), "outputs": []}
        kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
        notebook = {"cells": [cell | {"execution_count": None, "id": "one"}]}
        notebook |= {"metadata": {"kernelspec": kernel}}
        notebook |= {"nbformat": 4, "nbformat_minor": 5}
        (home / "viewer.ipynb").write_text(json.dumps(notebook))
        names = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")
        env = os.environ | {f"JUPYTER_{name}": str(home / name) for name in names}
        command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
        command += ["--ServerApp.port=0", "--IdentityProvider.token=t", "--ServerApp.ip=127.0.0.1"]
        command += [f"--ServerApp.root_dir={home}", "--LabApp.expose_app_in_browser=True"]
        with (home / "log").open("w") as log, subprocess.Popen(
            command, env=env, stdout=log, stderr=log, cwd=home
        ) as server, sync_playwright() as playwright:  # fmt: skip
            try:
                while not (found := re.search(r"http://127[^/]+/", (home / "log").read_text())):
                    time.sleep(0.2)
                path = shutil.which("chromium") or shutil.which("google-chrome")
                browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
                return measure(browser.new_page(), found.group())
            finally:
                server.terminate()


if __name__ == "__main__":
    print(
        f"{machine()}, {time.strftime('%Y-%m-%d')}\n\n| viewer | answers a second | settled after |"
    )
    print("| --- | --- | --- |")
    for name in sys.argv[1:] or CELLS:
        answers, settled = live(CELLS[name])
        print(f"| {name} | {answers:.0f} | {settled:.2f} s |", flush=True)
