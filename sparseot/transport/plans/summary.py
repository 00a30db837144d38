"""What a result shows of itself: a report of five lines, and a picture of its plan."""

from __future__ import annotations

import torch
from torch import Tensor

from ..derivatives.solved import Answer
from ..problem import Problem
from ..solution import Report
from .matrix import PlanMatrix

__all__ = ["picture", "status", "text"]

TINY = 1e-300  # the smallest bound that is told apart from none
ALL = 0.995  # of the pairs

CELLS, PIXELS = 24, 8  # of the picture


def text(found: Answer) -> str:
    """The report of a result that was solved to a tolerance."""
    problem = found.solved[0].problem
    reports = _reports(found)
    first = reports[0]
    sizes = " x ".join(f"{size:,}" for size in problem.sizes)
    items = f"{len(problem.source.positions)} times " if found.batched else ""
    kind = "Sinkhorn divergence" if found.debias else "entropic transport"
    shown = "values" if found.batched else "value"
    numbers = ", ".join(
        f"{v:.7g}" for v in torch.as_tensor(found.value).detach().reshape(-1)[:4].tolist()
    )
    seconds = sum(report.seconds for report in reports)
    omitted = max(report.omitted for report in reports)
    omitted = omitted if omitted > TINY else 0.0
    kept = f"{100 * first.kept_fraction:.2g}" if first.kept_fraction < ALL else "100"
    return "\n".join(
        [
            f"Transport: {kind}, {items}{sizes} {found.of_what}",
            f"  {shown} {numbers}",
            f"  {status(found)}, {seconds:.2g} s",
            f"  {found.temperature}, {problem.penalty}, engine {first.engine}",
            f"  {kept} % of the pairs kept, the others hold a mass of {omitted:.1e} at most",
        ]
    )


def status(found: Answer) -> str:
    """Whether the tolerance was met, and by how much, in one sentence."""
    reports = _reports(found)
    worst = max(reports, key=lambda report: report.residual)
    state = "converged" if all(report.converged for report in reports) else "NOT CONVERGED"
    sweeps = max(report.n_iter for report in reports)
    return (
        f"{state}: marginals off by {worst.residual:.1e} of the mass (tol {worst.tol:g}) "
        f"after {sweeps} sweeps"
    )


def _reports(found: Answer) -> list[Report]:
    return [report for part in found.solved for report in part.solution.reports]


def picture(problem: Problem, f: Tensor, g: Tensor) -> str:
    """The plan, summed over 24 x 24 groups of points along the main axis, as an SVG."""
    x, y = (c.positions[0].double() for c in (problem.source, problem.target))
    both = torch.cat((x, y))
    axis = torch.linalg.eigh(torch.cov(both.T).reshape(both.shape[1], -1)).eigenvectors[:, -1]
    groups = []
    for points in (x, y):
        places = (points @ axis).argsort().argsort() * CELLS // len(points)
        groups.append(torch.nn.functional.one_hot(places, CELLS).to(f))
    rows = PlanMatrix(problem, f, g, False, f).product(groups[1])
    sums = groups[0].T @ rows
    shades = (sums / sums.max()).sqrt().tolist()
    size = CELLS * PIXELS
    boxes = [
        f'<rect x="{j * PIXELS}" y="{i * PIXELS}" width="{PIXELS}" height="{PIXELS}" '
        f'fill-opacity="{shade:.2f}"/>'
        for i, row in enumerate(shades)
        for j, shade in enumerate(row)
        if shade > 0.02
    ]
    frame = f'<rect width="{size}" height="{size}" fill="none" stroke="#888"/>'
    return f'<svg width="{size}" height="{size}" fill="#3b7dd8">{frame}{"".join(boxes)}</svg>'
