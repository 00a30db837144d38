"""The page of messages has every error and warning of the library, in the words that are said."""

import ast
import re
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch

import sparseot as so
from sparseot import KernelMatrix, kernels

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))

import messages  # noqa: E402

ALL = messages.all_messages()
PAGE = messages.page()
X, Y = torch.rand(20, 2), torch.rand(30, 2)
WARN = ("warn_user", "warnings.warn")
PARTED = torch.tensor([[0.0, 0.0], [9.0, 9.0]])


def speaking(path: Path):
    """The lines of a file that raise or warn, found without the script: by the words alone."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            source = ast.unparse(node.exc)
            if not source.startswith(messages.SILENT):
                yield node.exc.lineno
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in WARN:
            yield node.lineno


def test_no_place_that_raises_or_warns_is_missing():
    count = 0
    for folder in messages.SOURCES:
        for path in folder.rglob("*.py"):
            if path.name == "errors.py":
                continue
            found = {message.line for message in messages.Source(path).messages()}
            missing = set(speaking(path)) - found
            assert not missing, f"{path}, lines {sorted(missing)}"
            count += len(found)
    assert count > 200


def test_each_is_on_the_page_once():
    assert len({(m.kind, m.text) for m in ALL}) == len(ALL) > 200
    for message in ALL:
        assert PAGE.count(f"\n- `` {message.text} `` ({message.kind})\n") == 1, message
    assert {message.room for message in ALL} <= set(messages.TITLES)


def test_nearly_all_say_what_was_wanted():
    """What comes from elsewhere is an ellipsis; where all of it does, the page says nothing."""
    silent = [m for m in ALL if re.fullmatch(r"[^:]*: got …, wanted …\.", m.text)]
    assert len(silent) < len(ALL) / 50, silent
    unknown = [m for m in ALL if m.kind == messages.GAP]
    assert len(unknown) < 5, unknown


CALLS = {
    "masses": lambda: so.SamplesLoss(blur=0.1)(torch.ones(20), X, torch.ones(30), Y),
    "blur": lambda: so.solve_sample(X, Y, blur=-1),
    "shape": lambda: so.solve_sample(X[:, 0], Y, blur=0.1),
    "kind": lambda: so.sinkhorn_divergence(X, Y.numpy()),
    "NaN": lambda: so.kernel_norm(X * np.nan, Y, kernel=kernels.Energy()),
    "engine": lambda: KernelMatrix(kernels.Gaussian(1.0), X, engine="none"),
    "refused": lambda: KernelMatrix(lambda x, y: x @ y.mT, X, engine="numba"),
    "method": lambda: so.knn(X, k=2, method="none"),
    "k": lambda: so.knn(X, k=2.5),
    "product": lambda: KernelMatrix(kernels.Gaussian(1.0), X, Y) @ X,
    "square": lambda: so.graph_laplacian(KernelMatrix(kernels.Gaussian(1.0), X, Y)),
    "entries": lambda: KernelMatrix(kernels.Gaussian(1.0), X)["a"],
    "weights": lambda: so.solve_sample(X, Y, -torch.ones(20), blur=0.1),
    "sweeps": lambda: so.solve_sample(X, Y, blur=0.01, tol=1e-5, solver=so.Sinkhorn(max_sweeps=1)),
    "no effect": lambda: so.SamplesLoss("energy", reach=1.0),
    "eigsh": lambda: so.eigsh(KernelMatrix(kernels.Gaussian(0.1), X), 3, tol=1e-9, max_products=4),
    "cut": lambda: so.radius_graph(X, 9.0, max_num_neighbors=2),
    "isolated": lambda: so.spectral_embedding(torch.cat([X, 100 + PARTED]), 2, 0.01),
}


@pytest.mark.parametrize("call", CALLS)
def test_what_is_said_is_what_is_listed(call):
    said = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            CALLS[call]()
        except Exception as error:
            said.append((type(error).__name__, str(error)))
    said += [(warning.category.__name__, str(warning.message)) for warning in caught]
    assert said
    for kind, text in said:
        listed = [m for m in ALL if m.kind in (kind, messages.GAP)]
        assert any(re.fullmatch(m.pattern, text, re.DOTALL) for m in listed), (kind, text)


@pytest.mark.parametrize(
    "page", ["conventions", "glossary", "transport", "which-loss", "coming-from-ott"]
)
def test_epsilon_is_found(page):
    """A search for the word, which no formula contains."""
    text = (ROOT / "docs" / "guide" / f"{page}.md").read_text(encoding="utf-8")
    assert re.search(r"\bepsilon\b", re.sub(r"\$[^$]*\$", "", text))
