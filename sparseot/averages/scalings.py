r"""Weights of points that stay, by the scalings of Janati, Cuturi and Gramfort, 2020, algorithm 1, in logarithms.

All plans :math:`P_k = u_k(x) \, e^{-C / \varepsilon} \, b_k e^{g_k / \varepsilon}` are found together with their common
marginal a. With the softmins :math:`\varphi_k` of :math:`g_k` at the points,

.. math::
    a = d \, e^{-\sum_k w_k \varphi_k / \varepsilon}, \qquad u_k = a \, e^{\varphi_k / \varepsilon}, \qquad
    d^2 \gets d \, a / (K d),

and :math:`g_k` is the softmin of :math:`u_k`. Where nothing changes, :math:`d = a e^{h / \varepsilon}` with the potential h of
the average and itself, and :math:`\sum_k w_k \varphi_k = h` up to a constant: the gradient of the divergences vanishes. Without debiasing d is a,
and :math:`u_k = d \, e^{(\varphi_k - \sum_l w_l \varphi_l) / \varepsilon}` follows it at once: with the d of the update before, whatever mass
far groups lack is added twice, and they take it from each other for ever.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ..engines.base import Reductions
from ..engines.choose import choose_engine
from ..points import log_weights
from ..transport.solution import Potentials
from ..transport.solvers.course import temperatures
from .descent import Moves, Step
from .objective import Objective, Place, Support

__all__ = ["Scalings"]

RATIO, COARSE = 4.0, 20  # of successive temperatures, and updates at each
ROUND = 30  # updates at the last one, after which the objective is looked at


class Scalings:
    """Weights on points that stay; balanced transport, over all pairs.

    Args:
        objective: what is to fall.
        start: the points, and weights to start from.
        moves: the unit of length.
        ended: whether somebody asked for an end; what is solved then is not trusted.

    Attributes:
        place: the best one so far.
        report: all rounds of updates, the start first.
    """

    def __init__(
        self, objective: Objective, start: Support, moves: Moves, ended: Callable[[], bool]
    ) -> None:
        self.objective, self.moves, self.ended = objective, moves, ended
        self.points = start.points
        x, cost = start.points.to(objective.clouds[0][0])[None], objective.ground.cost
        self.costs = cost, cost.T  # from the average to a cloud, and back
        engine, _ = choose_engine(objective.solver.engine, cost, x)
        sides = [y[None] for y, _ in objective.clouds]
        self.towards = [(engine.bind(x, y), engine.bind(y, x)) for y in sides]
        self.own = engine.bind(x, x)
        self.logs = [log_weights(b).double() for _, b in objective.clouds]
        self.loga = self.logd = log_weights(start.weights)
        self.total = start.weights.sum().log()
        self.g = [torch.zeros_like(b) for b in self.logs]
        self.found = [torch.zeros_like(self.loga) for _ in sides]
        self.report: list[Step] = []
        self.solves, self.sweeps = 0, 0.0
        self._arrive(objective.at(start))
        reach = torch.cat([start.points, *(y.double() for y, _ in objective.clouds)])
        widest, ground = float((reach.amax(0) - reach.amin(0)).norm()), objective.ground
        first = max(widest, ground.blur) ** ground.p + ground.beyond
        self.temperatures = temperatures(first, ground.eps, RATIO)[:-1]

    def step(self) -> bool:
        """A round of updates, after the first temperatures; False where the objective did not fall."""
        for eps in self.temperatures:
            self._updates(eps, COARSE)
        self.temperatures = []
        found = self._updates(self.objective.ground.eps, ROUND)
        a = self.loga.exp()  # whose sum has the rounding of large exponents
        a = a * (self.total.exp() / a.sum())
        place = self.objective.at(Support(self.points, a), found)
        if self.ended() or not place.value < self.place.value:
            return False
        self._arrive(place)
        return True

    def refined(self) -> bool:
        """All solves are to the tolerance that was asked for."""
        return False

    def goes_on(self) -> bool:
        """Nothing else moves."""
        return False

    def _arrive(self, place: Place) -> None:
        self.place = place
        self.solves += len(place.transports)
        self.sweeps += place.sweeps
        r, metric = self.moves.gradient(place), self.moves.metric(place.support)
        error = float(metric @ r.square()) ** 0.5
        self.report.append(Step(place.value, error, self.solves, round(self.sweeps)))

    def _updates(self, eps: float, count: int) -> list[Potentials]:
        """Some updates at one temperature; the potentials of all problems."""
        for _ in range(count):
            self.found = [
                self._log_sum(sums, b + g / eps, eps, guess)
                for (sums, _), b, g, guess in zip(
                    self.towards, self.logs, self.g, self.found, strict=True
                )
            ]
            means = sum(w * t for w, t in zip(self.objective.shares, self.found, strict=True))
            debias, loga, logu = self.objective.debias, self.loga, self.logd + means
            self.loga = logu - logu.logsumexp(0) + self.total
            if debias:
                own = self._log_sum(self.own, self.logd, eps, loga - self.logd)
                logu, self.logd = self.loga, (self.logd + self.loga - own) / 2
            else:
                logu, self.logd = self.loga + means, self.loga
            self.g = [
                -eps * self._log_sum(back, logu - t, eps, -g / eps, 1)
                for (_, back), t, g in zip(self.towards, self.found, self.g, strict=True)
            ]
            self.sweeps += len(self.found) + debias / 2
        f = [-eps * t for t in self.found]
        sides = [*zip(f, self.g, strict=True)]
        if self.objective.debias:
            h = torch.where(self.loga > -1e29, eps * (self.logd - self.loga), 0.0)
            sides.append((h, h))
        return [Potentials(*(t[None] for t in (f, g, f, g))) for f, g in sides]

    def _log_sum(
        self, sums: Reductions, col: Tensor, eps: float, guess: Tensor, way: int = 0
    ) -> Tensor:
        """The logarithm of ``sum_j exp(col_j - C_ij / eps)``, ``(N,)`` in float64."""
        like = self.objective.clouds[0][0]
        given, shift = col[None].to(like), guess[None].to(like)
        return sums.logsumexp(self.costs[way], given.new_full((1,), eps), given, shift)[0].double()
