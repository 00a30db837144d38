"""``hessian``: the second derivatives of a transport cost as a matrix."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from ..engines.openmp import own_settings
from ..errors import bad_input
from ..formulas import GroundCost
from ..operators.arrays import Array, as_tensor, like
from ..operators.autograd.compiled import eagerly
from ..operators.base import DENSE_LIMIT, Operator
from ..operators.small import product, squares
from .derivatives.curvature import PLACES, Curvature, hessian_product
from .derivatives.implicit import Couple, Own, Side
from .derivatives.sums.coupling import Stored, Summed
from .derivatives.unrolled import UnrolledHessian
from .result import Transport

__all__ = ["TransportHessian", "hessian"]

COLUMNS = 32  # that share a pass over the pairs, where nothing is stored


@eagerly
@own_settings
def hessian(
    transport: Transport, wrt: str = "x", *, method: str = "implicit", n_iter: int | None = None
) -> Operator:
    r"""The Hessian of a transport cost or of a Sinkhorn divergence, as a symmetric operator.

    .. math::
        H = \partial_{\theta\theta} D + \tfrac1\varepsilon B^\top S^+ B + \dots

    the implicit function theorem's, exact where the plan has converged: S is the Schur complement
    of the linearised optimality conditions. ``H @ v`` multiplies vectors ``(N D,)`` and blocks
    ``(N D, R)``, in torch or NumPy; SciPy takes H as it is, or ``H.aslinearoperator()``.
    ``H.to_dense()`` has the shape ``(N, D, N, D)``, or ``(N, N)`` for weights, and the kind of the
    clouds: an array where they were arrays.

    In positions, moving all points by v gives ``H (1 (x) v) = a (x) v`` (balanced, cost
    ``|x - y|^2 / 2``). In weights whose sum is imposed, H is the Hessian on the simplex: it neither
    sees nor returns constants.

    Args:
        transport: what :func:`solve_sample` returned, for one pair of clouds.
        wrt: "x", "y", "a" or "b".
        method: "implicit"; or "unrolled", which differentiates a loop of Sinkhorn updates, for
            comparison.
        n_iter: updates of that loop; None takes as many as the solve took.

    Raises:
        ValueError: if an argument is not as described, or if there is no second derivative: p = 1
            where points meet, a cost that cannot be traced or learns, a plan that falls into parts. A plan
            that has not converged is a warning.

    References:
        Cuturi, Meng-Papaxanthos, Tian, Bunne, Davis and Teboul, 2022, "Optimal transport tools
        (OTT)"; the system: :mod:`sparseot.transport.derivatives.implicit`.

    Example:
        >>> import torch, sparseot
        >>> x, y = torch.eye(3).double(), torch.zeros(1, 3).double()
        >>> H = sparseot.hessian(sparseot.solve_sample(x, y, blur=0.1))
        >>> H.shape, [round(v, 3) for v in (H @ torch.ones(9).double()).tolist()[:3]]
        ((9, 9), [0.333, 0.333, 0.333])
    """
    if not isinstance(transport, Transport):
        fix = "solve_sample(x, y, blur=...) makes one."
        raise bad_input("transport", type(transport).__name__, "a Transport", fix, TypeError)
    if transport.spreads is not None:
        fix = "Use transport.hvp(v), whose vectors are of the points of each rank."
        got, wanted = "a result that several ranks share", "one of this process"
        raise bad_input("transport", got, wanted, fix)
    if transport.batched:
        fix = "transport.hvp(v) multiplies all items."
        raise bad_input("transport", "a batch of clouds", "one pair of them", fix)
    if wrt not in tuple(PLACES):
        raise bad_input("wrt", repr(wrt), 'one of "x", "y", "a", "b"')
    if method not in ("implicit", "unrolled"):
        raise bad_input("method", repr(method), '"implicit" or "unrolled"')
    if n_iter is not None and method == "implicit":
        raise bad_input("n_iter", repr(n_iter), "None", 'It belongs to method="unrolled".')
    if method == "unrolled":
        transport.refuse_moved(wrt)
        steps = transport.n_iter if n_iter is None else n_iter
        unrolled = UnrolledHessian([part.problem for part in transport.solved], wrt, steps)
        unrolled.reference = like(unrolled.reference, transport.reference)
        return unrolled
    return TransportHessian(transport, wrt)


class TransportHessian(Operator):
    """The Hessian in one argument; made by :func:`hessian`."""

    symmetric = True

    def __init__(self, transport: Transport, wrt: str) -> None:
        self.transport, self.wrt = transport, wrt
        self.parts = transport.curvatures(wrt)
        self.chain = transport.chain(wrt, self.parts)
        self.of = tuple(transport.solved[0].moving(wrt).shape[1:])  # (N, D) or (N,)
        self.shape = (math.prod(self.of),) * 2
        self.reference = transport.reference

    def product(self, v: Tensor) -> Tensor:
        times = self.chain.product if self.chain else hessian_product
        found = times(self.parts, self.wrt, v.detach().double().view(*self.of, -1))
        return found.reshape(v.shape).to(v.dtype)

    def transpose(self) -> Operator:
        return self

    def diagonal(self) -> Array:
        return self.to_dense().reshape(self.shape).diagonal()

    @own_settings
    def to_dense(self) -> Array:
        """The whole Hessian, ``(N, D, N, D)`` or ``(N, N)``; refused above 2^28 numbers."""
        size = self.shape[0]
        if size**2 > DENSE_LIMIT:
            raise bad_input(
                "to_dense()",
                f"{size:,} x {size:,} numbers, {8 * size**2 / 2**30:.0f} GiB",
                "at most 2^28 numbers",
                "Multiply instead: hessian(transport) @ v, or transport.hvp(v).",
            )
        found = self._dense.reshape(self.of + self.of)
        return like(found.to(as_tensor(self.reference, self.reference)), self.reference)

    @cached_property
    def _dense(self) -> Tensor:
        radial = isinstance(self.parts[0].here.e.at.cost, GroundCost)
        stored = all(isinstance(part.here.e, Stored) for part in self.parts)
        if stored and (radial or self.wrt in "ab"):
            found = self._assembled()
            return self.chain.around(found) if self.chain else found
        eye = torch.eye(self.shape[0], dtype=torch.float64, device=self.parts[0].here.a.device)
        columns = [self.product(block) for block in eye.split(COLUMNS, 1)]
        found = torch.cat(columns, 1)
        return (found + found.mT) / 2

    def _assembled(self) -> Tensor:
        build = _in_points if self.wrt in "xy" else _in_weights
        build_own = _own_in_points if self.wrt in "xy" else _own_in_weights
        first = self.parts[0]
        sides = (first.here, first.there) if self.wrt in "xa" else (first.there, first.here)
        found = build(*sides, self.parts[0].system.tol)
        if len(self.parts) > 1:
            found = found - build_own(self.parts[1])
            if self.wrt in "ab" and not first.balanced:  # of eps (m_a - m_b)^2 / 2
                found = found + first.eps
        if first.balanced and self.wrt in "ab":
            found = found - found.mean(0)
            found = found - found.mean(1, keepdim=True)
        return found

    @property
    def residual(self) -> float:
        """The largest relative residual of the systems that were solved by iteration so far."""
        return max(part.solver.residual for part in self.parts)

    def __repr__(self) -> str:
        found = self.transport
        kind = "Sinkhorn divergence" if found.debias else "transport cost"
        e = self.parts[0].here.e
        how = "all pairs, factored"
        if isinstance(e, Summed):
            kept = e.pairs is not None
            pairs = f"{100 * found.kept_fraction:.2g} % of the pairs" if kept else "all pairs"
            how = f"{pairs}, conjugate gradients, residual {self.residual:.1e}"
        state = f"marginals off by {found.residual:.1e}"
        state = state if found.converged else f"NOT CONVERGED, {state}"
        rows, cols = self.shape
        return f"<Hessian of a {kind} in {self.wrt}, {rows:,} x {cols:,}, {how}, {state}>"


def _in_points(here: Side, there: Side, tol: float) -> Tensor:
    """Stored: ``blockdiag(bend + a tau / r force force') + Y' S^+ Y``, ``(N D, N D)``."""
    assert isinstance(here.e, Stored)
    x, y = here.e.at.points
    (n, dim), force, ratio = x.shape, here.force, here.tau * here.inverse
    pulls = _times(here.e, 1)[..., None] * (x[:, None] - y)  # d_1 C times e, (N, M, D)
    spread = pulls - here.e.matrix[..., None] * (ratio[:, None] * force)[:, None]
    right = (here.a[:, None, None] * there.a[:, None] * spread).transpose(0, 1)
    half = Couple(here, there, tol, flipped=False).schur.half(right.reshape(len(there.a), -1))
    found = product(half.mT, half) / here.eps
    blocks = here.stiffness + (ratio / here.eps)[:, None, None] * force[:, :, None] * force[:, None]
    index = torch.arange(n, device=found.device)
    found.view(n, dim, n, dim)[index, :, index] += here.a[:, None, None] * blocks
    return found


def _times(e: Stored, k: int) -> Tensor:
    """The entries times the k-th profile of the cost, ``(N, M)``."""
    assert isinstance(e.at.cost, GroundCost)
    profile = e.at.cost.profiles(e.at.eps)[k]
    return e.matrix * profile.polynomial(squares(*e.at.points))


def _in_weights(here: Side, there: Side, tol: float) -> Tensor:
    """Stored: ``eps (b e)' S^+ (b e)``, ``(N, N)``."""
    assert isinstance(here.e, Stored)
    right = there.a[:, None] * here.e.matrix.mT
    half = Couple(here, there, tol, flipped=False).schur.half(right)
    return here.eps * product(half.mT, half)


def _own_in_points(part: Curvature) -> Tensor:
    """Half the Hessian of a cloud and itself, stored, ``(N D, N D)``."""
    side, system = part.here, part.system
    assert isinstance(side.e, Stored) and isinstance(system, Own)
    x, a = side.e.at.points[0], side.a
    (n, dim), apart = x.shape, x[:, None] - x
    slopes, bends = _times(side.e, 1), _times(side.e, 2)
    index = torch.arange(n, device=a.device)
    right = -(a[:, None] * a * slopes)[..., None] * apart
    right[index, index] += a[:, None] * side.force
    half = system.system.half(right.view(n, -1))
    found = (product(half.mT, half) / side.eps).view(n, dim, n, dim)
    weights = a[:, None] * a
    second = (weights * bends)[..., None] * apart
    found -= second.permute(0, 2, 1)[..., None] * apart[:, None]
    diagonal = found.diagonal(dim1=1, dim2=3)
    diagonal -= (weights * slopes)[..., None]
    found[index, :, index] += a[:, None, None] * side.stiffness
    return found.reshape(n * dim, n * dim)


def _own_in_weights(part: Curvature) -> Tensor:
    """Half the Hessian of a cloud and itself in its weights, stored, ``(N, N)``."""
    side, system = part.here, part.system
    assert isinstance(side.e, Stored) and isinstance(system, Own)
    e = side.e.matrix
    half = system.system.half(side.a[:, None] * e)
    return side.eps * (product(half.mT, half) - e + 1)
