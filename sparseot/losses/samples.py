"""``SamplesLoss``: GeomLoss's front door, with its arguments and its numbers."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from ..engines.base import Engine
from ..engines.choose import ENGINES
from ..engines.openmp import own_settings
from ..engines.ranks.group import Ranks, alive, weak
from ..engines.ranks.rows import SharedRows
from ..errors import bad_input, warn_user
from ..formulas import Energy, Gaussian, Laplacian, Opaque, Radial, as_cost, ground_cost, is_object
from ..operators.arrays import Array, answered, of_one_kind
from ..operators.autograd.compiled import one_operator
from ..operators.autograd.over_ranks import on_ranks
from ..operators.autograd.spread import Spread, group_of
from ..points import check_positive, refuse_map
from ..ragged.batches import as_batches
from ..transport.marginals import marginals
from ..transport.solvers.annealing import AveragedAnnealing
from ..transport.solvers.sinkhorn import Sinkhorn
from .hausdorff import hausdorff_divergence
from .kernel_norms import kernel_norm
from .shapes import empty_losses
from .sinkhorn import divergence_apart, sinkhorn_divergence

__all__ = ["SamplesLoss"]

KERNELS: dict[str, Callable[[float | Tensor], Radial]] = {
    "gaussian": Gaussian,
    "laplacian": Laplacian,
    "energy": lambda blur: Energy(),
}
LOSSES = ("sinkhorn", "hausdorff", *KERNELS)
DEFAULTS = {
    "reach": None,
    "diameter": None,
    "scaling": 0.5,
    "truncate": 5,
    "cost": None,
    "kernel": None,
    "cluster_scale": None,
    "debias": True,
    "verbose": False,
}
MULTISCALE = 1e8  # pairs above which GeomLoss goes multiscale,
TOL = 1e-3  # and the tolerance to which these are solved
Cloud = Tensor | None


class SamplesLoss(torch.nn.Module):
    r"""A distance between two weighted point clouds, as a function to be called in a training loop.

    ``loss(x, y)`` compares uniform weights, ``loss(a, x, b, y)`` weighted ones. It accepts the
    arguments of GeomLoss's ``SamplesLoss`` and returns the same numbers, its known errors apart
    (see "Coming from GeomLoss" in the documentation). Points and weights are tensors of any
    precision, or NumPy arrays, of the shapes of :func:`sinkhorn_divergence`.

    Args:
        loss: "sinkhorn", "hausdorff", or a kernel norm: "gaussian", "laplacian", "energy".
        p: exponent of the ground cost ``|x - y|^p / p``, 1 or 2 (sinkhorn, hausdorff).
        blur: smoothing length in the units of the points; the width of the kernels, and
            ``eps = blur**p`` for transport. A tensor of one is differentiated in, for "gaussian" and
            "laplacian"; a parameter is one of the loss.
        reach: length above which mass is created and destroyed; None keeps all mass.
        diameter: length at which the annealing starts; None takes the diagonal of the box.
        scaling: ratio of successive blurs in the annealing, in (0, 1); near 1 is slow and precise.
        truncate: accepted for compatibility; every pair is summed.
        cost: an object of :mod:`sparseot.costs`; a function of ``(B, N, D)`` and ``(B, M, D)`` tensors that returns ``(B, N, M)``
            costs, in the place of ``|x - y|^p / p``; or a KeOps formula of X and Y, as a string.
        kernel: a symmetric function ``kernel(x, y, blur=...)``, likewise, in the place of the
            kernel norm's own.
        cluster_scale: accepted for compatibility.
        debias: False returns the entropic cost itself, with its bias (sinkhorn).
        potentials: return a pair of dual potentials, of the shapes of the weights without a
            trailing 1, instead of the value.
        verbose: accepted for compatibility.
        backend: "auto" or the name of an engine; GeomLoss's names are accepted and mean "auto".
            Where GeomLoss goes multiscale ("multiscale", or more than 1e8 pairs; unbatched,
            D <= 3), the loss is solved to tol = 1e-3 on the pairs that matter.
        tol: solve to this L1 error of the marginals, relative to the mass (sinkhorn), in the place
            of GeomLoss's schedule: then ``scaling`` and ``diameter`` have no effect.
        group: processes of ``torch.distributed``, each of which calls the loss with its rows of x and y
            (see "On many machines" in the guide).

    Raises:
        ValueError, TypeError: if an argument is not as described.

    References:
        Feydy et al., 2019, "Interpolating between optimal transport and MMD using Sinkhorn
        divergences"; Feydy, 2020, sections 3.2 and 3.3.

    Example:
        >>> x, y = torch.zeros(1, 2), torch.tensor([[3.0, 4.0]], requires_grad=True)
        >>> loss = SamplesLoss("sinkhorn", p=2, blur=0.1)(x, y)
        >>> (gradient,) = torch.autograd.grad(loss, y)
        >>> print(f"{loss.item():.2f}", gradient.round(decimals=3).tolist())
        12.50 [[3.0, 4.0]]
    """

    def __init__(
        self,
        loss: str = "sinkhorn",
        p: int = 2,
        blur: float | Tensor = 0.05,
        reach: float | None = None,
        diameter: float | None = None,
        scaling: float = 0.5,
        truncate: float | None = 5,
        cost: Any = None,
        kernel: Any = None,
        cluster_scale: float | None = None,
        debias: bool = True,
        potentials: bool = False,
        verbose: bool = False,
        backend: str = "auto",
        tol: float | None = None,
        group: Any = None,
    ) -> None:
        super().__init__()
        if loss not in LOSSES:
            raise bad_input("loss", repr(loss), "one of " + ", ".join(f'"{n}"' for n in LOSSES))
        given = {name: value for name, value in locals().items() if name in DEFAULTS}
        check_positive(blur=_number(blur, loss), diameter=diameter, tol=tol)
        marginals(reach, p), Sinkhorn(tol)  # these check their arguments
        AveragedAnnealing(scaling, diameter), ground_cost(p)  # these check their arguments
        self.loss, self.p, self.blur, self.reach, self.diameter = loss, p, blur, reach, diameter
        self.scaling, self.debias, self.potentials, self.tol = scaling, debias, potentials, tol
        self.group = group
        parts = [part for part in (cost, kernel) if not is_object(part)]
        learned = [part for part in parts if isinstance(part, torch.nn.Module)]
        if learned:
            self.learned = torch.nn.ModuleList(learned)  # so that parameters() finds theirs
        cost = _last(cost)
        own = cost is None or is_object(cost)
        self.cost = cost if own else as_cost(cost, p)
        self.kernel = None if kernel is None else _kernel(kernel, blur)
        self.backend, self.engine = backend, _engine(backend)
        _say_what_is_ignored(loss, given, tol)

    @property
    def group(self) -> Any:
        """The processes whose rows are put together; None where there are none."""
        return alive(self._group, "SamplesLoss")

    @group.setter
    def group(self, group: Any) -> None:
        self._group = weak(group)

    @one_operator(lambda loss, *args, **batch: loss._empty(*args, **batch), reads=("potentials",))
    @own_settings
    def forward(self, *args: Array, batch: Any = None) -> Array | tuple[Array, Array]:
        """The loss of ``(x, y)`` or ``(a, x, b, y)``, as in :func:`sinkhorn_divergence`.

        With ``batch=(batch_x, batch_y)`` points are of several clouds, as there.
        """
        x, y, a, b = _unpack(args)
        group = group_of(self.group, x, y, a, b)
        if group is not None:
            return self._on_ranks(group, {"x": x, "y": y, "a": a, "b": b}, batch)
        sets = as_batches(x, y, a, b, batch, alone=self.backend == "multiscale")
        if sets is not None:
            return sets.answers(self._loss)
        tensors, reference = of_one_kind(x=x, y=y, a=a, b=b)
        return answered(self._loss(*tensors), reference)

    def _on_ranks(self, group: Any, clouds: dict[str, Any], batch: Any) -> Any:
        """The loss of clouds whose rows the ranks of a group have."""

        def solve(whole: dict[str, Any], spreads: dict[str, Spread], ranks: Ranks) -> Any:
            (x, y, a, b), reference = of_one_kind(**whole)
            found = answered(self._loss(x, y, a, b, SharedRows(self.engine, ranks)), reference)
            if not self.potentials:
                return found
            return tuple(spreads[s].own(part) for s, part in zip("xy", found, strict=True))

        def apart(spreads: dict[str, Spread], kind: Array, ranks: Ranks) -> Any:
            if self.loss != "sinkhorn" or spreads["x"].local.dim() != 2:
                return None
            how: dict[str, Any] = {"engine": SharedRows(self.engine, ranks), "tol": TOL}
            how["solver"] = self._solver(*(spreads[name].like for name in "xy"))
            for name in ("p", "blur", "reach", "cost", "debias", "diameter", "potentials"):
                how[name] = getattr(self, name)
            return divergence_apart(spreads, kind, **how)

        shown = {"loss": self.loss, "options": self.extra_repr(), "batch": batch}
        return on_ranks("SamplesLoss", group, clouds, shown, solve, apart)

    def _empty(self, *args: Tensor, batch: Any = None) -> Tensor | tuple[Tensor, ...]:
        x, y, a, b = _unpack(args)
        return empty_losses(x, y, a, b, batch=batch, potentials=self.potentials)

    def _loss(
        self, x: Tensor, y: Tensor, a: Cloud, b: Cloud, engine: str | Engine | None = None
    ) -> Tensor | tuple[Tensor, Tensor]:
        engine = self.engine if engine is None else engine
        common: dict[str, Any] = {"potentials": self.potentials, "engine": engine}
        if self.loss in KERNELS:
            kernel = self.kernel or KERNELS[self.loss](self.blur)
            return kernel_norm(x, y, a, b, kernel=kernel, **common)
        common |= {"p": self.p, "blur": self.blur, "reach": self.reach, "cost": self.cost}
        if self.loss == "hausdorff":
            return hausdorff_divergence(x, y, a, b, **common)
        return sinkhorn_divergence(
            x,
            y,
            a,
            b,
            debias=self.debias,
            diameter=self.diameter,
            solver=self._solver(x, y),
            **common,
        )

    def _solver(self, x: Any, y: Any) -> Sinkhorn | AveragedAnnealing:
        """The schedule, or a tolerance: asked for, or where GeomLoss goes multiscale."""
        if self.tol:
            return Sinkhorn(self.tol)
        asked = self.backend == "multiscale"
        if isinstance(x, Tensor) and isinstance(y, Tensor) and self.cost is None:
            large = x.shape[-2:-1].numel() * y.shape[-2:-1].numel() > MULTISCALE
            low = x.dim() == 2 and x.shape[-1] <= 3
            if low and (asked or (large and self.backend == "auto")):
                return Sinkhorn(TOL)
        return AveragedAnnealing(self.scaling)

    def extra_repr(self) -> str:
        """The arguments that matter for this loss."""
        shown = ["blur"] if self.loss in KERNELS else ["p", "blur", "reach"]
        schedule = "scaling" if self.tol is None else "tol"
        shown += [schedule, "debias"] if self.loss == "sinkhorn" else []
        values = {name: getattr(self, name) for name in shown}
        numbers = {k: v.item() if isinstance(v, Tensor) else v for k, v in values.items()}
        return ", ".join([repr(self.loss)] + [f"{k}={v!r}" for k, v in numbers.items()])


def _unpack(args: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(args) == 2:
        return args[0], args[1], None, None
    if len(args) == 4:
        a, x, b, y = args
        return x, y, a, b
    if len(args) == 6:
        fix = "Drop the cluster labels: loss(a, x, b, y)."
        raise bad_input("loss(...)", "labels (l_x, a, x, l_y, b, y)", "(a, x, b, y)", fix)
    raise bad_input("loss(...)", f"{len(args)} arguments", "(x, y) or (a, x, b, y)", kind=TypeError)


def _number(blur: Any, loss: str) -> Any:
    """The blur without its gradient, for the losses that have one in it."""
    if not (loss in ("gaussian", "laplacian") and isinstance(blur, Tensor) and blur.numel() == 1):
        return blur
    refuse_map(blur, "blur")
    return blur.item()


def _last(cost: Any) -> Any:
    """GeomLoss's multiscale backend wants a pair, a KeOps formula and a function: the function."""
    return cost[-1] if isinstance(cost, tuple) and cost else cost


