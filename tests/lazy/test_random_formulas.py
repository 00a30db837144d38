"""Random formulas on all engines against tensors of all pairs."""

import pytest
import torch

from tests.engines.triton import INTERPRETED
from tests.lazy.draws import lazy_and_stored, random_formula

ENGINES = ["compiled", "tiles", *(["triton"] if INTERPRETED else [])]


def clouds(n, m, dtype=torch.float64, batch=()):
    x = torch.randn(*batch, n, 3, dtype=torch.float64)
    y = torch.randn(*batch, m, 3, dtype=torch.float64)
    x[..., 0, :] = y[..., 0, :]  # two points that meet
    return x.to(dtype), y.to(dtype), torch.tensor([0.7], dtype=dtype)


def close(found, wanted, tolerance):
    torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(5))
def test_values(engine, seed):
    x, y, p = clouds(1 + seed, 40 - 8 * seed)
    lazy, stored = lazy_and_stored(x, y, p, random_formula(seed, rough=True), engine)
    values = stored.values.expand(len(x), len(y), 1)
    close(lazy.sum(1), values.sum(1), 1e-11)
    close(lazy.sum(0), values.sum(0), 1e-11)
    close(lazy.logsumexp(1), values.logsumexp(1), 1e-12)
    close(lazy.min(1), values.amin(1), 1e-12)
    close(lazy.max(0), values.amax(0), 1e-12)
    soft = (values.softmax(1) * y).sum(1)
    close(lazy.sumsoftmaxweight(type(lazy)(y[None]), dim=1), soft, 1e-11)
    low, places = lazy.Kmin_argKmin(2, dim=1)
    close(low, values[..., 0].sort(1).values[:, :2], 1e-12)
    close(values[..., 0].gather(1, places), low, 1e-12)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(20, 22))
def test_single_precision_and_batches(engine, seed):
    x, y, p = clouds(33, 17, batch=(2,))
    formula = random_formula(seed)
    lazy, _ = lazy_and_stored(x.float(), y.float(), p.float(), formula, engine)
    _, stored = lazy_and_stored(x, y, p, formula)
    values = stored.values.expand(2, 33, 17, 1)
    scale = values.abs().mean()
    close(lazy.sum(2) / scale, (values.sum(2) / scale).float(), 1e-4)
    close(lazy.logsumexp(1), values.logsumexp(1).float(), 1e-4)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(40, 43))
def test_gradients_and_their_derivatives(engine, seed):
    """In rows, columns and parameters, of a sum and of a logarithm of a sum of exponentials."""
    variables = [t.requires_grad_() for t in clouds(6, 9)]
    formula, weights = random_formula(seed, size=6), torch.randn(6, 1, dtype=torch.float64)
    lazy, stored = lazy_and_stored(*variables, formula, engine)
    values = stored.values.expand(6, 9, 1)
    for found, wanted in ((lazy.sum(1), values.sum(1)), (lazy.logsumexp(1), values.logsumexp(1))):
        grads = []
        for value in (found, wanted):
            loss = (value * weights).sum()
            first = torch.autograd.grad(loss, variables, create_graph=True, materialize_grads=True)
            directions = [(k + 1) * torch.cos(3 * t.detach()) for k, t in enumerate(variables)]
            slope = sum((g * d).sum() for g, d in zip(first, directions, strict=True))
            second = torch.autograd.grad(
                slope, variables, retain_graph=True, materialize_grads=True
            )
            grads.append([*first, *second])
        for one, other in zip(*grads, strict=True):
            close(one, other, 1e-9)
