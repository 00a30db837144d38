"""SciPy's names for operators, and operators as instances of its class."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from .arrays import Array

__all__ = ["ScipyNames"]


class ScipyNames:
    """What an operator is called by SciPy, so that ``scipy.sparse.linalg`` accepts it as it is."""

    def aslinearoperator(self) -> Any:
        """The matrix as an instance of SciPy's LinearOperator class.

        SciPy's functions take such matrices as they are, but then multiply one vector at a time;
        through this one, blocks stay blocks.
        """
        return scipy_operator(self)

    def matvec(self: Any, v: Array) -> Array:
        """``self @ v`` for ``(M,)`` or ``(M, 1)``."""
        return self @ v

    matmat = matvec

    def rmatvec(self: Any, v: Array) -> Array:
        """``self.T @ v``."""
        return self.T @ v

    rmatmat = rmatvec


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
