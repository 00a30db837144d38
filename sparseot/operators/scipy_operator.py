"""Operators as instances of SciPy's class, whose functions then multiply blocks as blocks."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

__all__ = ["scipy_operator"]


def scipy_operator(operator: Any) -> Any:
    """A ``scipy.sparse.linalg.LinearOperator`` that multiplies by ``operator``."""
    if len(operator.shape) != 2:
        raise ValueError(
            f"SciPy's operators are single matrices, this is a batch: {operator.shape}."
        )
    return _class()(operator)


@cache
def _class() -> Any:
    """The subclass, made at first use: SciPy's linear algebra takes long to import."""
    from scipy.sparse.linalg import LinearOperator

    class ScipyOperator(LinearOperator):
        def __init__(self, operator: Any) -> None:
            self.operator = operator
            super().__init__(operator.dtype, operator.shape)

        def _matmat(self, v: Any) -> Any:
            return self.operator @ np.asarray(v)

        _matvec = _matmat

        def _rmatmat(self, v: Any) -> Any:
            return self.operator.T @ np.asarray(v)

        _rmatvec = _rmatmat

        def _adjoint(self) -> Any:
            return ScipyOperator(self.operator.T)

        _transpose = _adjoint

    return ScipyOperator
