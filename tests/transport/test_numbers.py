"""NumPy's numbers in the place of Python's: the same results, whatever their precision."""

import numpy as np
import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud

(X, _), (Y, _) = cloud(40, 2), cloud(30, 2, shift=0.2)
DOORS = {
    "solve": lambda n, s: so.solve_sample(s * X, s * Y, blur=n, reach=2 * n, tol=1e-6).value,
    "pair of reaches": lambda n, s: (
        so.solve_sample(s * X, s * Y, blur=n, reach=(n, None), tol=1e-6).value
    ),
    "p = 1": lambda n, s: so.solve_sample(s * X, s * Y, p=1, blur=n, tol=1e-6).value,
    "divergence": lambda n, s: so.sinkhorn_divergence(s * X, s * Y, blur=n, diameter=4 * n),
    "loss": lambda n, s: so.SamplesLoss(blur=n, reach=n)(s * X, s * Y),
    "hausdorff": lambda n, s: so.hausdorff_divergence(s * X, s * Y, blur=n),
    "norm": lambda n, s: so.kernel_norm(s * X, s * Y, kernel=so.kernels.Gaussian(n)),
}


@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float16, np.float32, np.float64])
@pytest.mark.parametrize("door", DOORS)
def test_numbers_of_numpy_have_all_digits(door, kind):
    number = kind(20)
    found, exact = DOORS[door](number, 60.0), DOORS[door](20.0, 60.0)
    torch.testing.assert_close(found, exact, rtol=1e-14, atol=0)
