"""What users bring: one point or none, strides of all kinds, batches, numbers of other kinds, changes in place."""

import copy
import pickle

import numpy as np
import pytest
import torch

from sparseot import Blocks, LazyTensor, Vi, Vj, cluster

DOUBLE = torch.float64
X, Y = torch.rand(7, 3, dtype=DOUBLE), torch.rand(9, 3, dtype=DOUBLE)


@pytest.fixture(params=["compiled", "tiles"])
def squares(request):
    """Squared distances by either engine."""

    def formula(x, y):
        found = ((LazyTensor(x[..., :, None, :]) - LazyTensor(y[..., None, :, :])) ** 2).sum(-1)
        found.engine = request.param
        return found

    return formula


def dense(x, y):
    x, y = (
        torch.as_tensor(np.ascontiguousarray(t)) if isinstance(t, np.ndarray) else t for t in (x, y)
    )
    return ((x[..., :, None, :] - y[..., None, :, :]) ** 2).sum(-1)


def assert_close(found, wanted, tolerance=1e-12):
    torch.testing.assert_close(torch.as_tensor(found), wanted, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", [0, 1, 7])
@pytest.mark.parametrize("m", [0, 1, 9])
def test_any_number_of_points(squares, n, m):
    x, y = X[:n].clone().requires_grad_(), Y[:m].clone().requires_grad_()
    K, whole = (-squares(x, y)).exp(), (-dense(x, y)).exp()
    assert K.shape == (n, m)
    assert_close(K.sum(1)[:, 0], whole.sum(1))
    assert_close(K.sum(0)[:, 0], whole.sum(0))
    assert_close(K.logsumexp(1)[:, 0], whole.logsumexp(1))
    assert_close(K.T.logsumexp(1)[:, 0], whole.logsumexp(0))
    assert_close(K @ Y[:m, :2], whole @ Y[:m, :2])
    if n and m:
        assert_close(K.argmin(1)[:, 0], whole.argmin(1))
        assert_close(K.max(0)[:, 0], whole.max(0).values)
    both = [torch.autograd.grad((k**2).sum(), (x, y)) for k in (K.sum(1), whole.sum(1))]
    for found, wanted in zip(*both, strict=True):
        assert_close(found, wanted)


def test_an_axis_that_a_formula_lacks_is_refused_but_for_single_points():
    with pytest.raises(ValueError, match="depends on i alone"):
        Vi(X).sum(1)
    with pytest.raises(ValueError, match="depends on i alone"):
        (Vi(X) * torch.ones(3, dtype=DOUBLE)).sum(1)
    assert_close((LazyTensor(X[:, None]) - LazyTensor(Y[:1][None])).sum(1), X - Y[:1])


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.T.contiguous().T,
        lambda x: x.repeat(1, 2)[:, ::2],
        lambda x: x[:1].expand(7, 3),
        lambda x: x.numpy()[::-1],
        lambda x: x.numpy()[:, ::-1],
        lambda x: np.asfortranarray(x.numpy()),
        lambda x: x.numpy().astype(">f8"),
        lambda x: np.broadcast_to(x.numpy()[:1], (7, 3)),
    ],
)
def test_memory_of_any_layout(squares, change):
    x = change(X)
    y = Y.numpy() if isinstance(x, np.ndarray) else Y
    native = x.astype(float) if isinstance(x, np.ndarray) else x
    found = squares(x, y).sum(1)
    assert isinstance(found, type(y))
    assert_close(found[:, 0], dense(native, y).sum(1))


@pytest.mark.parametrize(
    ("of_x", "of_y", "of_v"),
    [
        ((2, 1, 7, 3), (4, 9, 3), (1, 1, 9, 2)),
        ((7, 3), (4, 9, 3), (2, 1, 9, 1)),
        ((0, 7, 3), (9, 3), (9, 2)),
    ],
)
def test_gradients_of_both_orders_are_summed_over_broadcast_axes(squares, of_x, of_y, of_v):
    leaves = [torch.rand(size, dtype=DOUBLE, requires_grad=True) for size in (of_x, of_y, of_v)]
    width = torch.tensor(0.7, dtype=DOUBLE, requires_grad=True)
    leaves.append(width)
    x, y, v, _ = leaves
    lazily = ((-squares(x, y) / width).exp() * LazyTensor(v[..., None, :, :])).sum(-2)
    whole = (-dense(x, y) / width).exp() @ v
    assert_close(lazily, whole)
    first = [torch.autograd.grad(k.sin().sum(), leaves, create_graph=True) for k in (lazily, whole)]
    second = [torch.autograd.grad(sum((g**2).sum() for g in gs), leaves) for gs in first]
    for both in (first, second):
        for found, wanted in zip(*both, strict=True):
            assert_close(found, wanted, 1e-10)