def _kernel(kernel: Any, blur: float | Tensor) -> Opaque:
    """GeomLoss hands blur, use_keops and ranges to a kernel; here, those that it knows."""
    if isinstance(kernel, Radial) or not callable(kernel):
        fix = "Kernels by name are losses: SamplesLoss('gaussian'); formulas go to kernel_norm."
        raise bad_input("kernel", repr(kernel), "a function of (x, y, blur=...)", fix, TypeError)
    offered = {"blur": blur, "use_keops": False, "ranges": None}
    known = inspect.signature(kernel).parameters
    if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in known.values()):
        offered = {name: value for name, value in offered.items() if name in known}
    return Opaque(partial(kernel, **offered))


def _engine(backend: str) -> str:
    compatible = ("auto", "tensorized", "online", "multiscale")
    if backend in ENGINES:
        return backend
    if backend not in compatible:
        known = ", ".join(f'"{name}"' for name in (*compatible, *ENGINES))
        raise bad_input("backend", repr(backend), f"one of {known}")
    return "auto"


def _say_what_is_ignored(loss: str, given: dict[str, Any], tol: float | None) -> None:
    """One warning for each argument that differs from its default and changes nothing."""
    without_effect = ["truncate", "cluster_scale", "verbose"]
    without_effect += ["cost", "reach"] if loss in KERNELS else ["kernel"]
    without_effect += [] if loss == "sinkhorn" else ["debias"]
    without_effect += [] if loss == "sinkhorn" and tol is None else ["scaling", "diameter"]
    for name in without_effect:
        if given[name] is not DEFAULTS[name] and given[name] != DEFAULTS[name]:
            warn_user(f'{name} has no effect on the loss "{loss}".', UserWarning)
