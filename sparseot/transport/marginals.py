r"""How the marginals of a plan are held: imposed, or penalised by a Kullback-Leibler divergence.

Writing :math:`E_f = \langle a, e^{-f/\rho} - 1 \rangle`, the dual value of the penalised problem
after an exact update of both potentials is

.. math::
    OT = -(\rho + \varepsilon/2) (E_f + E_g) + \varepsilon\, (m_a m_b - (m_a + m_b) / 2),

while its derivatives, by the envelope theorem, are those of the same expression with
:math:`\rho + \varepsilon` and :math:`\varepsilon\, (m_a m_b - m_a - m_b)` (Séjourné, Feydy, Vialard,
Trouvé and Peyré, 2019, proposition 12). As rho grows, the penalty tends to the constraint.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from torch import Tensor

from ..points import Points, check_balanced

__all__ = ["Balanced", "KullbackLeibler", "Marginals", "marginals"]


class Marginals(ABC):
    """A penalty on both marginals, seen through the dual problem."""

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

    def damping(self, eps: Tensor | float) -> Tensor | float:
        """``rho / (rho + eps)``."""
        return 1 / (1 + eps / self.rho)

    def check(self, source: Points, target: Points) -> None:
        """Any masses will do."""

    def saturated(self, f: Tensor, eps: float) -> Tensor:
        """``(rho + eps) (1 - exp(-f / rho))``, at most ``rho + eps``."""
        return -(self.rho + eps) * (-f / self.rho).expm1()

    def value(self, source: Points, target: Points, f: Tensor, g: Tensor, eps: float) -> Tensor:
        """The formula of this module; what is detached corrects the value, not its derivative."""
        ma, mb = source.mass, target.mass
        excess = (source.weights * (-f / self.rho).expm1()).sum(-1)
        excess = excess + (target.weights * (-g / self.rho).expm1()).sum(-1)
        kept = excess + ma + mb
        return eps * (ma * mb - ma - mb) - (self.rho + eps) * excess + (eps / 2 * kept).detach()


def marginals(reach: float | None, p: int) -> Marginals:
    """The penalty of that reach, a length; None imposes the marginals."""
    return Balanced() if reach is None else KullbackLeibler(reach**p)
