r"""How the marginals of a plan are held: imposed, or penalised by a Kullback-Leibler divergence.

Writing :math:`E_f = \langle a, e^{-f/\rho} - 1 \rangle`, the dual value of the penalised problem
after an exact update of both potentials is

.. math::
    OT = -(\rho + \varepsilon/2) (E_f + E_g) + \varepsilon\, (m_a m_b - (m_a + m_b) / 2),

while its derivatives, by the envelope theorem, are those of the same expression with
:math:`\rho + \varepsilon` and :math:`\varepsilon\, (m_a m_b - m_a - m_b)` (Séjourné, Feydy, Vialard,
Trouvé and Peyré, 2019, proposition 12). As rho grows, the penalty tends to the constraint.

Debiased, masses that differ add :math:`\tfrac\varepsilon2 (m_a - m_b)^2` to the divergence (the same
authors, definition 6): it makes it positive, and zero for equal measures only.

Points without mass do not count, however far they are: the exponential of a potential of theirs may
be beyond all numbers, and is held at a large one, which their weight then removes.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import bad_input
from ..points import Points, check_balanced, check_positive

__all__ = ["Balanced", "KullbackLeibler", "Marginals", "Sides", "marginals"]


LARGEST = {torch.float32: 85.0, torch.float64: 600.0}  # exponents whose exponentials are numbers
BOUNDED = (
    40.0  # of points without mass: squares of their exponentials are numbers, in all precisions
)


class Marginals(ABC):
    """A penalty on both marginals, seen through the dual problem."""

    @property
    @abstractmethod
    def rhos(self) -> tuple[float, float]:
        """Weight of the penalty on either side; infinite where it is imposed."""

    @property
    def imposed(self) -> bool:
        """Whether both marginals are imposed."""
        return all(map(math.isinf, self.rhos))

    def swapped(self) -> Marginals:
        """The penalty seen from the target; the same where both sides are held alike."""
        return self

    def wanted(self, side: int, h: Any) -> Any:
        """What a potential wants its marginal to be, relative to the weights: ``exp(-h / rho)``.

        For arrays and tensors; one where the marginal is imposed.
        """
        return 1.0 if math.isinf(self.rhos[side]) else _exponential(-h / self.rhos[side])

    def damped(self, side: int, softmin: Tensor, eps: float) -> Tensor:
        """The update of a potential, told its softmin."""
        rho = self.rhos[side]
        return softmin if math.isinf(rho) else softmin / (1 + eps / rho)

    def worth(self, side: int, h: Any) -> Any:
        """What a potential adds to the dual objective for a unit of weight: h, or its price.

        The price is ``-rho (exp(-h / rho) - 1)``, the conjugate of the penalty.
        """
        rho = self.rhos[side]
        return h if math.isinf(rho) else -rho * _exponential(-h / rho, minus_one=True)

    def held(self, side: int, h: Tensor, weights: Tensor, eps: float) -> Tensor:
        """The potential, lowered at points without weight whose rows of the plan know no bound.

        At an optimum rows sum to ``exp(-h / rho)`` for a unit of weight.
        """
        if math.isinf(self.rhos[side]):
            return h
        excess = (-h / self.rhos[side] - BOUNDED).clamp(min=0)
        return h - eps * excess.where(weights == 0, 0.0)

    def mass_term(self, source: Points, target: Points, eps: float) -> Tensor:
        """What a debiased divergence adds for masses that differ, ``(B,)``."""
        difference = source.mass - target.mass
        if self.imposed:  # they differ by rounding
            difference = torch.zeros_like(difference)
        return eps / 2 * difference**2

    @abstractmethod
    def damping(self, eps: Tensor | float) -> Tensor | float:
        """Factor of the softmin in the update of a potential at temperature ``eps``."""

    @abstractmethod
    def check(self, source: Points, target: Points) -> None:
        """Raises ValueError where no plan could hold these marginals."""

    @abstractmethod
    def saturated(self, f: Tensor, eps: float) -> Tensor:
        """What a potential is worth as a distance, in the Hausdorff divergence."""

    @abstractmethod
    def value(self, source: Points, target: Points, f: Tensor, g: Tensor, eps: float) -> Tensor:
        """The dual value ``(B,)`` with the envelope's derivatives.

        ``f`` ``(B, N)`` and ``g`` ``(B, M)`` are damped softmins with their graphs: f moves with
        the source only, g with the target only.
        """


@dataclass(frozen=True)
class Balanced(Marginals):
    """Marginals imposed: ``P 1 = a``, ``P' 1 = b``."""

    rhos = (math.inf, math.inf)

    def damping(self, eps: Tensor | float) -> Tensor | float:
        """No damping."""
        return 1.0

    def check(self, source: Points, target: Points) -> None:
        """Masses must be equal."""
        check_balanced(source, target)

    def saturated(self, f: Tensor, eps: float) -> Tensor:
        """The potential itself."""
        return f

    def value(self, source: Points, target: Points, f: Tensor, g: Tensor, eps: float) -> Tensor:
        """``<a, f> + <b, g> + eps * (m_a m_b - m)``; derivatives hold at constant mass."""
        ma, mb = source.mass.detach(), target.mass.detach()
        dual = (source.weights * f).sum(-1) + (target.weights * g).sum(-1)
        return dual + eps * (ma * mb - (ma + mb) / 2)


