"""Files of points in a real JupyterLab: opened without a kernel, compared in a notebook that runs."""

import json
import os

import numpy as np
import pytest

from .jupyter import EXECUTE, TOKEN, change_theme, run_cells

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TAB = ".sparseot-CloudTab:not(.lm-mod-hidden)"
DRAWN = f"{TAB} .sparseot-Cloud[data-drawn]"
PLY = "ply\nformat binary_big_endian 1.0\nelement vertex {}\n{}end_header\n"

# The colours of the first canvas, each once, but for greys.
COLOURS = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  const seen = new Set();
  for (let k = 0; k < data.length; k += 4) {
    const [r, g, b, a] = data.subarray(k, k + 4);
    if (a > 200 && Math.max(r, g, b) - Math.min(r, g, b) > 60) seen.add(`${r},${g},${b}`);
  }
  return seen.size;
}"""


@pytest.fixture(scope="module")
def files(lab):
    """Clouds beside the notebooks: a helix, a scan of it, towns with words, a file that was cut off."""
    folder = lab.notebooks / "files"
    folder.mkdir()
    t = np.linspace(0, 9, 4000)
    helix = np.c_[np.cos(t), np.sin(t), t / 5]
    np.save(folder / "helix.npy", helix.astype("f4"))
    names = [("x", ">f4"), ("y", ">f4"), ("z", ">f4"), ("heat", "u1")]
    scan = np.array([(*p, 28 * u) for p, u in zip(helix[:1500] + 0.1, t, strict=False)], names)
    kinds = {"f4": "float", "u1": "uchar"}
    fields = "".join(f"property {kinds[code[-2:]]} {name}\n" for name, code in names)
    content = PLY.format(len(scan), fields).encode() + scan.tobytes()
    (folder / "scan.ply").write_bytes(content)
    (folder / "cut.ply").write_bytes(content[:-999])
    rows = [
        f"{k},{x:.4f},{y:.4f},{'north' if y > 0 else '<i>south</i>'}"
        for k, (x, y, _) in enumerate(helix[::10])
    ]
    (folder / "towns.csv").write_text("\n".join(["town,x,y,side", *rows]))
    np.savez_compressed(folder / "arrays.npz", weights=np.ones(9), points=helix[:900, :2])
    return folder


@pytest.fixture
def opened(lab, files, page):
    """The page of JupyterLab on the folder of the clouds; a function that opens a file by a double click."""
    page.goto(f"{lab.root}lab/workspaces/clouds/tree/files?reset&token={TOKEN}")
    page.locator(".jp-DirListing-item", has_text="helix.npy").wait_for(timeout=120_000)

    def double_click(name: str, wanted: str = DRAWN):
        page.locator(".jp-DirListing-item", has_text=name).dblclick()
        page.locator(f".lm-TabBar-tab.lm-mod-current[title*='{name}']").wait_for()
        page.locator(wanted).wait_for(timeout=60_000)
        return page.locator(TAB)

    return double_click


def test_a_double_click_shows_points(lab, files, opened, page, artefacts):
    tab = opened("helix.npy")
    assert tab.locator(".sparseot-said").inner_text() == "array of float32, 4,000 × 3, 4,000 points"
    canvas = tab.locator("canvas").first
    assert canvas.evaluate(COLOURS) > 50
    before = canvas.evaluate("canvas => canvas.toDataURL()")
    canvas.focus()
    canvas.press("ArrowRight")  # turns the cloud, and is not taken by JupyterLab
    page.wait_for_function(
        "([c, before]) => c.toDataURL() !== before", arg=[canvas.element_handle(), before]
    )

    tab = opened("scan.ply")
    assert "binary big endian, 1,500 points" in tab.locator(".sparseot-said").inner_text()
    assert tab.get_by_label("values or classes").input_value() == "3"
    size = (files / "scan.ply").stat().st_size
    page.keyboard.press("Control+s")  # nothing is written, and nothing fails
    light = page.locator("body").get_attribute("data-jp-theme-light") == "true"
    for theme in ("Dark", "Light") if light else ("Light", "Dark"):
        before = page.locator(f"{TAB} .sov").get_attribute("data-drawn")
        change_theme(page, theme)
        page.locator(f"{TAB} .sov:not([data-drawn='{before}'])").wait_for()
        page.screenshot(path=artefacts / f"cloud-{theme.lower()}.png")
    assert (files / "scan.ply").stat().st_size == size
    assert not [*files.glob(".ipynb_checkpoints/*")], "a file of points was copied"
    kernels = page.evaluate("[...window.jupyterapp.serviceManager.sessions.running()].length")
    assert kernels == 0


def test_tables_keep_their_viewer_and_arrays_are_chosen(opened, page, artefacts):
    opened("towns.csv", ".jp-CSVViewer")
    page.locator(".jp-DirListing-item", has_text="towns.csv").click(button="right")
    page.get_by_text("Open With", exact=True).hover()
    page.get_by_role("menuitem", name="Point cloud").click()
    page.locator(DRAWN).wait_for()
    tab = page.locator(TAB)
    assert tab.get_by_label("values or classes").locator("option:checked").inner_text() == "side"
    assert tab.locator(".sparseot-Cloud").get_attribute("data-drawn") == "400"
    page.screenshot(path=artefacts / "cloud-table.png")
    tab.get_by_label("y", exact=True).select_option(label="town")
    page.wait_for_function(
        "() => document.querySelector('.sov canvas').ariaLabel.includes('plane')"
    )

    tab = opened("arrays.npz")
    assert tab.locator(".sparseot-Cloud").get_attribute("data-drawn") == "900"
    tab.get_by_label("array").select_option("weights")
    page.locator(f"{TAB} .sparseot-Cloud[data-drawn='9']").wait_for()


def test_a_broken_file_says_what_is_wrong(opened, page, artefacts):
    tab = opened("cut.ply", f"{TAB} .sparseot-Cloud[data-failed]")
    said = tab.get_by_role("alert").inner_text()
    assert said.startswith("cut.ply cannot be shown as points: its header promises 1,500 points")
    assert said.endswith("the file was cut off.")
    assert tab.locator("canvas").count() == 0
    page.screenshot(path=artefacts / "cloud-broken.png")


def test_compare_opens_a_notebook_that_runs(files, opened, page, artefacts):
    opened("helix.npy")
    page.get_by_text("Compare with …", exact=True).click()
    dialog = page.locator(".jp-Dialog")
    dialog.locator(".jp-DirListing-item", has_text="scan.ply").click()
    dialog.locator("button.jp-mod-accept").click()
    state = run_cells(page, "files/helix-and-scan.ipynb")
    assert not state["errors"] and not state["stderr"]
    page.locator(".jp-NotebookPanel .sov[data-drawn]").wait_for(timeout=120_000)
    page.screenshot(path=artefacts / "cloud-compared.png")
    cells = json.loads((files / "helix-and-scan.ipynb").read_text())["cells"]
    lines = "".join(cells[-1]["source"]).split("\n")
    assert len(lines) == 6
    assert lines[0] == 'x = np.load("helix.npy")[::2].astype(float)'
    assert lines[-1] == "PlanViewer(transport)"
    page.evaluate(EXECUTE, ["docmanager:save", {}])


def test_kernel_and_graph_make_a_notebook_that_runs(files, opened, page, artefacts):
    """Of a file that was renamed while it was seen."""
    (files / "old.ply").write_bytes((files / "scan.ply").read_bytes())
    opened("old.ply")
    rename = "window.jupyterapp.serviceManager.contents.rename('files/old.ply', 'files/new.ply')"
    page.evaluate(f"() => {rename}.then(() => {{}})")
    page.get_by_text("Kernel and Graph of This Cloud", exact=True).click()
    state = run_cells(page, "files/new-kernel.ipynb")
    assert not state["errors"] and not state["stderr"]
    page.locator(".jp-NotebookPanel .sov[data-drawn]").nth(1).wait_for(timeout=120_000)
    page.screenshot(path=artefacts / "cloud-kernel.png")
    page.evaluate(EXECUTE, ["docmanager:save", {}])


def test_a_tab_comes_back_and_follows_its_file(lab, files, page):
    changing = files / "changing.npy"
    np.save(changing, np.random.default_rng(0).normal(size=(50, 2)))
    address = f"{lab.root}lab/workspaces/again/tree/files"

    def knows_the_tab(response) -> bool:
        told = response.request.post_data or ""
        return "/api/workspaces/again" in response.url and "changing.npy" in told

    with page.expect_response(knows_the_tab, timeout=120_000):
        page.goto(f"{address}/changing.npy?reset&token={TOKEN}")
        page.locator(f"{DRAWN}[data-drawn='50']").wait_for(timeout=120_000)
    page.wait_for_load_state(
        "networkidle"
    )  # who leaves earlier ends requests, which then count as failed
    page.goto(f"{lab.root}lab/workspaces/again?token={TOKEN}")
    page.locator(f"{DRAWN}[data-drawn='50']").wait_for(timeout=120_000)
    np.save(changing, np.random.default_rng(0).normal(size=(70, 3)))
    os.utime(changing, (0, changing.stat().st_mtime + 60))
    page.evaluate(EXECUTE, ["docmanager:reload", {}])
    page.locator(f"{DRAWN}[data-drawn='70']").wait_for(timeout=60_000)


def test_settings_reach_the_open_tabs(opened, page, artefacts):
    tab = opened("helix.npy")
    page.evaluate(EXECUTE, ["settingeditor:open", {"query": "point clouds"}])
    limit = page.locator("input[id$=rowLimit]")
    limit.fill("1000")
    limit.blur()
    page.locator(".sparseot-Cloud[data-drawn='1000']").wait_for(state="attached", timeout=60_000)
    page.locator("select[id$=colourMap]").select_option(label="orange to blue")
    page.screenshot(path=artefacts / "cloud-settings.png")
    page.locator(".lm-TabBar-tab[title*='helix.npy']").click()
    page.locator(DRAWN).wait_for()
    assert "1,000 of 4,000 points, evenly" in tab.locator(".sparseot-said").inner_text()
    page.screenshot(path=artefacts / "cloud-sampled.png")
    page.evaluate(EXECUTE, ["settingeditor:open", {"query": "point clouds"}])
    page.get_by_role("button", name="Restore to Defaults").click()
    page.locator(".sparseot-Cloud[data-drawn='4000']").wait_for(state="attached", timeout=60_000)


def test_keys_and_palette_open_a_cloud(opened, page, artefacts):
    page.locator(".jp-DirListing-item", has_text="towns.csv").click()
    page.keyboard.press("Alt+Enter")
    page.locator(DRAWN).wait_for(timeout=60_000)
    page.evaluate(EXECUTE, ["apputils:activate-command-palette", {}])
    page.keyboard.type("sparseot cloud")
    entries = page.locator(".lm-CommandPalette-item[data-command^='sparseot:']")
    entries.first.wait_for()
    page.screenshot(path=artefacts / "cloud-palette.png")
    page.locator("[data-command='sparseot:open-cloud']").click()
    page.locator(".jp-Dialog .jp-DirListing-item", has_text="helix.npy").click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    page.locator(f"{DRAWN}[data-drawn='4000']").wait_for(timeout=60_000)
