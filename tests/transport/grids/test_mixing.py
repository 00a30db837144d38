"""Mixing of fixed-point iterations: few steps, and the same answer."""

import torch

import sparseot as so
from sparseot.transport.grids.mixing import Mixing
from tests.transport.grids.images import gaussian


def test_linear_maps_of_two_slopes_end_after_three_steps():
    """Two differences span the errors of two eigenvalues, so the residual vanishes but for rounding."""
    slopes = torch.tensor([[0.9, 0.5, 0.9, 0.5], [0.8, 0.2, 0.8, 0.2]], dtype=torch.float64)
    state = [torch.full((2, 2), 1e-2, dtype=torch.float64) for _ in range(2)]
    mixing = Mixing(state)
    for _ in range(4):
        for part, x in enumerate(state):
            some = slopes[:, 2 * part : 2 * part + 2]
            mixing.see(part, some * x - x, torch.ones_like(x))
        mixing.move(torch.stack([x.abs().amax(1) for x in state]).amax(0))
    assert all(float(x.abs().max()) < 1e-6 for x in state)  # plain: 1e-2 * 0.9 ** 4


def test_a_step_that_made_it_worse_is_forgotten():
    state = [torch.ones(1, 3, dtype=torch.float64)]
    mixing = Mixing(state)
    for error in (0.1, 0.1, 10.0):
        mixing.see(0, -0.5 * state[0], torch.ones_like(state[0]))
        before = state[0].clone()
        mixing.move(torch.tensor([error], dtype=torch.float64))
    torch.testing.assert_close(state[0], before / 2)
    assert not mixing.known.any()


def test_an_average_with_sharp_edges_takes_few_sweeps():
    """Shapes a third as wide as the blur: plain sweeps take more than two hundred to this error."""
    a = gaussian((40, 40), (1.0, 1.0), (15, 16), (1.0, 1.0))
    images = torch.stack((a, a.roll((8, 4), (0, 1))))
    found = so.grid_barycenter(images, blur=3.0, tol=1e-4)
    assert found.converged and found.n_iter < 200
