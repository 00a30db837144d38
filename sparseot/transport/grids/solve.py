r"""``solve_grid``: entropic transport between images and volumes, to a tolerance."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from ...engines.grids.engine import GridEngine
from ...engines.openmp import own_settings
from ...errors import bad_input
from ...formulas import as_cost
from ...operators.arrays import Array, like, of_one_kind
from ...operators.autograd.compiled import eagerly
from ...points import check_positive
from ...precision import at_least_single
from ..derivatives.solved import say_what_failed
from ..marginals import Reach
from ..posed import solve_points, with_tolerance
from ..result import Transport
from ..solvers.progress import deferred
from ..solvers.sinkhorn import Sinkhorn
from .images import as_axes, grid_clouds, same_grid
from .pyramid import GridSinkhorn
from .result import GridTransport

__all__ = ["grid_solver", "solve_grid"]


@eagerly
@own_settings
def solve_grid(
    a: Array,
    b: Array,
    *,
    blur: float,
    spacing: Any = 1.0,
    dim: int | None = None,
    reach: Reach = None,
    debias: bool = False,
    tol: float = 1e-3,
    solver: Sinkhorn | None = None,
    init: GridTransport | None = None,
) -> GridTransport:
    r"""Entropic optimal transport between images on one regular grid, to a tolerance.

    The problem is that of :func:`solve_sample` between the centres of pixels, with the cost :math:`|x -
    y|^2 / 2` in the units of ``spacing``, the temperature :math:`\varepsilon = \text{blur}^2`, and what
    images hold as weights. Its kernel is a product over the axes, so that no pair of pixels is visited:
    a softmin is a few matrix products along each axis, exact to rounding at any blur.

    Args:
        a: ``(*batch, *grid)`` weights, zero or positive, tensor or NumPy array; the grid has one, two or
            three axes. All is computed in double precision; results have the dtype of the images.
        b: likewise, on the same grid. One of both may lack the batch.
        blur: smoothing length, in the units of ``spacing``.
        spacing: distance of neighbouring pixels: one number, or one for each axis of the grid.
        dim: how many of the last axes are those of the grid; all before them, as those of a batch or of
            channels, are independent problems. None takes as many as there are numbers in ``spacing``,
            and all axes where that is one number: ``(B, H, W)`` is a volume unless ``dim=2``.
        reach: length above which mass is rather created and destroyed than moved; a pair for different
            lengths on the side of a and of b. None asks for equal masses.
        debias: subtract half of the cost of each image to itself from the value.
        tol: L1 error of the marginals of the plan, relative to the mass.
        solver: options, as ``Sinkhorn(max_sweeps=..., progress=True)``.
        init: an earlier result for images of the same shape, to start from.

    Returns:
        A :class:`GridTransport`. The value has exact first and second derivatives in a and b, the
        potentials first ones.

    Raises:
        ValueError, TypeError: if an argument is not as described. Not reaching the tolerance is
        a warning, and ``converged`` is False.

    References:
        Solomon et al., 2015, "Convolutional Wasserstein distances", section 3.

    Example:
        >>> import torch
        >>> a, b = torch.zeros(2, 8, 8)
        >>> a[1, 1] = b[4, 5] = 1
        >>> found = solve_grid(a, b, blur=0.5)
        >>> print(f"{found.value:.2f}", found.displacement()[1, 1].tolist())
        12.50 [3.0, 4.0]
    """
    (a, b), first = of_one_kind(a=a, b=b)
    axes = same_grid(*(as_axes(n, t, spacing, dim) for n, t in (("a", a), ("b", b))))
    check_positive(blur=blur)
    if init is not None and not isinstance(init, GridTransport):
        raise bad_input("init", type(init).__name__, "an earlier GridTransport", kind=TypeError)
    how = grid_solver(solver, axes.engine, tol)
    source, target = grid_clouds(a, b, axes)
    options: dict[str, Any] = {"blur": blur, "reach": reach, "debias": debias}
    with deferred():
        start = None if init is None else init.flat
        solved = solve_points(
            source, target, as_cost(None, 2), p=2, **options, solver=how, init=start
        )
        say_what_failed(solved)
        single, _ = at_least_single(a, b)[:2]
        reference = like(single.detach().new_empty(0), first)
        return GridTransport(Transport(solved, bool(axes.batch), reference, how), axes)


def grid_solver(solver: Sinkhorn | None, grid: GridEngine, tol: float) -> GridSinkhorn:
    """The options of a solver, on a grid."""
    how = with_tolerance(Sinkhorn() if solver is None else solver, tol)
    if how.engine != "auto" or how.multilevel is not None:
        name = "engine" if how.engine != "auto" else "multilevel"
        fix = "A grid has sums and levels of its own: leave it out."
        raise bad_input(f"solver.{name}", repr(getattr(how, name)), "its default", fix)
    options = {field.name: getattr(how, field.name) for field in fields(Sinkhorn)}
    return GridSinkhorn(**(options | {"engine": grid}))