def test_numbers_without_axes_take_the_dtype_of_the_formula(squares):
    width = torch.tensor(0.5, requires_grad=True)
    found = (squares(X, Y) * width / torch.tensor(2) + np.float32(1)).sum(1)
    assert found.dtype == DOUBLE
    assert_close(found[:, 0], (dense(X, Y) / 4 + 1).sum(1))
    (gradient,) = torch.autograd.grad(found.sum(), width)
    assert gradient.dtype == torch.float32
    assert_close(gradient.double(), dense(X, Y).sum() / 2, 1e-6)


def test_arrays_without_axes_do_so_too(squares):
    """Of any kind, as NumPy's scalars do."""
    x, y = (t.float().numpy() for t in (X, Y))
    for two in (np.array(2.0), np.array(2), np.float64(2), np.int8(2), 2):
        found = (squares(x, y) * two).sum(1)
        assert found.dtype == np.float32
        assert_close(found[:, 0], 2 * dense(X, Y).sum(1).float(), 1e-5)


def test_integers_of_numpy_are_integers(squares):
    """Numbers of neighbours and axes often come out of arrays."""
    two, one = np.array([2, 1])
    F = squares(X, Y)
    assert torch.equal(F.argKmin(two, dim=one), F.argKmin(2, dim=1))
    assert torch.equal(F.sum(-two), F.sum(-2))
    x_i = LazyTensor(X[:, None])
    for mine, wanted in (
        (x_i[one], x_i[1]),
        (x_i[-one], x_i[2]),
        (x_i.elem(one), x_i[1]),
        (x_i.extract(one, two), x_i[1:3]),
        (x_i[0].one_hot(two), x_i[0].one_hot(2)),
        (Vi(np.int64(0), two), Vi(0, 2)),
    ):
        assert mine.tree is wanted.tree


def test_a_change_in_place_before_the_backward_pass_is_an_error(squares):
    x, y = X.clone().requires_grad_(), Y.clone()
    found = (-squares(x, y)).exp().sum(1)
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        found.sum().backward()


def test_blocks_without_columns(squares):
    rows, columns = torch.tensor([[0, 3], [3, 7]]), torch.tensor([[0, 2], [2, 9]])
    keep = torch.tensor([[True, False], [False, False]])
    K = squares(X, Y)
    K.ranges = cluster.from_matrix(rows, columns, keep)
    mask = torch.zeros(7, 9, dtype=DOUBLE)
    mask[:3, :2] = 1
    whole = dense(X, Y)
    for axis in (0, 1):
        assert_close(K.sum(axis)[:, 0], (whole * mask).sum(axis))
        assert_close(K.logsumexp(axis)[:, 0], (whole + mask.log()).logsumexp(axis))
        assert_close((-K).exp().sum(axis)[:, 0], ((-whole).exp() * mask).sum(axis))
    assert_close(K.min(1)[:, 0], whole.where(mask > 0, torch.inf).min(1).values)
    assert K.argmin(1)[3:].eq(-1).all()


def test_copies_and_pickles():
    K = (-((LazyTensor(X[:, None]) - LazyTensor(Y[None])) ** 2).sum(-1)).exp()
    for other in (copy.copy(K), copy.deepcopy(K), pickle.loads(pickle.dumps(K))):
        assert torch.equal(other.sum(1), K.sum(1))


def test_three_thousand_operations_in_a_row():
    K, whole = (Vi(X) - Vj(Y)).sqnorm2(), dense(X, Y)
    K.engine = "tiles"
    for _ in range(1500):
        K, whole = K * 0.5 + 0.1, whole * 0.5 + 0.1
    assert_close(K.sum(1)[:, 0], whole.sum(1))


@pytest.mark.parametrize("engine", ["tiles", "compiled"])
def test_rows_of_nan_have_logarithms_of_nan(engine):
    x = X.clone()
    x[2] = torch.nan
    K = (Vi(x) - Vj(Y)).sqnorm2()
    K.engine = engine
    for found in (K.sum(1), (-K).exp().sum(1), K.logsumexp(1)):
        assert found.isnan().flatten().tolist() == [k == 2 for k in range(7)]


