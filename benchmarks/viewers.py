"""Answers a second while a slider is dragged, and the time to settle, in a real JupyterLab; frames of large clouds.

python benchmarks/viewers.py ["plan"] ["half a second"] ["kernel"] ["flow"] ["a million points"]
python benchmarks/viewers.py clouds

A slider of a viewer of 2,000 points is dragged for two seconds in headless Chromium, which shares the
machine with the kernel. `clouds` turns pages of a CloudViewer, by Canvas and by WebGL (of a processor, where
there is no card), and takes half a minute. Needs Chromium and the extra `test`.
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
    "a million points": """
import sparseot as so
from sparseot_widgets import CloudViewer
CloudViewer(so.datasets.swiss_roll(1_000_000))""",
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
# Seconds from running all cells again to the new picture.
AGAIN = """async () => {
  const old = document.querySelector(".sov"), start = performance.now();
  window.jupyterapp.commands.execute("notebook:run-all-cells");
  for (;;) {
    const made = document.querySelector(".sov[data-drawn]");
    if (made && made !== old) return (performance.now() - start) / 1e3;
    await new Promise(requestAnimationFrame);
  }
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


def measure(page: Page, root: str) -> tuple[float, float, float]:
    """Open the notebook, run it, drag, run it again."""
    page.goto(f"{root}lab/tree/viewer.ipynb?token=t")
    page.wait_for_function(IDLE, timeout=90_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(".sov[data-drawn]").wait_for(timeout=120_000)
    page.wait_for_timeout(2000)
    asks = page.locator(".sov .sov-asks input[type=range]:enabled").count()
    answers, settled = drag(page) if asks else (float("nan"), float("nan"))
    return answers, settled, page.evaluate(AGAIN)


def live(code: str) -> tuple[float, float, float]:
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


# Milliseconds of some frames: of the whole cloud, drawn anew, or while it turns.
FRAMES = """async turning => {
  const canvas = document.querySelector(".sov canvas"), root = document.querySelector(".sov");
  const rest = ms => new Promise(done => setTimeout(done, ms)), times = [];
  for (let k = 0; k < 11; k++) {
    const before = root.dataset.drawn, start = performance.now();
    if (turning) canvas.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowRight" }));
    else document.dispatchEvent(new Event("sparseot-repaint"));
    while (root.dataset.drawn === before) await new Promise(requestAnimationFrame);
    canvas.getContext("2d").getImageData(0, 0, 1, 1); // until it is there
    times.push(performance.now() - start);
    await rest(turning ? 60 : 300);
  }
  return times.slice(1).sort((a, b) => a - b)[5];
}"""


def renderers() -> int:
    """Bytes of all renderers that this process started."""
    parents, found = {}, []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                folder.joinpath("stat").read_text().rsplit(")")[-1].split()[1]
            )
            if b"--type=renderer" in folder.joinpath("cmdline").read_bytes():
                found.append(int(folder.name))
        except OSError:  # it ended meanwhile
            continue
    total = 0
    for number in found:
        above = number
        while above not in (os.getpid(), 0):
            above = parents.get(above, 0)
        pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
        total += pages * os.sysconf("SC_PAGE_SIZE") if above else 0
    return total


def clouds() -> None:
    """Frames of clouds in space."""
    import sparseot as so
    from sparseot_widgets import CloudViewer

    print("| points | page | painter | whole frame | while it turns | memory |")
    print("| --- | --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("google-chrome")
        for count in (100_000, 1_000_000):
            x = so.datasets.swiss_roll(count, seed=0)
            page = CloudViewer(x, values=x[:, 2]).to_html(Path(folder) / f"{count}.html")
            for painter in ("canvas", "webgl"):
                browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
                tab = browser.new_page(viewport={"width": 1000, "height": 760})
                empty = renderers()
                tab.add_init_script(f"window.sparseotPainter = '{painter}';")
                tab.goto(page.as_uri())
                tab.locator(".sov[data-drawn]").wait_for()
                tab.wait_for_timeout(2000)
                whole, turning = tab.evaluate(FRAMES, False), tab.evaluate(FRAMES, True)
                used = (renderers() - empty) / 1e6
                said = tab.evaluate("document.querySelector('.sov canvas').dataset.painter")
                size = page.stat().st_size / 1e6
                words = f"| {count:,} | {size:.1f} MB | {said} | {whole:.0f} ms | {turning:.0f} ms | {used:.0f} MB |"
                print(words, flush=True)
                browser.close()


if __name__ == "__main__":
    if sys.argv[1:] == ["clouds"]:
        print(f"{machine()}, {time.strftime('%Y-%m-%d')}\n")
        sys.exit(clouds())
    print(
        f"{machine()}, {time.strftime('%Y-%m-%d')}\n\n| viewer | answers a second | settled after | picture of a cell that runs again |"
    )
    print("| --- | --- | --- | --- |")
    for name in sys.argv[1:] or CELLS:
        answers, settled, again = live(CELLS[name])
        print(f"| {name} | {answers:.0f} | {settled:.2f} s | {again:.2f} s |", flush=True)