@dataclass(frozen=True)
class KullbackLeibler(Marginals):
    """Marginals penalised: ``rho * KL(P 1 | a) + rho * KL(P' 1 | b)``."""

    rho: float

    @property
    def rhos(self) -> tuple[float, float]:
        """The same on both sides."""
        return self.rho, self.rho

    def damping(self, eps: Tensor | float) -> Tensor | float:
        """``rho / (rho + eps)``."""
        return 1 / (1 + eps / self.rho)

    def check(self, source: Points, target: Points) -> None:
        """Any masses will do."""

    def saturated(self, f: Tensor, eps: float) -> Tensor:
        """``(rho + eps) (1 - exp(-f / rho))``, at most ``rho + eps``."""
        return (1 + eps / self.rho) * self.worth(0, f)

    def value(self, source: Points, target: Points, f: Tensor, g: Tensor, eps: float) -> Tensor:
        """The formula of this module; what is detached corrects the value, not its derivative."""
        ma, mb = source.mass, target.mass
        worths = (
            cloud.weights * self.worth(0, _bounded(h, cloud.weights, self.rho))
            for cloud, h in ((source, f), (target, g))
        )
        excess = -sum(w.sum(-1) for w in worths) / self.rho
        kept = excess + ma + mb
        return eps * (ma * mb - ma - mb) - (self.rho + eps) * excess + (eps / 2 * kept).detach()


@dataclass(frozen=True)
class Sides(Marginals):
    """Each marginal held in its own way: imposed where its rho is infinite, penalised elsewhere.

    What is not symmetric has no single damping and no averaged schedule: solvers to a tolerance
    read ``rhos``.
    """

    first: float
    second: float

    @property
    def rhos(self) -> tuple[float, float]:
        """Those of the source and of the target."""
        return self.first, self.second

    def swapped(self) -> Sides:
        """Both sides exchanged."""
        return Sides(self.second, self.first)

    def check(self, source: Points, target: Points) -> None:
        """One penalty is enough to hold any masses."""

    def damping(self, eps: Tensor | float) -> Tensor | float:
        """There is none that serves both sides."""
        raise bad_input(
            "reach", "a pair", "one length for both clouds", "Solve to a tolerance: tol=..."
        )

    def saturated(self, f: Tensor, eps: float) -> Tensor:
        """Neither is there one worth."""
        return self.damping(eps) * f

    def value(self, source: Points, target: Points, f: Tensor, g: Tensor, eps: float) -> Tensor:
        """Its derivatives are those of one penalty; a side that is imposed adds ``<a, f>``."""
        ma, mb = source.mass, target.mass
        total = eps * (ma * mb - ma - mb)
        for side, (cloud, h) in enumerate(((source, f), (target, g))):
            h = _bounded(h, cloud.weights, self.rhos[side])
            worth = (1 + eps / self.rhos[side]) * self.worth(side, h)
            total = total + (cloud.weights * worth).sum(-1)
        return total


def _bounded(h: Tensor, weights: Tensor, rho: float) -> Tensor:
    """A potential whose exponentials are moderate at points without weight, for the gradient there."""
    return h.where((weights > 0) | (h > -BOUNDED * rho), -BOUNDED * rho)


def _exponential(t: Any, minus_one: bool = False) -> Any:
    """The exponential of an array or a tensor, less one if asked, held where it would be infinite."""
    if isinstance(t, Tensor):
        t = t.clamp(max=LARGEST[t.dtype])
        return t.expm1() if minus_one else t.exp()
    t = np.minimum(t, LARGEST[torch.float64])
    return np.expm1(t) if minus_one else np.exp(t)


Reach = float | tuple[float | None, float | None] | None


def marginals(reach: Reach, p: float) -> Marginals:
    """The penalty of that reach, a length or one for each side; None imposes the marginals."""
    if isinstance(reach, tuple | list):
        if len(reach) != 2:
            raise bad_input("reach", f"{len(reach)} lengths", "one length, or a pair of them")
        check_positive(**{"reach[0]": reach[0], "reach[1]": reach[1]})
        if reach[0] != reach[1]:
            rhos = (math.inf if length is None else float(length) ** p for length in reach)
            return Sides(*rhos)
        reach = reach[0]
    check_positive(reach=reach)
    return Balanced() if reach is None else KullbackLeibler(float(reach) ** p)
