"""What ranks of a group find of angles on the sphere over kept pairs: that of one process."""

import sparseot as so

from .losses import same, two
from .results import compare, solved


def check_angles_over_kept_pairs(here):
    """All ranks see both clouds from the centre of the sphere, whoever has the first block."""
    x, y, a, b = two(1500, 1400)
    for p in (1, 2):
        how = {"p": p, "cost": so.costs.Geodesic()}
        how["solver"] = so.Sinkhorn(multilevel=True, accelerate=False)
        pair = solved(here, (x - 0.4, y - 0.5, a, b), blur=0.1, **how)
        ours, theirs = pair[:2]
        assert "ranks) on kept pairs" in ours.reports[0].engine and ours.kept_fraction < 1
        assert ours.kept_fraction == theirs.kept_fraction
        same(ours.value, theirs.value, 1e-12)
        compare(here, *pair, tol=1e-8)
