"""Bad input: each is refused with the argument's name, what came and what was wanted."""

import pytest
import torch

import sparseot as so

X, Y = torch.rand(5, 2), torch.rand(4, 2)
A, B = torch.full((5,), 0.2), torch.full((4,), 0.25)
NAN = float("nan")

BAD_CLOUDS = {
    "one axis": (X[:, 0], Y, ValueError, r"x: got shape \(5,\), wanted \(N, D\) or \(B, N, D\)"),
    "four axes": (X, Y[None, None], ValueError, r"y: got shape \(1, 1, 4, 2\)"),
    "batch and none": (X[None], Y, ValueError, "as many batch items as x"),
    "unequal batches": (X.expand(3, 5, 2), Y.expand(2, 4, 2), ValueError, "batch items"),
    "other dimension": (X, torch.rand(4, 3), ValueError, "dimension 3, .* wanted dimension 2"),
    "other dtype": (X, Y.double(), TypeError, "y: got dtype torch.float64, wanted torch.float32"),
    "integers": (X.long(), Y, TypeError, r"x: got dtype torch.int64.*\.float\(\)"),
    "arrays": (
        X.numpy(),
        Y,
        TypeError,
        "y: got a torch tensor, wanted an array, as x is.*as_tensor",
    ),
    "NaN": (X, torch.full((4, 2), NAN), ValueError, "y: got 8 NaN or infinite coordinates"),
    "infinite": (X * torch.inf, Y, ValueError, "x: got 10 NaN or infinite"),
    "beyond squares": (
        X * 1e19,
        Y,
        ValueError,
        r"x: got coordinates up to .*e\+18, wanted at most",
    ),
    "empty": (X[:0], Y, ValueError, r"x: got an empty cloud, shape \(0, 2\)"),
    "no dimension": (X[:, :0], Y[:, :0], ValueError, "empty cloud"),
}
BAD_WEIGHTS = {
    "wrong length": (
        A[:3],
        B,
        ValueError,
        r"a: got shape \(3,\), wanted shape \(5,\).*each point of x",
    ),
    "negative": (A, B - 0.3, ValueError, "b: got a negative weight, -0.05"),
    "all zero": (A * 0, B, ValueError, "a: got weights that are all zero"),
    "NaN": (A * NAN, B, ValueError, "a: got NaN"),
    "other dtype": (A, B.double(), TypeError, "b: got dtype torch.float64, wanted torch.float32"),
    "a list": ([0.2] * 5, B, TypeError, "a: got list"),
    "unequal masses": (A, 2 * B, ValueError, "total masses 1 and 2, wanted equal masses.*reach="),
}
LOSSES = ["sinkhorn", "hausdorff", "gaussian", "laplacian", "energy"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", BAD_CLOUDS)
def test_bad_clouds(loss, case):
    x, y, kind, message = BAD_CLOUDS[case]
    with pytest.raises(kind, match=message):
        so.SamplesLoss(loss)(x, y)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("case", BAD_WEIGHTS)
def test_bad_weights(loss, case):
    a, b, kind, message = BAD_WEIGHTS[case]
    if case == "unequal masses" and loss in ("gaussian", "laplacian", "energy"):
        pytest.skip("kernel norms compare unequal masses")
    with pytest.raises(kind, match=message):
        so.SamplesLoss(loss)(a, X, b, Y)


def test_masses_may_differ_by_rounding_only():
    x, y, a, b = X.double(), Y.double(), torch.full((5,), 0.2).double(), B.double()
    a = a / a.sum()
    loss = so.SamplesLoss()
    loss(A, X, B * (1 + 5e-6), Y)
    with pytest.raises(ValueError, match="equal masses"):
        loss(A, X, B * (1 + 5e-5), Y)
    loss(a * (1 + 5e-10), x, b, y)
    with pytest.raises(ValueError, match="equal masses"):
        loss(a * (1 + 5e-9), x, b, y)


def test_one_point_is_enough():
    for loss in LOSSES:
        assert so.SamplesLoss(loss)(X[:1], Y[:1]).isfinite()


DOORS = {
    "loss": lambda x, y: so.SamplesLoss()(x, y),
    "kernel norm": lambda x, y: so.kernel_norm(x, y, kernel=so.kernels.Energy()),
    "hausdorff": lambda x, y: so.SamplesLoss("hausdorff")(x, y),
    "solve": lambda x, y: so.solve_sample(x, y, blur=0.1),
    "divergence": lambda x, y: so.sinkhorn_divergence(x, y, blur=0.1),
    "kernel matrix": lambda x, y: so.KernelMatrix(so.kernels.Energy(), x, y),
    "neighbours": lambda x, y: so.knn(x, y, k=1),
    "radius": lambda x, y: so.radius(x, y, 0.1),
    "formula": lambda x, y: so.LazyTensor(x, axis=0) - so.LazyTensor(y, axis=1),
}


@pytest.mark.parametrize("door", DOORS)
def test_devices_must_agree(door):
    with pytest.raises((ValueError, TypeError), match=r"(got .*meta.*|and meta.*)wanted .*\.to\("):
        DOORS[door](X.cpu(), Y.to("meta"))


def test_devices_of_weights_must_agree():
    with pytest.raises(ValueError, match="a: got device meta, wanted cpu, as x has"):
        so.solve_sample(X.cpu(), Y.cpu(), A.to("meta"), B.cpu(), blur=0.1)


def test_weights_may_have_a_trailing_axis():
    """(N, 1) weights mean (N,), with or without a batch."""
    loss = so.SamplesLoss()
    value = loss(A, X, B, Y)
    assert torch.equal(loss(A[:, None], X, B[:, None], Y), value)
    batch = loss(A[None, :, None], X[None], B[None, :, None], Y[None])
    assert batch.shape == (1,) and torch.allclose(batch[0], value)
