"""A solver for the tests: alternating updates at the last temperature, and one by the engine."""

from dataclasses import dataclass

import torch

from sparseot.transport.solvers.annealing import Potentials

from .dense import cost_matrix


@dataclass(frozen=True)
class Converged:
    """Dense, float64; what ``AveragedAnnealing`` tends to as scaling tends to 1."""

    steps: int = 10_000

    @torch.no_grad()
    def solve(self, source, target, cost, marginals, *, p, blur, diameter, engine, partner=None):
        """Both potentials at convergence, item by item: the previous iterates are the last."""
        eps = blur**p
        scale = eps * marginals.damping(eps)
        pairs = {}
        for k in range(len(source.positions)):
            holder = k if partner is None else partner[k]
            if holder < k:
                pairs[k] = pairs[holder][::-1]  # of one gauge
                continue
            c = cost_matrix(source.positions[k], target.positions[k], p)
            logs = source.log_weights[k], target.log_weights[k]
            symmetric = partner is not None and holder == k
            pairs[k] = self._item(c, *logs, scale, eps, symmetric)
        f, g = (torch.stack(potentials) for potentials in zip(*pairs.values(), strict=True))
        return Potentials(
            self._engine_step(source, target, cost, f, g, scale, eps, engine),
            self._engine_step(target, source, cost, g, f, scale, eps, engine),
            f,
            g,
        )

    def _item(self, c, log_a, log_b, scale, eps, symmetric):
        f = torch.zeros_like(log_a)
        for _ in range(self.steps):
            old = f
            g = -scale * ((f[:, None] - c) / eps + log_a[:, None]).logsumexp(0)
            f = -scale * ((g - c) / eps + log_b).logsumexp(1)
            if symmetric:
                f = g = (f + g) / 2
            if (f - old).abs().max() < 1e-15:
                break
        return f, g

    def _engine_step(self, here, there, cost, f, g, scale, eps, engine):
        """The last softmin by the engine, as a schedule would end."""
        sums = engine.bind(here.positions.detach(), there.positions.detach())
        temperature = f.new_full((len(f),), eps)
        col = there.log_weights + g / eps
        return -scale * sums.logsumexp(cost, temperature, col, -f / scale)