def test_two_formulas_have_the_same_ranges_or_none():
    x = torch.linspace(0, 1, 40, dtype=torch.float64)[:, None]
    near, far = (Blocks(r, size=8).between(x.numpy(), x.numpy()) for r in (0.1, 0.5))
    K, L, plain = (Vi(x).sqdist(Vj(x)).exp() for _ in range(3))
    K.ranges = near
    assert torch.equal((K + plain).sum(1), (plain + K).sum(1))
    L.ranges = Blocks(0.1, size=8).between(x.numpy(), x.numpy())
    assert_close((K + L).sum(1), 2 * K.sum(1))
    L.ranges = far
    for both in (lambda: K + L, lambda: L * K):
        with pytest.raises(ValueError, match="ranges: got two formulas with different ones"):
            both()


def test_nan_is_left_out_of_smallest_and_largest_values(squares):
    """A row of nothing else has infinity, and no place."""
    x, y = X.clone(), Y.clone()
    x[2, 1], y[4] = torch.nan, torch.nan
    K, whole = squares(x, y), dense(x, y)
    rows = [i for i in range(len(x)) if i != 2]
    for name, sign in (("min", 1), ("max", -1)):
        wanted = (sign * whole).nan_to_num(torch.inf).min(1)
        low, places = getattr(K, name)(1)[:, 0], getattr(K, f"arg{name}")(1)[:, 0]
        assert_close(low[rows], sign * wanted.values[rows])
        assert torch.equal(places[rows], wanted.indices[rows])
        assert low[2] == sign * torch.inf and places[2] == -1
    low, places = K.Kmin_argKmin(3, 1)
    assert (low[2] == torch.inf).all() and (places[2] == -1).all()
    assert_close(low, whole.nan_to_num(torch.inf).sort(1).values[:, :3])
    assert not (places == 4).any()


@pytest.mark.parametrize("engine", ["compiled", "tiles"])
@pytest.mark.parametrize("name", ["asin", "acos"])
def test_inverse_functions_keep_their_digits_near_one(name, engine):
    """In single precision, against the double one; derivatives are large there."""
    near = torch.tensor([1e-3, 1e-5, 1e-6])
    x = torch.cat((1 - near, near - 1, near, -near))[:, None].requires_grad_()
    K = getattr(Vi(x) * Vj(torch.ones(1, 1)), name)()
    K.engine = engine
    exact = x.detach().double().requires_grad_()
    for found, wanted in (
        (K.sum(1), getattr(exact, name)()),
        (
            torch.autograd.grad(K.sum(1).sum(), x)[0],
            torch.autograd.grad(getattr(exact, name)().sum(), exact)[0],
        ),
    ):
        torch.testing.assert_close(found.double(), wanted, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("m", [3, 1000])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("engine", ["compiled", "tiles"])
def test_infinite_sums_are_infinite(engine, dtype, m):
    """Of an infinite entry, and of finite ones that are too many; with both signs they are no numbers."""
    huge = torch.finfo(dtype).max / 2
    y = torch.zeros(m, 4, dtype=dtype)
    y[1, 0], y[1, 1], y[:, 2], y[1, 3], y[2, 3] = torch.inf, -torch.inf, huge, torch.inf, -torch.inf
    F = Vi(torch.zeros(5, 1, dtype=dtype)) + Vj(y)
    F.engine = engine
    wanted = torch.tensor([torch.inf, -torch.inf, torch.inf, torch.nan], dtype=dtype)
    torch.testing.assert_close(F.sum(1), wanted.expand(5, 4), equal_nan=True)
    torch.testing.assert_close(F.T.sum(0), wanted.expand(5, 4), equal_nan=True)
    torch.testing.assert_close(F[2] @ torch.ones(m, dtype=dtype), wanted[2].expand(5))
    torch.testing.assert_close(F[0].logsumexp(dim=1), wanted[:1].expand(5, 1))
    log = F[1].logsumexp(dim=1)  # what is not there counts for nothing
    torch.testing.assert_close(log, torch.tensor(m - 1.0, dtype=dtype).log().expand(5, 1))


@pytest.mark.parametrize("engine", ["compiled", "tiles"])
def test_infinite_exponents_stay_where_others_follow(engine):
    """After the first of many blocks of columns, and in all of them."""
    y = torch.zeros(500, 2, dtype=DOUBLE)
    y[0, 0] = y[::70, 1] = torch.inf
    for k in (0, 1):
        F = Vi(torch.zeros(5, 1, dtype=DOUBLE)) + Vj(y)[k]
        F.engine = engine
        assert (F.logsumexp(dim=1) == torch.inf).all()
