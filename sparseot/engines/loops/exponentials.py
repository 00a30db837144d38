"""Exponentials in base 2, which LLVM turns into vector instructions."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic, overload

__all__ = ["COEFFICIENTS_32", "COEFFICIENTS_64", "exp2"]

# (2**r - 1) / r at the Chebyshev nodes of [-1/2, 1/2], highest power first; the relative error
# of 1 + r * polynomial is 1e-8 for the first and 2e-17 for the second.
COEFFICIENTS_32 = (
    1.5453163359779865e-4,
    1.3390863314270973e-3,
    9.618083015084267e-3,
    5.5503569543361664e-2,
    2.4022650718688965e-1,
    6.931471824645996e-1,
)
COEFFICIENTS_64 = (
    2.5729324177362305e-11,
    4.4558179083360645e-10,
    7.0548973041554995e-9,
    1.0178057087733941e-7,
    1.3215486808705563e-6,
    1.5252733841556773e-5,
    1.5403530393370734e-4,
    1.333355814640647e-3,
    9.61812910762848e-3,
    5.5504108664821625e-2,
    2.4022650695910072e-1,
    6.931471805599453e-1,
)


@intrinsic
def _as_float(typing: Any, bits: Any) -> Any:
    """The float with these bits: the last step of an exponential."""
    real, kind = (
        (types.float32, ir.FloatType()) if bits == types.int32 else (types.float64, ir.DoubleType())
    )

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], kind)

    return real(bits), codegen


def exp2(t: float) -> float:
    """2**t for t clamped to where it is a normal number and sums of it are finite."""
    raise NotImplementedError("compiled code only")


@overload(exp2)
def _exp2(t: Any) -> Any:
    if t == types.float32:
        one, low, high = np.float32(1), np.float32(-126), np.float32(100)
        c = tuple(np.float32(v) for v in COEFFICIENTS_32)

        def exp2_32(t: Any) -> Any:
            t = min(max(t, low), high)
            n = np.rint(t)
            r = t - n
            p = c[0] * r + c[1]
            p = p * r + c[2]
            p = p * r + c[3]
            p = p * r + c[4]
            p = p * r + c[5]
            p = p * r + one
            return p * _as_float(np.int32((np.int32(n) + 127) << 23))

        return exp2_32
    d = COEFFICIENTS_64

    def exp2_64(t: Any) -> Any:
        t = min(max(t, -1022.0), 100.0)
        n = np.rint(t)
        r = t - n
        p = d[0] * r + d[1]
        p = p * r + d[2]
        p = p * r + d[3]
        p = p * r + d[4]
        p = p * r + d[5]
        p = p * r + d[6]
        p = p * r + d[7]
        p = p * r + d[8]
        p = p * r + d[9]
        p = p * r + d[10]
        p = p * r + d[11]
        p = p * r + 1.0
        return p * _as_float((np.int64(n) + 1023) << 52)

    return exp2_64
