"""What is done with the vector of each pair: norms, products with matrices, coordinates."""

from __future__ import annotations

from functools import reduce
from typing import Any, Self

from ..errors import bad_input
from ..formulas.trees import algebra
from ..formulas.trees.algebra import add, concat, extract, mul, sub, total
from ..formulas.trees.derivatives import gradients
from ..formulas.trees.expressions import Expr, const
from ..formulas.trees.functions import divided, equal, matrix_vector
from ..formulas.trees.operations import Operations
from .variables import is_whole

__all__ = ["Vectors"]


class Vectors(Operations):
    """The methods of a LazyTensor of vectors that give LazyTensors."""

    def sqnorm2(self) -> Self:
        """The squared Euclidean norm."""
        return self | self

    def norm2(self) -> Self:
        """The Euclidean norm; its derivative at zero is zero."""
        return (self | self).sqrt()

    def norm(self, dim: int = -1) -> Self:
        """The Euclidean norm over the coordinates."""
        self._only_coordinates("norm", dim)
        return self.norm2()

    def normalize(self) -> Self:
        """The vector divided by its norm, zero where that is zero."""
        return self * (self | self).rsqrt()

    def sqdist(self, other: Any) -> Self:
        """The squared distance."""
        return (self - other).sqnorm2()

    def weightedsqnorm(self, weights: Any) -> Self:
        """The squared norm with weights: one number, one for each coordinate, or a symmetric matrix."""

        def tree(x: Expr, s: Expr) -> Expr:
            if s.dim in (1, x.dim):
                return total(mul(s, mul(x, x)))
            if s.dim != x.dim**2:
                wanted = f"1, {x.dim} or {x.dim**2} numbers"
                raise bad_input("weights", f"{s.dim} numbers", f"{wanted} for {x.dim} coordinates")
            return total(mul(x, matrix_vector(s, x)))

        return self._with(weights, what="weightedsqnorm", tree=tree)

    def weightedsqdist(self, other: Any, weights: Any) -> Self:
        """The squared distance with weights, see :meth:`weightedsqnorm`."""
        return (self - other).weightedsqnorm(weights)

    def matvecmult(self, other: Any) -> Self:
        """The product of a matrix (A, B), row after row in this vector, and a vector (B)."""
        return self._with(other, what="matvecmult", tree=matrix_vector)

    def vecmatmult(self, other: Any) -> Self:
        """The product of this vector (A) and a matrix (A, B), row after row in the other."""

        def tree(x: Expr, m: Expr) -> Expr:
            cols = divided("vecmatmult", m.dim, x.dim)
            rows = [mul(extract(x, k, 1), extract(m, k * cols, cols)) for k in range(x.dim)]
            return reduce(add, rows)

        return self._with(other, what="vecmatmult", tree=tree)

    def tensorprod(self, other: Any) -> Self:
        """All products of coordinates of two vectors, (A * B), row after row."""

        def tree(a: Expr, b: Expr) -> Expr:
            return concat(*(mul(extract(a, k, 1), b) for k in range(a.dim)))

        return self._with(other, what="tensorprod", tree=tree)

    def difference_matrix(self, other: Any) -> Self:
        """All differences of coordinates of two vectors, (A * B), row after row."""

        def tree(a: Expr, b: Expr) -> Expr:
            return concat(*(sub(extract(a, k, 1), b) for k in range(a.dim)))

        return self._with(other, what="difference_matrix", tree=tree)

    def one_hot(self, D: int) -> Self:
        """The vector of zeros with a one at the place of this number, rounded."""
        if self.tree.dim != 1 or not is_whole(D) or D < 1:
            got = f"{self.tree.dim} coordinates and D={D!r}"
            raise bad_input("one_hot", got, "one number, and a positive integer D")
        place = algebra.function("round", self.tree)
        return self._of(concat(*(equal(place, const(k)) for k in range(D))))

    def concat(self, other: Any) -> Self:
        """This vector and another, one after the other."""
        return self._with(other, what="concat", tree=concat)

    def elem(self, i: int) -> Self:
        """One coordinate."""
        return self.extract(i, 1)

    def extract(self, i: int, d: int) -> Self:
        """The ``d`` coordinates from ``i`` on."""
        if plain := is_whole(i) and is_whole(d):
            i, d = int(i), int(d)  # NumPy's short ones overflow
        if not plain or i < 0 or d < 1 or i + d > self.tree.dim:
            got = f"coordinates {i!r} to {i + d if plain else '?'!s}"
            raise bad_input("[...]", got, f"some of 0 to {self.tree.dim}", kind=IndexError)
        return self._of(extract(self.tree, i, d))

    def __getitem__(self, key: Any) -> Self:
        """Coordinates: ``x[k]``, ``x[k:l]``, or the same after ``..., :, :``."""
        dim = self.tree.dim
        if isinstance(key, tuple):
            before, key = key[:-1], key[-1]
            if not all(part == slice(None) or part is Ellipsis for part in before):
                fix = "Take rows and columns of the arrays that the formula is made of."
                raise bad_input("[...]", repr(before), "coordinates only", fix, IndexError)
        if isinstance(key, slice) and key.step in (None, 1):
            start, stop, _ = key.indices(dim)
            return self.extract(start, stop - start)
        if is_whole(key):
            key = int(key)
            return self.elem(key + dim if key < 0 else key)
        raise bad_input("[...]", repr(key), "an integer, or a slice of step one", kind=IndexError)

    def grad(self, variable: Any, cotangent: Any) -> Self:
        """The derivative of ``<cotangent, self>`` in a variable of the formula, as a formula."""
        if variable.tree.op != "leaf":
            got = f"the formula {variable.tree!r}"
            raise bad_input("variable", got, "a variable: what LazyTensor(array) gave")

        def tree(f: Expr, v: Expr, g: Expr) -> Expr:
            return gradients([f], [algebra.expand(g, f.dim)], [v])[0]

        return self._with(variable, cotangent, what="grad", tree=tree)

    def _only_coordinates(self, what: str, dim: int) -> None:
        raise NotImplementedError
