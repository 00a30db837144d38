"""What is asked of a result over kept pairs, beside all pairs."""

import torch

import sparseot as so

KEPT, ALL = {"multilevel": True}, {"multilevel": False}


def agree_with_all_pairs(engine, x, y, a, b, **how):
    """Values and two derivatives in points and weights, and what is asked of a plan."""
    found = []
    for pairs in (KEPT, ALL):
        variables = [t.clone().requires_grad_() for t in (x, y, a, b)]
        solver = so.Sinkhorn(tol=1e-11, engine=engine if pairs is KEPT else "auto", **pairs)
        result = so.solve_sample(*variables, solver=solver, **how)
        first = torch.autograd.grad(result.value, variables, create_graph=True)
        along = sum((g * torch.ones_like(g).cumsum(0)).sum() for g in first)
        second = torch.autograd.grad(along, variables)
        asked = result.map(), result.value_linear, result.marginal_a, result.plan
        asked = *asked, result.hvp(x.flip(0)), result.map(x[:20] + 0.1 * y[:20])
        found.append((result.value, *first, *second, *asked))
    for kept, wanted in zip(*found, strict=True):
        scale = float(wanted.detach().abs().max())
        torch.testing.assert_close(kept, wanted, rtol=1e-6, atol=1e-8 * scale + 1e-10)


def divergences_agree(x, y, a, b, **how):
    """With twice the mass of y; a cloud and itself has none."""
    values = [
        so.sinkhorn_divergence(x, y, a, 2 * b, solver=so.Sinkhorn(tol=1e-10, **pairs), **how)
        for pairs in (KEPT, ALL)
    ]
    torch.testing.assert_close(*values, rtol=1e-7, atol=0)
    own = so.sinkhorn_divergence(x, x, a, a, solver=so.Sinkhorn(tol=1e-10, **KEPT), **how)
    assert values[0] > 0 and abs(own) < 1e-9
