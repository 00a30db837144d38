"""What is selected in a viewer: indices into a cloud, the same in Python and under the lasso."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import traitlets

from sparseot.errors import bad_input

from .codec import as_numpy, to_wire

__all__ = ["Indices", "drawn"]


class Indices(traitlets.TraitType[Any, Any]):
    """A trait of indices into a cloud as its caller gave it: sorted, each once.

    It can be set to a list, an array or a tensor of integers, to a mask with one bool a point, or to
    None, which is nothing. The viewer says how many points the cloud has (``_selects``).

    Args:
        cloud: the name of the cloud, as the reader sees it: "points", "source", "target".
    """

    default_value = np.zeros(0, np.int64)

    def __init__(self, cloud: str) -> None:
        super().__init__()
        self.cloud = cloud
        self.tag(sync=True, to_json=lambda value, viewer: to_wire(value), from_json=_read)

    def validate(self, viewer: Any, value: Any) -> np.ndarray:
        """The indices in order. Raises ValueError or TypeError for what are no indices of the cloud."""
        count = viewer._selects[self.name]["count"] if self.name in viewer._selects else 0
        return as_indices(self.name or "selected", value, count)

    def get(self, obj: Any, cls: Any = None) -> Any:
        """A copy: what is changed in place reaches no observer."""
        value = super().get(obj, cls)
        return value.copy() if isinstance(value, np.ndarray) else value

    def set(self, obj: Any, value: Any) -> None:
        """Tell observers of what is new, and of nothing else."""
        new: Any = self._validate(obj, value)
        if not np.array_equal(new, obj._trait_values.get(self.name, self.default_value)):
            super().set(obj, new)


def as_indices(name: str, value: Any, count: int) -> np.ndarray:
    """Some of ``count`` points as sorted int64 indices, each once.

    Raises:
        ValueError: for an index that no point has, or a mask of another length.
        TypeError: for numbers that are no integers.

    Example:
        >>> as_indices("selected", [True, False, True], 3).tolist()
        [0, 2]
    """
    found = np.atleast_1d(as_numpy([] if value is None else value))
    wanted = f"indices below {count:,}, or a mask of so many points"
    if found.ndim != 1:
        raise bad_input(name, f"shape {found.shape}", wanted)
    if found.dtype == bool:
        if len(found) != count:
            raise bad_input(name, f"a mask of {len(found):,} points", wanted)
        found = np.flatnonzero(found)
    if len(found) and found.dtype.kind not in "iu":
        raise bad_input(name, f"dtype {found.dtype}", wanted, "", TypeError)
    found = np.unique(found.astype(np.int64))
    if len(found) and (found[0] < 0 or found[-1] >= count):
        worst = found[0] if found[0] < 0 else found[-1]
        raise bad_input(name, f"the index {worst}", wanted)
    return found


def drawn(rows: Any, total: int, name: str = "index") -> dict[str, np.ndarray]:
    """For a scene: who of ``total`` points the drawn ones are, where they are not all in order."""
    rows = as_numpy(rows)
    whole = len(rows) == total and bool((rows == np.arange(total)).all())
    return {} if whole else {name: rows.astype("int32")}


def spread_of(plan: torch.Tensor, selected: Any, points: torch.Tensor) -> dict[str, Any]:
    r"""Where the mass of some rows of a plan goes, and how certain that is.

    With :math:`p_{j|i} = P_{ij} / P_i` the part of row i's mass that goes to j, :math:`w_i = P_i / P_S`
    the part that row i has of the selection S, and M columns that carry mass,

    .. math:: H = - \sum_{i \in S} w_i \sum_j p_{j|i} \log p_{j|i}, \qquad
        \text{certainty} = 1 - \frac{H}{\log M}, \qquad \text{partners} = e^H .

    Certainty is 1 where every point has one partner and 0 where each goes everywhere alike; it is one
    minus the evenness of Pielou, 1966. Partners is the effective number of Jost, 2006, equation 1.

    Args:
        plan: ``(N, M)`` masses.
        selected: indices of rows.
        points: ``(M, D)`` where the columns stand.

    Returns:
        ``shares`` ``(M,)``, of each column's mass, what comes from the selection; ``mass``, that of
        the selection, as a share of the plan's; ``certainty``; ``partners``; and ``spread``, the
        standard deviation of a row's mass around its mean, in the units of the points.

    References:
        Pielou, 1966, "The measurement of diversity in different types of biological collections";
        Jost, 2006, "Entropy and diversity".

    Example:
        >>> found = spread_of(torch.eye(3) / 3, [0, 1], torch.arange(3.0)[:, None])
        >>> found["shares"].tolist(), found["certainty"], found["partners"]
        ([1.0, 1.0, 0.0], 1.0, 1.0)
    """
    plan, points = plan.double(), points.double()
    points = points - points.mean(0)  # for the difference of squares below
    rows = plan[torch.as_tensor(np.array(selected, dtype=np.int64))]
    total, columns = float(plan.sum()), plan.sum(0)
    shares = torch.where(columns > 0, rows.sum(0) / columns, 0.0)
    sizes = rows.sum(1)
    mass = float(sizes.sum())
    if not mass > 0:
        nothing = {"certainty": float("nan"), "partners": float("nan"), "spread": float("nan")}
        return {"shares": shares.numpy(), "mass": 0.0, **nothing}
    parts = rows / sizes.where(sizes > 0, 1)[:, None]
    entropy = float((sizes * torch.special.entr(parts).sum(1)).sum() / mass)
    centres = parts @ points
    far = (parts @ points.square().sum(1) - centres.square().sum(1)).clamp_min(0)
    most = float(np.log(max(int((columns > 0).sum()), 1)))
    return {
        "shares": shares.numpy(),
        "mass": mass / total,
        "certainty": 1 - entropy / most if most else 1.0,
        "partners": float(np.exp(entropy)),
        "spread": float((sizes @ far / mass).sqrt()),
    }


def _read(value: Any, viewer: Any) -> np.ndarray:
    """Indices as JavaScript sends them."""
    return np.frombuffer(value["buffer"], dtype=value["dtype"])
