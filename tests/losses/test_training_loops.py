"""What the guide says of training loops, as it is written there."""

import ast
import copy
import pickle
import re
from pathlib import Path

import pytest
import torch

import sparseot as so

pytestmark = pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
PAGE = Path(__file__).parents[2] / "docs" / "guide" / "training-loops.md"
X, Y = torch.rand(3, 6, 2).double(), torch.rand(3, 5, 2).double()
A, B = (torch.rand(3, n).double().softmax(-1) for n in (6, 5))


def blocks(heading):
    """The Python of one section."""
    section = re.search(rf"\n## {re.escape(heading)}\n(.*?)(?=\n## |\Z)", PAGE.read_text(), re.S)
    return re.findall(r"```python\n(.*?)```", section[1], re.S)


def test_maps():
    names = {"so": so, "torch": torch, "xs": X, "ys": Y, "x": X[0], "y": Y[0], "a": A, "b": B}
    names["loss"] = so.SamplesLoss("sinkhorn", blur=0.3, tol=1e-6)
    found = []
    for block in blocks("torch.vmap"):
        for line in ast.parse(block).body:
            if isinstance(line, ast.Expr):
                found.append(tuple(eval(ast.unparse(line), names).shape))
            else:
                exec(ast.unparse(line), names)
    assert found == [(3,), (3,), (3,), (3, 3), (3, 6, 2), (3, 6, 2, 6, 2)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_compiled_steps():
    model = torch.nn.Linear(2, 2).double()
    names = {"so": so, "torch": torch, "model": model, "x": X, "y": Y}
    (code,) = blocks("torch.compile")
    exec(code, names)
    found = model.weight.grad.clone()
    model.zero_grad()
    so.SamplesLoss("sinkhorn", blur=0.05)(model(X), Y).mean().backward()
    torch.testing.assert_close(found, model.weight.grad)


def test_losses_travel_with_what_holds_them():
    loss = so.SamplesLoss("sinkhorn", blur=0.3, tol=1e-6)
    for other in (pickle.loads(pickle.dumps(loss)), copy.deepcopy(loss)):
        torch.testing.assert_close(other(X, Y), loss(X, Y))
