"""Each row of "Coming from torchcfm", against POT called as torchcfm 1.0.7 calls it."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

import sparseot as so
from tests.references.clouds import cloud
from tests.transport.plans.test_sampling import DRAWS, LIKELY, generator, likely

X0, X1 = (torch.rand(40, 2, generator=generator(k)).double() + k / 4 for k in (0, 1))
M = torch.cdist(X0, X1) ** 2


@pytest.fixture
def ot():
    return pytest.importorskip("ot")


def their_plan(ot, costs, method="sinkhorn", **options):
    """``OTPlanSampler(method, ...).get_map``: uniform weights, squared distances."""
    a, b = (ot.unif(size) for size in costs.shape)
    solve = {"sinkhorn": ot.sinkhorn, "unbalanced": ot.unbalanced.sinkhorn_knopp_unbalanced}
    return solve[method](a, b, costs.numpy(), **options)


def close(ours, theirs):
    np.testing.assert_allclose(ours.plan.numpy(), theirs, atol=1e-8)


def test_torchcfm_calls_pot_like_that(ot):
    """Where it is installed."""
    peer = pytest.importorskip("torchcfm.optimal_transport")
    for method, options in (("sinkhorn", {"reg": 0.1}), ("unbalanced", {"reg": 0.1, "reg_m": 0.5})):
        theirs = peer.OTPlanSampler(method, **options).get_map(X0, X1)
        np.testing.assert_allclose(theirs, their_plan(ot, M, method, **options), atol=1e-12)


def test_1_regularisation_is_twice_the_squared_blur(ot):
    theirs = their_plan(ot, M, reg=0.1, stopThr=1e-11, numItermax=10_000)
    close(so.solve_sample(X0, X1, blur=math.sqrt(0.1 / 2), tol=1e-9), theirs)


def test_2_sigma_of_a_bridge_is_the_blur(ot):
    """torchcfm solves it with ``reg=2 * sigma**2``."""
    theirs = their_plan(ot, M, reg=2 * 0.3**2, stopThr=1e-11, numItermax=10_000)
    close(so.solve_sample(X0, X1, blur=0.3, tol=1e-9), theirs)


def test_3_a_small_blur_is_nearly_exact():
    exact = (M / 2).numpy()[linear_sum_assignment(M.numpy())].mean()
    for blur in (0.1, 0.02):
        found = so.solve_sample(X0, X1, blur=blur, tol=1e-7)
        excess = found.value_linear.item() - exact
        assert excess + 1e-9 >= 0 and excess <= blur**2 * math.log(40)
    assert excess < 0.01 * exact


def test_4_pairs_are_drawn_by_the_plan(ot):
    theirs = torch.from_numpy(their_plan(ot, M, reg=0.1, stopThr=1e-11, numItermax=10_000))
    plan = so.solve_sample(X0, X1, blur=math.sqrt(0.1 / 2), tol=1e-9)
    i, j = plan.sample(DRAWS, generator=generator())
    assert likely(i, j, theirs) > LIKELY
    assert X0[i].shape == X1[j].shape == (DRAWS, 2)


def test_5_labels_go_with_their_points():
    labels = torch.arange(40) // 10
    i, j = so.solve_sample(X0, X0, blur=1e-3).sample(100)
    assert torch.equal(labels[i], labels[j])


def test_6_trajectories_go_from_plan_to_plan():
    clouds = [X0, X1, X1 + X0.flip(0)]
    plans = [so.solve_sample(*pair, blur=0.3) for pair in zip(clouds[:-1], clouds[1:], strict=True)]
    draw = generator()
    start = i = torch.arange(40).repeat(1000)
    for plan in plans:
        i = plan.sample_from(i, generator=draw)
    rows = [plan.plan / plan.plan.sum(1, keepdim=True) for plan in plans]
    assert likely(start, i, rows[0] @ rows[1]) > LIKELY


def test_7_unbalanced(ot):
    options = {"stopThr": 1e-13, "numItermax": 10_000}
    theirs = their_plan(ot, M, "unbalanced", reg=0.1, reg_m=0.5, **options)
    found = so.solve_sample(X0, X1, blur=math.sqrt(0.1 / 2), reach=math.sqrt(0.5 / 2), tol=1e-9)
    close(found, theirs)


def test_8_normalised_costs(ot):
    theirs = their_plan(ot, M / M.max(), reg=0.05, stopThr=1e-11, numItermax=10_000)
    close(so.solve_sample(X0, X1, blur=math.sqrt(0.05 * M.max().item() / 2), tol=1e-9), theirs)


def test_9_images_are_flattened():
    images = [torch.rand(8, 1, 4, 4).double() for _ in "01"]
    assert so.solve_sample(*(t.flatten(1) for t in images), blur=1.0).plan.shape == (8, 8)
    with pytest.raises(ValueError, match="x: got shape"):
        so.solve_sample(*images, blur=1.0)
    assert so.solve_sample(*(t[:, 0] for t in images), blur=1.0).plan.shape == (8, 4, 4)


def test_10_draws_by_generators():
    plan = so.solve_sample(X0, X1, blur=0.3)
    np.random.seed(0)
    one = plan.sample(100, generator=generator())
    np.random.seed(1)
    assert all(map(torch.equal, one, plan.sample(100, generator=generator())))


def test_11_small_regularisations_do_not_underflow(ot):
    """Where the exponentials of POT are zero, torchcfm takes the uniform plan."""
    with np.errstate(all="ignore"), pytest.warns(UserWarning):
        theirs = their_plan(ot, M + 1, reg=1e-3)
    assert not np.isfinite(theirs).all() or abs(theirs.sum() - 1) > 0.1
    found = so.solve_sample(X0, X1 + 1, blur=math.sqrt(1e-3 / 2))
    assert found.converged and abs(found.marginal_a.sum() - 1) < 1e-3


@pytest.mark.parametrize("p", [1, 2])
def test_12_wasserstein_distances(ot, p):
    """torchcfm takes POT's exact cost, of distances to the power p, to the power 1 / p."""
    a, b = ot.unif(40), ot.unif(40)
    theirs = ot.emd2(a, b, M.sqrt().pow(p).numpy()) ** (1 / p)
    found = so.wasserstein_distance(X0, X1, p=p)
    assert found.lower <= theirs * (1 + 1e-9) and theirs * (1 - 1e-9) <= found.upper
    assert abs(found.value - theirs) < 0.01 * theirs


def test_13_weights():
    (x, a), (y, b) = cloud(30, 2, zero=3), cloud(20, 2, zero=4)
    i, j = so.solve_sample(x, y, a, b, blur=0.2).sample(5000, generator=generator())
    assert not (i == 3).any() and not (j == 4).any()
    counts = torch.bincount(i, minlength=30) / 5000
    assert (counts - a).abs().max() < 5 * (a.max() / 5000).sqrt()
