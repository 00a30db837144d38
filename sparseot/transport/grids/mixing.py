r"""Anderson's mixing of a fixed-point iteration, for states too large to be kept often.

With residuals :math:`r_t = T(x_t) - x_t`, differences :math:`\Delta` of successive residuals and images, and
the c that makes :math:`r_t - \sum_i c_i \Delta r_i` least in a weighted norm, the next state is
:math:`T(x_t) - \sum_i c_i \Delta T_i` (Walker and Ni, 2011, "Anderson acceleration for fixed-point iterations",
section 2). A state has parts, that are handed in one after the other: of each, the last residual is kept
and some differences, in single precision. Their rounding is a small error of a step, and none of the fixed point.
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["Mixing"]

DEPTH = 2  # differences that are kept
NEAR = 0.3  # error, below which there is something to learn,
WORSE = 2.0  # and how much larger than the one before it may be
STEEP = 100.0  # sum of |c|, above which differences are parallel
RIDGE = 1e-8


class Mixing:
    """The mixing of items ``(T, parts, n)``, each with coefficients of its own.

    Args:
        state: what is moved in place, ``parts`` tensors ``(T, n)``.
    """

    def __init__(self, state: list[Tensor]) -> None:
        self.state, items = state, len(state[0])
        self.residuals = [torch.zeros_like(x, dtype=torch.float32) for x in state]
        self.of_r, self.of_t = (
            [[torch.zeros_like(x, dtype=torch.float32) for x in state] for _ in range(DEPTH)]
            for _ in range(2)
        )
        self.c, self.right = (state[0].new_zeros(items, DEPTH) for _ in range(2))
        self.gram = state[0].new_zeros(items, DEPTH, DEPTH)
        self.known = torch.zeros_like(self.c, dtype=torch.bool)  # which differences are worth using
        self.before = state[0].new_full((items,), torch.inf)
        self.slot = 0

    def see(self, part: int, residual: Tensor, weights: Tensor) -> None:
        """The residual ``(T, n)`` of one part, and what its pixels count."""
        change = residual.clone()
        for i in range(DEPTH):
            change.addcmul_(self.c[:, i, None], self.of_t[i][part].double(), value=-1)
        self.of_t[self.slot][part].copy_(change)
        torch.sub(residual, self.residuals[part], out=change)
        self.of_r[self.slot][part].copy_(change)
        self.residuals[part].copy_(residual)
        for i in range(DEPTH):
            torch.mul(self.of_r[i][part], weights, out=change)
            self.right[:, i] += (change * residual).sum(-1)
            for j in range(i + 1):
                self.gram[:, i, j] += (change * self.of_r[j][part]).sum(-1)

    def move(self, error: Tensor) -> None:
        """The next state, after all parts were seen; ``error`` ``(T,)`` says whether the last step was good."""
        good = (error < NEAR) & (error < WORSE * self.before)
        self.known[:, self.slot] = self.before.isfinite()  # the first residual has none before it
        self.known &= good[:, None]
        self.before = error
        self._solve()
        for part, x in enumerate(self.state):
            x += self.residuals[part]
            for i in range(DEPTH):
                x.addcmul_(self.c[:, i, None], self.of_t[i][part].double(), value=-1)
        self.slot = (self.slot + 1) % DEPTH
        self.gram.zero_()
        self.right.zero_()

    def _solve(self) -> None:
        """The coefficients; zero, which is a plain step, where there are no good ones."""
        gram = self.gram + self.gram.tril(-1).mT
        usable = self.known & (gram.diagonal(dim1=-2, dim2=-1) > 0)
        scale = gram.diagonal(dim1=-2, dim2=-1).clamp(min=1e-300).rsqrt() * usable
        gram = scale[:, :, None] * gram * scale[:, None]
        gram.diagonal(dim1=-2, dim2=-1).add_(torch.where(usable, RIDGE, 1.0))
        c, _ = torch.linalg.solve_ex(gram, (scale * self.right)[..., None])
        c = scale * c[..., 0]
        fine = c.abs().sum(-1, keepdim=True) < STEEP  # False for NaN
        self.c = torch.where(fine, c, 0.0)
