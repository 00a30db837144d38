r"""Gaussian sums in one to three dimensions by non-uniform fast Fourier transforms.

A sum of Gaussians is a short Fourier series (see :mod:`.spectrum`): transform the weights from
the points y to the coefficients, multiply by the Gaussian's, evaluate the series at the points
x. The transforms are FINUFFT's (Barnett, Magland and af Klinteberg, 2019). The work grows with
points plus modes instead of pairs, and two real right-hand sides ride in one complex transform,
since the Gaussian is real and even (the fast Gauss transform of Greengard and Strain, 1991, by
other means). On CUDA devices the same transforms are cuFINUFFT's (Shih, Wright, Andén, Blaschke and
Barnett, 2021), where it is installed.
"""

from __future__ import annotations

from typing import Any

import finufft
import torch
from torch import Tensor

from ..errors import bad_input
from ..formulas import Radial
from ..optional import optional
from ..pairs import BlockPairs
from .base import Engine, Formula, Reductions
from .openmp import thread_count
from .spectrum import MOST_MODES, Grid, is_gaussian

__all__ = ["Fourier"]

COARSE, FINE = 1.25, 2.0  # upsampling: the fine grid takes twice the time and reaches 1e-13
SINGLE = 2e-6  # what transforms in single precision lose at the least
COLUMNS, MOST_PLANS = 16, 6  # right-hand sides at a time, and plans that are kept
FLOOR = 1e-13
DEVICES = "cpu", "cuda"
SMALL = 1 << 14  # points and modes, of some milliseconds: other threads are not woken for them


class Fourier(Engine):
    """Multiples of Gaussians, D <= 3, on a CPU, or on CUDA where cuFINUFFT is installed.

    Args:
        tol: the error of an entry of the product, relative to the kernel's largest value times
            the sum of the absolute weights. Transforms run in single precision where the points are
            given in it and it is good enough: for about a hundred waves along an axis, from 1e-5 on.
    """

    name = "nufft"
    approximate = True

    def __init__(self, tol: float = 1e-6) -> None:
        self.tol = tol
        self.bound: list[_FourierSums] = []

    def refuses(self, formula: Formula, x: Tensor, pairs: BlockPairs | None = None) -> str | None:
        """Refuses all but Gaussians, block pairs, batches, D > 3 and other devices."""
        if not is_gaussian(formula):
            return 'Fourier series are for Gaussians; use engine="numba" or "tiles".'
        if pairs is not None:
            return 'It sums over all pairs; leave pairs=None, or use engine="numba".'
        if x.shape[-1] > 3 or len(x) > 1:
            return 'It takes one cloud in at most 3 dimensions; use engine="numba" or "tiles".'
        if x.device.type not in DEVICES:
            return f'Points are on {x.device}, it runs on a CPU and on CUDA; use engine="tiles".'
        return None

    def bind(self, x: Tensor, y: Tensor, pairs: BlockPairs | None = None) -> Reductions:
        """Keeps the transforms of the last two pairs of clouds."""
        for sums in self.bound:
            if (
                sums.x.device == x.device
                and torch.equal(x[0], sums.x)
                and torch.equal(y[0], sums.y)
            ):
                return sums
        sums = _FourierSums(x, y, self.tol)
        self.bound = [sums, *self.bound[:1]]
        return sums


