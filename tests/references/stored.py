"""What a LazyTensor stands for, stored: a tensor ``(..., N, M, D)`` with the same methods, by plain torch."""

import torch

__all__ = ["Stored"]


def _root(u):
    return torch.where(u > 0, u, 1).sqrt() * (u > 0)


class Stored:
    """The values of all pairs, or of fewer where axes of length one broadcast."""

    def __init__(self, values):
        self.values = values

    def _of(self, values):
        return Stored(values)

    def _two(self, other, function):
        if not isinstance(other, Stored):
            other = Stored(torch.as_tensor(other, dtype=self.values.dtype))
        other = other.values
        return Stored(function(self.values, other))

    def __add__(self, other):
        return self._two(other, torch.add)

    def __sub__(self, other):
        return self._two(other, torch.sub)

    def __rsub__(self, other):
        return self._two(other, lambda a, b: b - a)

    def __mul__(self, other):
        return self._two(other, torch.mul)

    def __truediv__(self, other):
        return self._two(other, torch.div)

    def __rtruediv__(self, other):
        return self._two(other, lambda a, b: b / a)

    __radd__, __rmul__ = __add__, __mul__

    def __pow__(self, n):
        return self._two(n, torch.pow)

    def __neg__(self):
        return self._of(-self.values)

    def __or__(self, other):
        return (self * other).sum(-1)

    def __lt__(self, other):
        return self._two(other, lambda a, b: (a < b).to(a))

    def __gt__(self, other):
        return self._two(other, lambda a, b: (a > b).to(a))

    def __le__(self, other):
        return self._two(other, lambda a, b: (a <= b).to(a))

    def __ge__(self, other):
        return self._two(other, lambda a, b: (a >= b).to(a))

    def __eq__(self, other):
        return self._two(other, lambda a, b: (a == b).to(a))

    def __ne__(self, other):
        return self._two(other, lambda a, b: (a != b).to(a))

    def __getitem__(self, key):
        return self._of(self.values[..., slice(key, key + 1) if isinstance(key, int) else key])

    def __getattr__(self, name):
        if name in (
            "exp",
            "log",
            "sin",
            "cos",
            "asin",
            "acos",
            "atan",
            "tanh",
            "abs",
            "sign",
            "floor",
            "relu",
        ):
            return lambda: self._of(getattr(torch, name)(self.values))
        raise AttributeError(name)

    def sqrt(self):
        return self._of(_root(self.values))

    def rsqrt(self):
        u = self.values
        return self._of(torch.where(u > 0, u, 1).rsqrt() * (u > 0))

    def step(self):
        return self._of((self.values >= 0).to(self.values))

    def square(self):
        return self * self

    def xlogx(self):
        return self._of(torch.special.xlogy(self.values, self.values))

    def sinxdivx(self):
        return self._of(torch.sinc(self.values / torch.pi))

    def sinc(self):
        return self._of(torch.sinc(self.values))

    def round(self, digits=0):
        return self._of(self.values.round(decimals=digits))

    def atan2(self, other):
        return self._two(other, torch.atan2)

    def minimum(self, other):
        return self._two(other, torch.minimum)

    def maximum(self, other):
        return self._two(other, torch.maximum)

    def clamp(self, low, high):
        return self.maximum(low).minimum(high)

    def mod(self, modulus, offset=0):
        return (self - offset)._two(modulus, torch.remainder) + offset

    def ifelse(self, there, else_):
        there, else_ = (v.values if isinstance(v, Stored) else v for v in (there, else_))
        return self._of(torch.where(self.values >= 0, there, else_))

    def norm2(self):
        return (self | self).sqrt()

    def normalize(self):
        return self * (self | self).rsqrt()

    def sqdist(self, other):
        return (self - other) | (self - other)

    def weightedsqnorm(self, s):
        x, s = self.values, s.values
        if s.shape[-1] > x.shape[-1]:
            s = s.unflatten(-1, (x.shape[-1], -1))
            return self._of((x * (s @ x[..., None])[..., 0]).sum(-1, keepdim=True))
        return self._of((s * x * x).sum(-1, keepdim=True))

    def matvecmult(self, x):
        m = self.values.unflatten(-1, (-1, x.values.shape[-1]))
        return self._of((m @ x.values[..., None])[..., 0])

    def vecmatmult(self, m):
        m = m.values.unflatten(-1, (self.values.shape[-1], -1))
        return self._of((self.values[..., None, :] @ m)[..., 0, :])

    def tensorprod(self, other):
        return self._two(other, lambda a, b: (a[..., :, None] * b[..., None, :]).flatten(-2))

    def difference_matrix(self, other):
        return self._two(other, lambda a, b: (a[..., :, None] - b[..., None, :]).flatten(-2))

    def one_hot(self, size):
        places = torch.arange(size, device=self.values.device)
        return self._of((self.values.round() == places).to(self.values))

    def concat(self, other):
        shape = torch.broadcast_shapes(self.values.shape[:-1], other.values.shape[:-1])
        return self._of(torch.cat([v.values.expand(*shape, -1) for v in (self, other)], -1))

    def sum(self, axis):
        """Coordinates stay a formula; i or j, as a negative axis, are summed."""
        if axis == -1:
            return self._of(self.values.sum(-1, keepdim=True))
        return self.values.sum(axis)

    def min(self, axis=-1):
        return (
            self._of(self.values.amin(-1, keepdim=True)) if axis == -1 else self.values.amin(axis)
        )

    def argmin(self, axis=-1):
        found = self.values.argmin(axis, keepdim=axis == -1)
        return self._of(found.to(self.values)) if axis == -1 else found
