"""A solver for the tests: alternating updates at the last temperature, and one by the engine."""

from dataclasses import dataclass

import torch

from sparseot.transport.annealing import Potentials

from .dense import cost_matrix


@dataclass(frozen=True)
class Converged:
    """Dense, float64, batches of one; what ``AveragedAnnealing`` tends to as scaling tends to 1."""

    steps: int = 10_000

    @torch.no_grad()
    def solve(self, source, target, cost, marginals, *, p, blur, diameter, engine):
        """Both potentials at convergence: the previous iterates are the last ones."""
        c = cost_matrix(source.positions[0], target.positions[0], p)
        eps = blur**p
        scale = eps * marginals.damping(eps)
        log_a, log_b = source.log_weights[0], target.log_weights[0]
        f = torch.zeros_like(log_a)
        for _ in range(self.steps):
            old = f
            g = -scale * ((f[:, None] - c) / eps + log_a[:, None]).logsumexp(0)
            f = -scale * ((g - c) / eps + log_b).logsumexp(1)
            if source is target:
                f = g = (f + g) / 2
            if (f - old).abs().max() < 1e-15:
                break
        return Potentials(
            self._engine_step(source, target, cost, f, g, scale, eps, engine),
            self._engine_step(target, source, cost, g, f, scale, eps, engine),
            f[None],
            g[None],
        )

    def _engine_step(self, here, there, cost, f, g, scale, eps, engine):
        """The last softmin by the engine, as a schedule would end."""
        sums = engine.bind(here.positions.detach(), there.positions.detach())
        col = there.log_weights + g[None] / eps
        temperature = f.new_full((1,), eps)
        return -scale * sums.logsumexp(cost, temperature, col, -f[None] / scale)
