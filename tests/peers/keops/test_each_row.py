"""Each row of "Coming from KeOps" has a test of its name; KeOps's side too, where it is quickly asked."""

import contextlib
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from sparseot import Blocks, LazyTensor, Vi, Vj, cluster

from .agreement import assert_equals, points, tensor

with contextlib.redirect_stdout(io.StringIO()):
    pytest.importorskip("pykeops")
    import pykeops.numpy
    import pykeops.torch

ROOT = Path(__file__).parents[3]
X, Y = tensor(20, 3), tensor(30, 3, 1)
SQUARES = ((X[:, None] - Y[None]) ** 2).sum(-1)


def squares(of=LazyTensor, x=X, y=Y):
    return ((of(x[:, None]) - of(y[None])) ** 2).sum(-1)


def test_every_row_has_a_test():
    page = (ROOT / "docs/guide/coming-from-keops.md").read_text(encoding="utf-8")
    table = page.split("## What is different")[1].split("\n## ")[0]
    subjects = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")]
    assert subjects[:2] == ["subject", "---"] and len(subjects) > 15
    for subject in subjects[2:]:
        name = "test_" + re.sub(r"\W+", "_", subject).lower()
        assert name in globals(), subject


PROGRAM = """
import torch
from sparseot import LazyTensor
x = torch.rand(50, 3, requires_grad=True)
K = (1 + ((LazyTensor(x[:, None]) - LazyTensor(x[None])) ** 2).sum(-1)).log().atan()
K.sum(1).sum().backward()
assert x.grad is not None
"""


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """What a process printed, and the home that it had, where no other program is found."""
    home = tmp_path_factory.mktemp("home")
    env = {"HOME": str(home), "PATH": "", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, cwd=home, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return home, done.stdout + done.stderr


def test_compiler(elsewhere):
    """A formula and its gradient where no compiler is found: the fixture has seen it end well."""
    assert elsewhere


def test_files(elsewhere):
    assert list(elsewhere[0].iterdir()) == []


def test_printing(elsewhere):
    assert elsewhere[1] == ""


def test_arrays_and_tensors():
    as_tensor, as_array = squares().sum(1), squares(x=X.numpy(), y=Y.numpy()).sum(1)
    assert isinstance(as_tensor, torch.Tensor) and isinstance(as_array, np.ndarray)
    assert_equals(as_tensor[:, 0], SQUARES.sum(1))
    assert_equals(as_array[:, 0], SQUARES.sum(1))
    with pytest.raises(AttributeError, match="dtype"):
        pykeops.numpy.LazyTensor(X[:, None])


@pytest.mark.parametrize(
    ("lazily", "densely"),
    [
        (lambda d: d.min(dim=1), lambda d: d.min(1, keepdim=True).values),
        (lambda d: d.max(dim=0), lambda d: d.max(0).values[:, None]),
        (lambda d: d.Kmin(4, dim=1), lambda d: d.topk(4, largest=False).values),
    ],
)
def test_gradients_of_least_values(lazily, densely):
    x = X.clone().requires_grad_()
    both = lazily(squares(x=x)), densely(((x[:, None] - Y[None]) ** 2).sum(-1))
    assert_equals(*both)
    gradients = [torch.autograd.grad((z**2).sum(), x, create_graph=True)[0] for z in both]
    assert_equals(*gradients)
    assert_equals(*(torch.autograd.grad(g.sin().sum(), x)[0] for g in gradients))


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
def test_gradients_of_least_values_in_keops():
    x = X.clone().requires_grad_()
    nearest = squares(pykeops.torch.LazyTensor, x).min(dim=1)
    with pytest.raises(NotImplementedError, match="Min_Reduction"):
        nearest.sum().backward()


def power(of):
    return ((of(X[:, None]) + of(Y[None])) ** 1.5).sum(-1).sum(1)[:, 0]


POWER = ((X[:, None] + Y[None]) ** 1.5).sum((1, 2))


def test_powers():
    assert_equals(power(LazyTensor), POWER, 1e-13)


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
def test_powers_in_keops():
    error = (power(pykeops.torch.LazyTensor) - POWER).abs().max() / POWER.max()
    assert 1e-9 < error < 1e-5


def far():
    """A row, and columns of which the last, beyond 2^24, is the least."""
    y = torch.zeros(1, 2**24 + 3, 1)
    y[0, -1] = -1
    return torch.zeros(1, 1), y


def test_many_columns():
    x, y = far()
    assert (Vi(x) + LazyTensor(y)).argmin(dim=1).item() == 2**24 + 2


@pytest.mark.slow
@pytest.mark.usefixtures("needs_compiler")
def test_many_columns_in_keops():
    x, y = far()
    with pytest.raises(ValueError, match="too large for Arg type reduction"):
        (pykeops.torch.Vi(x) + pykeops.torch.LazyTensor(y)).argmin(dim=1)


def test_half_precision():
    halves = X.half(), Y.half()
    found = squares(x=halves[0], y=halves[1]).sum(1)
    assert found.dtype == torch.float32
    wanted = torch.cdist(*(t.double() for t in halves)).square().sum(1, keepdim=True)
    assert_equals(found, wanted, 1e-5)


def test_what_does_not_fit():
    with pytest.raises(TypeError, match=r"float64.*float32.*Convert one of them"):
        squares(y=Y.float())
    with pytest.raises(ValueError, match=r"20 and 30 rows.*mixed up"):
        Vi(X) - Vi(Y)
    with pytest.raises(TypeError, match=r"int64.*floating point.*\.float\(\)"):
        LazyTensor(torch.ones(4, 1, 2, dtype=int))
    with pytest.raises(ValueError, match="Incompatible values for attribute _dtype"):
        squares(pykeops.torch.LazyTensor, y=Y.float())


def test_batches_of_vi_and_vj():
    x, y = torch.rand(2, 5, 3), torch.rand(4, 1, 6, 3)
    found = (Vi(x) - Vj(y)).sqdist(0).sum(dim=3)
    assert_equals(found, ((x[:, :, None] - y[:, :, None]) ** 2).sum(-1).sum(3, keepdim=True), 1e-5)
    with pytest.raises(ValueError, match="'axis' parameter should not be given"):
        pykeops.torch.Vi(x)


def test_means_and_the_nearer_of_two():
    assert_equals(squares().mean(dim=1)[:, 0], SQUARES.mean(1))
    assert_equals(squares().minimum(0.3).sum(0)[:, 0], SQUARES.clamp(max=0.3).sum(0))
    assert_equals(squares().maximum(0.3).sum(0)[:, 0], SQUARES.clamp(min=0.3).sum(0))
    theirs = pykeops.torch.LazyTensor
    assert not any(hasattr(theirs, name) for name in ("mean", "minimum", "maximum"))


def test_type_of_numbers():
    assert squares().dtype == np.dtype("float64") and isinstance(squares().dtype, np.dtype)
    assert squares(pykeops.torch.LazyTensor).dtype == "float64"


def test_linear_systems():
    """Ill-conditioned in single precision: the residual that was asked for is out of reach."""
    x = X.float()
    K = (-squares(x=x, y=x) / 9).exp()
    with pytest.warns(RuntimeWarning, match="relative residual"):
        K.solve(torch.ones(20), alpha=1e-6, eps=1e-9)
    a = K.solve(torch.ones(20), alpha=0.1, eps=1e-5)
    assert ((K @ a + 0.1 * a) - 1).norm() < 1e-5 * 20**0.5


def test_kept_pairs():
    x, y, b = points(300, 2), points(400, 2, 1), points(400, 1, 2)
    K = squares(x=x, y=y)
    pairs = Blocks(0.2, size=16).between(x, y)
    K.ranges = pairs
    mask = pairs.mask(np.arange(300), np.arange(400))
    assert 0.1 < mask.mean() < 0.9
    assert_equals(K @ b, (mask * ((x[:, None] - y[None]) ** 2).sum(-1)) @ b)


def test_cells():
    x = np.array([[0.5, 0.5, 0, 0, 0], [0.5, 1024.5, 0, 0, 0], [1.5, 0.5, 0, 0, 0]])
    assert cluster.grid_cluster(x, 1.0).tolist() == [0, 1, 2]
    assert pykeops.numpy.cluster.grid_cluster(x[:, :2], 1.0).tolist() == [0, 1, 1]


def test_hints():
    hints = {"backend": "CPU", "device_id": -1, "sum_scheme": "kahan_scheme", "dtype_acc": "auto"}
    assert torch.equal(squares().sum(1, **hints), squares().sum(1))
    tiles = squares()
    tiles.engine = "tiles"
    assert_equals(tiles.sum(1), squares().sum(1))
    with pytest.raises(TypeError, match="shceme"):
        squares().sum(1, sum_shceme="auto")


def test_complex_numbers():
    with pytest.raises(TypeError, match=r"complex64.*\.real"):
        LazyTensor(torch.ones(3, 1, 2, dtype=torch.complex64))


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("bspline", "powers"),
        ("softdtw_sqdist", "minimum"),
        ("keops_tensordot", "tensorprod"),
        ("keops_kron", "tensorprod"),
        ("laplacian", "autograd"),
        ("divergence", "autograd"),
    ],
)
def test_rarer_operations(name, nearest):
    assert hasattr(pykeops.torch.LazyTensor, name)
    with pytest.raises(AttributeError, match=rf"no {name}: .*{nearest}"):
        getattr(squares(), name)
