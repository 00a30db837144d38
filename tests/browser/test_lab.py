"""The tutorials in a real JupyterLab: run all cells, and look at what the reader would see."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TUTORIALS = ["first_steps/plot_first_steps", "gradient_flows/plot_flow_2d"]
TOKEN = "tested-by-a-browser"

pytestmark = [pytest.mark.browser, pytest.mark.slow]

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

# What is wrong with what the reader sees: formulas that MathJax refused, or that were left as text.
BROKEN = r"""() => {
  const broken = [...document.querySelectorAll(".jp-Notebook mjx-merror, .jp-Notebook [data-mjx-error]")];
  const texts = [...document.querySelectorAll(".jp-MarkdownOutput")].map(cell => cell.innerText);
  return broken.map(node => node.getAttribute("data-mjx-error") ?? node.textContent)
    .concat(texts.flatMap(text => text.match(/\$[^$\n]+\$|\\begin\{\w+|:\w+:`|^\.\. .*/gm) ?? []));
}"""


def configure(folder: Path) -> None:
    """No news from the network, and every cell is drawn at once, on the screen or not."""
    news = {"disabledExtensions": {"@jupyterlab/apputils-extension:announcements": True}}
    notebook = {"windowingMode": "none"}
    name = "lab/user-settings/@jupyterlab/notebook-extension/tracker.jupyterlab-settings"
    for path, content in {"labconfig/page_config.json": news, name: notebook}.items():
        (folder / path).parent.mkdir(parents=True)
        (folder / path).write_text(json.dumps(content))


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A JupyterLab of its own on the converted tutorials; the URL of its root."""
    home = tmp_path_factory.mktemp("lab")
    notebooks = home / "notebooks"
    runpy.run_path(str(ROOT / "docs" / "notebooks.py"))["update"](ROOT / "gallery", notebooks)
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
    log = home / "log.txt"
    with log.open("w") as out:
        server = subprocess.Popen(command, env=env, stdout=out, stderr=subprocess.STDOUT, cwd=home)
    try:
        yield address(server, log)
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
        if server.poll() is not None:
            break
        time.sleep(0.5)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}", pytrace=False)


def end_kernels(root: str) -> None:
    """Leave no kernel of one tutorial running beside the next."""
    header = {"Authorization": f"token {TOKEN}"}
    with urllib.request.urlopen(urllib.request.Request(f"{root}api/sessions", headers=header)) as r:
        sessions = json.load(r)
    for session in sessions:
        url = f"{root}api/sessions/{session['id']}"
        urllib.request.urlopen(urllib.request.Request(url, headers=header, method="DELETE")).close()


@pytest.mark.parametrize("tutorial", TUTORIALS)
def test_tutorial_runs_top_to_bottom(tutorial, lab, chromium, watch, artefacts):
    page = chromium.new_page(viewport={"width": 1300, "height": 1000})
    seen = watch(page, inside=(lab, lab.replace("http", "ws")))
    # A workspace of its own: no tab of another tutorial comes back and takes the click below.
    workspace = f"{lab}lab/workspaces/{Path(tutorial).name}"
    page.goto(f"{workspace}/tree/{tutorial}.ipynb?token={TOKEN}")
    page.wait_for_function(READY, arg=f"{tutorial}.ipynb", timeout=120_000)
    page.wait_for_function(f"() => ({STATE})().code > 0", timeout=60_000)

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    try:
        page.wait_for_function(FINISHED, timeout=300_000)
    finally:
        page.screenshot(path=artefacts / f"lab-{Path(tutorial).name}-end.png")
    state = page.evaluate(STATE)
    assert not state["errors"]
    assert not state["stderr"], "a tutorial writes warnings"
    assert state["executed"] == state["code"] > 1

    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    picture = notebook.locator(".jp-OutputArea-output img").first
    picture.scroll_into_view_if_needed()
    page.wait_for_timeout(500)
    page.screenshot(path=artefacts / f"lab-{Path(tutorial).name}.png")
    assert picture.evaluate("image => image.naturalWidth") > 100
    assert notebook.locator(".jp-MarkdownOutput mjx-container").count() >= 3, (
        "formulas are not drawn"
    )
    assert not page.evaluate(BROKEN)

    page.evaluate("window.jupyterapp.commands.execute('docmanager:save')")
    end_kernels(lab)
    page.close()
    assert not seen.outside
    assert not seen.errors