class _FourierSums(Reductions):
    def __init__(self, x: Tensor, y: Tensor, tol: float) -> None:
        self.x, self.y = x[0].detach().clone(), y[0].detach().clone()  # the caller may move his
        self.tol = max(0.1 * tol, FLOOR)
        self.wanted = tol
        self.grid: Grid | None = None
        self.rate = 0.0
        self.plans: dict[tuple[int, int, int], Any] = {}

    def sum(
        self, kernel: Formula, v: Tensor, row: Tensor | None = None, col: Tensor | None = None
    ) -> Tensor:
        assert isinstance(kernel, Radial)
        grid = self._prepare(kernel)
        v = v if col is None else v * col.exp()[..., None]
        columns = [self._sums(part, grid) for part in v[0].split(COLUMNS, dim=1)]
        out = torch.cat(columns, 1)[None].to(v.dtype)
        return out if row is None else out * row.exp()[..., None]

    def _sums(self, v: Tensor, grid: Grid) -> Tensor:
        """The sums for a few columns ``(M, R)``."""
        weights = _packed(v.to(self.real))
        coefficients = _run(self._plan(1, len(weights), grid, self.y), weights)
        coefficients *= self.spectrum
        values = _run(self._plan(2, len(weights), grid, self.x), coefficients)
        return _unpacked(values, v.shape[-1])

    def _prepare(self, kernel: Radial) -> Grid:
        """The grid and the spectrum of this kernel."""
        if self.grid is None or self.rate != kernel.rate:
            self.grid, self.rate = Grid.around(kernel, self.x, self.y, self.tol), kernel.rate
            self.plans = {}
            # Angles in single precision are wrong by 1e-7, and the fastest wave multiplies that.
            single = SINGLE + 3e-8 * max(self.grid.modes) <= self.wanted
            self.real = torch.float32 if single else torch.float64
            if self.x.dtype == torch.float64:
                self.real = torch.float64
        if self.grid.size > MOST_MODES:
            modes = " x ".join(f"{n:,}" for n in self.grid.modes)
            fix = 'The clouds are too wide for this sigma: use engine="numba", or pairs=Blocks(radius).'
            raise bad_input("engine", f"a Fourier grid of {modes} modes", "at most 2^26", fix)
        self.spectrum = self.grid.spectrum(kernel).to(self.real)
        return self.grid

    def _plan(self, kind: int, transforms: int, grid: Grid, points: Tensor) -> Any:
        """A plan of type 1 (points to modes) or 2 (modes to points), kept."""
        key = kind, transforms, _stream(points.device)
        if key not in self.plans:
            options = {
                "n_trans": transforms,
                "eps": max(self.tol, 1e-6 if self.real == torch.float32 else FLOOR),
                "isign": -1 if kind == 1 else 1,
                "dtype": "complex64" if self.real == torch.float32 else "complex128",
            }
            make = _on_a_cpu if points.device.type == "cpu" else _on_a_device
            plan = make(kind, grid, grid.place(points, self.real), self.tol, options)
            if len(self.plans) >= MOST_PLANS:
                self.plans.pop(next(iter(self.plans)))
            self.plans[key] = plan
        return self.plans[key]


Options = dict[str, Any]


def _stream(device: torch.device) -> int:
    """The one that torch works on, on CUDA; a plan belongs to it."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def _on_a_cpu(kind: int, grid: Grid, angles: list[Tensor], tol: float, options: Options) -> Any:
    """FINUFFT's plan for these points; the fine grid where the tolerance asks for it."""
    small = len(angles[0]) + grid.size <= SMALL
    options["upsampfac"] = COARSE if tol >= 1e-8 else FINE
    options |= {"nthreads": 1 if small else thread_count(), "showwarn": 0}
    plan = finufft.Plan(kind, grid.modes, **options)
    plan.setpts(*(angle.numpy() for angle in angles))
    return plan


def _on_a_device(kind: int, grid: Grid, angles: list[Tensor], tol: float, options: Options) -> Any:
    """cuFINUFFT's, which reads tensors of the device."""
    device = angles[0].device
    cufinufft = optional("cufinufft", "engine", f'"nufft" for points on {device}')
    if device.type == "cuda":
        options |= {"gpu_device_id": device.index, "gpu_stream": _stream(device)}
    plan = cufinufft.Plan(kind, grid.modes, **options)
    plan.setpts(*angles)
    return plan


def _run(plan: Any, data: Tensor) -> Tensor:
    """What a plan makes of complex numbers ``(transforms, ...)``."""
    if data.device.type == "cpu":
        return torch.from_numpy(plan.execute(data.numpy()))
    found: Tensor = plan.execute(data)
    return found


def _packed(v: Tensor) -> Tensor:
    """Columns ``(M, R)`` two by two as complex rows ``(ceil(R / 2), M)``."""
    if v.shape[1] % 2:
        v = torch.cat((v, torch.zeros_like(v[:, :1])), 1)
    return torch.complex(v[:, ::2].T.contiguous(), v[:, 1::2].T.contiguous())


def _unpacked(values: Tensor, columns: int) -> Tensor:
    """The reverse of :func:`_packed`, for ``(T, N)`` or, of one transform, ``(N,)`` values."""
    values = values if values.dim() == 2 else values[None]
    return torch.view_as_real(values.T).flatten(1)[:, :columns].contiguous()
