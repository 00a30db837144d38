"""What cannot be solved is refused or said: memory, digits, parts between which nothing moves."""

import tracemalloc
import warnings

import pytest
import torch

import sparseot as so
from tests.references.clouds import cloud
from tests.references.dense import transport

ALL, FEW = so.Sinkhorn(multilevel=False), so.Sinkhorn(multilevel=True)


@pytest.mark.parametrize(("dim", "blur"), [(2, 0.02), (3, 0.05), (6, 0.3)])
def test_a_solve_keeps_within_its_memory(dim, blur):
    """Refused with what it takes; given that much, it takes no more."""
    (x, _), (y, _) = cloud(4000, dim), cloud(3000, dim)

    def solve(memory):
        return so.solve_sample(x, y, blur=blur, tol=1e-2, solver=so.Sinkhorn(memory=memory))

    with pytest.raises(ValueError, match=r"memory: got 0.954 MiB, wanted .* for 7,000 points\."):
        solve(1e6)
    memory = 7_000 * (100 + 100 * dim) + 64
    with pytest.raises(ValueError, match="pairs of blocks that may matter.*multilevel=False"):
        solve(memory)
    solve(None)  # compiles
    tracemalloc.start()
    found = solve(memory + 64 * (4000 // 32 + 16) * (3000 // 32 + 16))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    tiles = found.solved[0].problem.pairs.checks[0].screened
    assert found.converged and peak < 1.1 * (memory + 64 * len(tiles)) + 2**20


def test_all_pairs_take_no_memory_of_their_number():
    (x, _), (y, _) = cloud(400, 2), cloud(300, 2)
    solver = so.Sinkhorn(multilevel=False, memory=1000)
    assert so.solve_sample(x, y, blur=0.05, solver=solver).converged


def test_a_plan_that_would_not_fit_is_refused():
    x = torch.rand(30_000, 2)
    with pytest.warns(RuntimeWarning, match="max_sweeps"):
        found = so.solve_sample(x, x + 0.1, blur=0.1, solver=so.Sinkhorn(max_sweeps=1))
    with pytest.raises(ValueError, match=r"plan: got \(30000, 30000\), .*sparse_plan\(mass=0.99\)"):
        _ = found.plan


@pytest.mark.parametrize("p", [1, 2])
def test_a_blur_without_digits_is_refused(p):
    """With the smallest that makes sense, at which the solve is finite and says how far it got."""
    (x, _), (y, _) = cloud(20, 2, dtype=torch.float32), cloud(15, 2, dtype=torch.float32)
    with pytest.raises(ValueError, match="blur: got 1e-15, wanted at least .* apart") as refusal:
        so.solve_sample(x, y, p=p, blur=1e-15)
    least = float(str(refusal.value).split("at least ")[1].split()[0])
    few = so.Sinkhorn(max_sweeps=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of no convergence
        found = so.solve_sample(x, y, p=p, blur=1.1 * least, solver=few)
    exact = so.solve_sample(x, y, p=p, blur=0.02, debias=True).value
    assert found.value.isfinite() and found.lower <= 1.5 * exact and found.upper > 0.5 * exact


@pytest.fixture(scope="module")
def single():
    """Clouds in float32, and the exact value of their transport."""
    torch.manual_seed(0)
    (x, a), (y, b) = cloud(70, 2, dtype=torch.float32), cloud(60, 2, dtype=torch.float32)
    return x, y, a, b, transport(*(t.double() for t in (x, y, a, b)), blur=0.5)[0]


@pytest.mark.parametrize("solver", [ALL, FEW], ids=["all pairs", "kept pairs"])
@pytest.mark.parametrize("tol", [1e-5, 1e-6, 1e-9])
def test_tolerances_below_single_precision(solver, tol, single):
    """Points in float32 are swept in float64: the residual is that of the full problem."""
    x, y, a, b, exact = single
    found = so.solve_sample(x, y, a, b, blur=0.5, tol=tol, solver=solver)
    assert found.converged and found.residual <= tol and found.value.dtype == torch.float32
    torch.testing.assert_close(found.value.double(), exact, rtol=1e-6, atol=0)


@pytest.mark.parametrize("solver", [ALL, FEW], ids=["all pairs", "kept pairs"])
def test_tolerances_below_double_precision(solver):
    """It ends, and says that it did not get there; its interval holds."""
    (x, a), (y, b) = cloud(70, 2), cloud(60, 2)
    with pytest.warns(RuntimeWarning, match="tol=1e-18 was asked for"):
        found = so.solve_sample(x, y, a, b, blur=0.5, tol=1e-18, solver=solver)
    assert not found.converged and found.residual < 1e-12
    assert found.lower <= transport(x, y, a, b, blur=0.5)[0] <= found.upper


@pytest.mark.parametrize("solver", [ALL, FEW], ids=["all pairs", "kept pairs"])
@pytest.mark.parametrize("share", [0.5, 0.4])
def test_parts_between_which_nothing_near_moves(solver, share):
    """Clusters a hundred blurs apart: of equal masses, or with a tenth to be carried over.

    Whether it takes few sweeps or more than there are: what comes is right within its bounds.
    """
    far = torch.tensor([[10.0, 0.0]]).double()
    (x, a), (y, b) = cloud(50, 2), cloud(40, 2)
    x, y = torch.cat((x, x.flip(1) + far)), torch.cat((y, y.flip(1) + far))
    a, b = torch.cat((0.5 * a, 0.5 * a)), torch.cat((share * b, (1 - share) * b))
    x.requires_grad_()
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        found = so.solve_sample(x, y, a, b, blur=0.1, tol=1e-4, debias=True, solver=solver)
    assert found.converged != bool(said)
    patient = so.Sinkhorn(multilevel=False, max_sweeps=20_000)
    exact = so.solve_sample(x, y, a, b, blur=0.1, tol=1e-6, debias=True, solver=patient)
    assert exact.converged and (found.converged or share == 0.4)
    assert found.lower <= exact.value <= found.upper
    torch.testing.assert_close(found.value, exact.value, rtol=1e-5, atol=1e-7)
    force, wanted = (torch.autograd.grad(r.value, x)[0] for r in (found, exact))
    error = (force - wanted).norm(dim=1).sum()
    assert error <= found.gradient_error() + exact.gradient_error()
    assert error < 0.02 and found.map().isfinite().all()
