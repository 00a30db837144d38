"""A solver for the tests: alternating updates at the last temperature, and one by the engine."""

from dataclasses import dataclass

import torch

from sparseot.transport.solution import Solution, Solver

from .dense import cost_matrix


@dataclass(frozen=True)
class Converged(Solver):
    """Dense, float64; what ``AveragedAnnealing`` tends to as scaling tends to 1."""

    steps: int = 10_000

    engine = "auto"

    @torch.no_grad()
    def solve(self, problem, start=None):
        """Both potentials at convergence, item by item: the previous iterates are the last."""
        eps, source, target = problem.eps, problem.source, problem.target
        scale, pairs = eps * problem.penalty.damping(eps), []
        for k in range(len(source.positions)):
            c = cost_matrix(source.positions[k], target.positions[k], problem.p)
            logs = source.log_weights[k], target.log_weights[k]
            pairs.append(self._item(c, *logs, scale, eps, problem.symmetric))
        f, g = (torch.stack(potentials) for potentials in zip(*pairs, strict=True))
        rest = problem.cost, scale, eps, problem.engine
        return Solution(
            self._engine_step(source, target, f, g, *rest),
            self._engine_step(target, source, g, f, *rest),
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

    def _engine_step(self, here, there, f, g, cost, scale, eps, engine):
        """The last softmin by the engine, as a schedule would end."""
        sums = engine.bind(here.positions.detach(), there.positions.detach())
        temperature = f.new_full((len(f),), eps)
        col = there.log_weights + g / eps
        return -scale * sums.logsumexp(cost, temperature, col, -f / scale)
