"""A selection between a picture and a kernel, in a real JupyterLab: by hand there, in Python here."""

import json

import pytest

from .frames import STILL
from .jupyter import READY, change_theme
from .test_lab import SETTLED

pytestmark = [pytest.mark.browser, pytest.mark.slow]

CELL = """
import torch
from IPython.display import display
import sparseot as so
from sparseot_widgets import KernelViewer, PlanViewer, link
x = torch.rand(200, 2, generator=torch.Generator().manual_seed(0))
plan, kernel = PlanViewer(x, 0.6 * x + 0.8, blur=0.1), KernelViewer(x, sigma=0.2, k=3)
link(plan, kernel)
seen = []
plan.observe(lambda change: seen.append(len(change.new)), names="selected")
display(plan, kernel)
"""

# What a line of Python prints in the kernel of the notebook that is open.
SAID = """code => new Promise((done, failed) => {
  const kernel = window.jupyterapp.shell.currentWidget.sessionContext.session.kernel;
  const asked = kernel.requestExecute({ code, store_history: false });
  let text = "";
  asked.onIOPub = ({ content }) => {
    if (content.name === "stdout") text += content.text;
    if (content.ename) failed(new Error(content.evalue));
  };
  asked.done.then(() => done(text.trim()));
})"""
SAYS = "said => document.querySelector('.sov-selected').textContent.startsWith(said)"
PIXELS = "canvas => canvas.toDataURL()"


@pytest.fixture
def opened(lab, page):
    """A notebook that was run and shows two linked viewers."""
    cell = {"cell_type": "code", "metadata": {}, "source": CELL, "outputs": [], "id": "one"}
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = {"cells": [cell | {"execution_count": None}], "metadata": {"kernelspec": kernel}}
    (lab.notebooks / "select.ipynb").write_text(
        json.dumps(notebook | {"nbformat": 4, "nbformat_minor": 5})
    )
    page.goto(f"{lab.root}lab/workspaces/select/tree/select.ipynb?token=tested-by-a-browser")
    page.wait_for_function(READY, arg="select.ipynb", timeout=120_000)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.locator(".sov[data-drawn]").nth(1).wait_for(timeout=120_000)
    page.wait_for_function(SETTLED, timeout=120_000)
    return page


def said(page, code: str) -> str:
    return page.evaluate(SAID, code)


def test_hand_and_python_select_the_same_rows(opened, artefacts):
    page = opened
    canvas = page.locator(".sov canvas").first
    canvas.scroll_into_view_if_needed()
    page.locator("body").evaluate(STILL)
    plain = canvas.evaluate(PIXELS)
    page.get_by_role("button", name="select with a lasso").first.click()
    box = canvas.bounding_box()
    corners = [(0.02, 0.3), (0.3, 0.3), (0.3, 0.98), (0.02, 0.98)]
    page.mouse.move(
        *(
            box[k] + s * box[n]
            for k, n, s in zip("xy", ("width", "height"), corners[0], strict=True)
        )
    )
    page.mouse.down()
    for u, v in corners[1:]:
        page.mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"], steps=8)
    page.mouse.up()
    page.wait_for_function(
        "() => /[1-9]\\d* of 200/.test(document.querySelector('.sov-selected').textContent)"
    )
    count = int(page.locator(".sov-selected").first.inner_text().split()[0])
    assert said(page, "print(len(plan.selected), seen)") == f"{count} [{count}]"
    assert said(page, "print((plan.selected == kernel.selected).all())") == "True"
    assert 0 < float(said(page, "print(plan.image['certainty'])")) < 1
    page.locator("body").evaluate(STILL)
    assert canvas.evaluate(PIXELS) != plain
    page.screenshot(path=artefacts / "lab-selection-light.png")

    said(page, "plan.selected = [3, 5, 8]")
    page.wait_for_function(SAYS, arg="3 of 200 source points selected", timeout=60_000)
    assert page.locator(".sov-selected").nth(1).inner_text() == "3 of 200 points selected"
    said(page, "kernel.selected = None; plan.selected_target = x[:, 0] < 0.5")
    page.wait_for_function(
        "() => document.querySelector('.sov-selected').textContent.includes('target')"
    )
    assert "certain where it comes from" in page.locator(".sov-readout").first.inner_text()
    change_theme(page, "Dark")
    page.locator("body").evaluate(STILL)
    page.screenshot(path=artefacts / "lab-selection-dark.png")

    canvas.press("Escape")
    page.wait_for_function(
        "() => !/selected/.test(document.querySelector('.sov-selected').textContent)"
    )
    assert said(page, "print(len(plan.selected_target))") == "0"
    page.locator("body").evaluate(STILL)
