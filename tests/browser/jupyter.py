"""A JupyterLab of its own for the tests, on the tutorials and with the extension of this tree."""

import contextlib
import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "tested-by-a-browser"

# The notebook that is open, as its model has it.
STATE = """() => {
  const cells = window.jupyterapp?.shell.currentWidget?.content?.model?.sharedModel?.toJSON().cells;
  const code = (cells ?? []).filter(cell => cell.cell_type === "code");
  const outputs = code.flatMap(cell => cell.outputs);
  return {
    code: code.length,
    executed: code.filter(cell => cell.execution_count !== null).length,
    errors: outputs.filter(o => o.output_type === "error").map(o => o.ename + ": " + o.evalue),
    stderr: outputs.filter(o => o.name === "stderr").map(o => [o.text].flat().join("")),
  };
}"""
FINISHED = f"() => {{ const s = ({STATE})(); return s.errors.length || s.executed === s.code; }}"
READY = """path => {
  const widget = window.jupyterapp?.shell.currentWidget;
  const session = widget?.sessionContext;
  const open = widget?.context?.path === path && widget.context.isReady;
  return open && session?.isReady && session.session?.kernel?.status === "idle";
}"""

EXECUTE = "([id, args]) => window.jupyterapp.commands.execute(id, args).then(() => {})"


def configure(folder: Path) -> None:
    """No news from the network, and every cell is drawn at once, on the screen or not."""
    news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    notebook = {"windowingMode": "none"}
    name = "lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    for path, content in {"labconfig/page_config.json": news, name: notebook}.items():
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(json.dumps(content))


class Lab(NamedTuple):
    root: str  # the URL
    notebooks: Path  # the folder that it shows
    packaged: Path  # the notebooks behind the launcher cards


@contextlib.contextmanager
def served(home: Path) -> Iterator[Lab]:
    """A JupyterLab of its own on the converted tutorials, with the cards of this tree."""
    notebooks = home / "notebooks"
    runpy.run_path(str(ROOT / "docs" / "notebooks.py"))["update"](ROOT / "gallery", notebooks)
    runpy.run_path(str(ROOT / "widgets/lab/pack.py"))["pack"](home / "extensions" / "sparseot")
    configure(home / "config")
    places = {
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    env = dict(os.environ) | {name: str(home / folder) for name, folder in places.items()}
    env["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{env['PATH']}"
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        "--ServerApp.ip=127.0.0.1",
        "--ServerApp.port=0",
        f"--IdentityProvider.token={TOKEN}",
    ]
    command += [f"--ServerApp.root_dir={notebooks}", "--LabApp.expose_app_in_browser=True"]
    command += [f"--LabApp.extra_labextensions_path={home / 'extensions'}"]
    log = home / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT, cwd=home)
    try:
        yield Lab(address(server, log), notebooks, home / "extensions/sparseot/static/gallery")
    finally:
        server.terminate()
        try:
            server.wait(20)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()
        shutil.rmtree(home, ignore_errors=True)


def address(server: subprocess.Popen, log: Path) -> str:
    """Wait for the server; its address is in its log."""
    for _ in range(240):
        found = re.search(r"http://127\.0\.0\.1:\d+/", log.read_text())
        if found:
            return found.group()
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.5)
            break  # it has ended
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}", pytrace=False)


def change_theme(page, theme: str) -> None:
    """To "Dark" or "Light", and until nothing lies above the page.

    JupyterLab takes its splash away twice, which is an error, where a theme follows within a fifth
    of a second.
    """
    splash = page.locator("#jupyterlab-splash")
    splash.wait_for(state="detached", timeout=60_000)
    page.evaluate(EXECUTE, ["apputils:change-theme", {"theme": f"JupyterLab {theme}"}])
    light = "true" if theme == "Light" else "false"
    page.locator(f"body[data-jp-theme-light={light}]").wait_for(state="attached", timeout=60_000)
    splash.wait_for(state="detached", timeout=60_000)


def end_kernels(root: str) -> None:
    """Leave no kernel of one tutorial running beside the next."""
    header = {"Authorization": f"token {TOKEN}"}
    with urllib.request.urlopen(urllib.request.Request(f"{root}api/sessions", headers=header)) as r:
        sessions = json.load(r)
    for session in sessions:
        url = f"{root}api/sessions/{session['id']}"
        urllib.request.urlopen(urllib.request.Request(url, headers=header, method="DELETE")).close()


def run_cells(page, path: str) -> dict:
    """Run all cells of the notebook that is opening; what its model has then."""
    page.wait_for_function(READY, arg=path, timeout=120_000)
    page.wait_for_function(f"() => ({STATE})().code > 0", timeout=60_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(FINISHED, timeout=300_000)
    return page.evaluate(STATE)
