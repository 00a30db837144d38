"""What the properties are asked of: clouds with ties, duplicates and weights of zero."""

import torch
from hypothesis import strategies as st

__all__ = ["clouds", "lengths", "seeds"]

seeds = st.integers(0, 2**31)
lengths = st.sampled_from([0.05, 0.3, 1.0, 10.0])


@st.composite
def clouds(draw, most=12, dims=(1, 2, 3, 7)):
    """Points on a grid, so that they meet, and weights of mass one of which some may be zero."""
    n, dim, grid = draw(st.integers(1, most)), draw(st.sampled_from(dims)), draw(st.integers(1, 9))
    generator = torch.Generator().manual_seed(draw(seeds))
    x = torch.randint(0, grid + 1, (n, dim), generator=generator).double() / grid
    a = torch.rand(n, generator=generator, dtype=torch.float64)
    a = a.where((torch.rand(n, generator=generator) < 0.8) | (torch.arange(n) == 0), 0.0) + 1e-3 * (
        torch.arange(n) == 0
    )
    return x, a / a.sum()
