"""Images for the tests of grids."""

import torch


def noise(*shape, seed=0, empty=0.3):
    """Random images of mass one over their last axes, some pixels of which are zero."""
    random = torch.Generator().manual_seed(seed)
    image = torch.rand(shape, dtype=torch.float64, generator=random)
    image[torch.rand(shape, generator=random) < empty] = 0
    return image / image.sum()


def places(shape, spacing):
    """The centres of pixels, ``(N, D)``."""
    steps = [torch.arange(n, dtype=torch.float64) * h for n, h in zip(shape, spacing, strict=True)]
    return torch.cartesian_prod(*steps).reshape(-1, len(shape))


def gaussian(shape, spacing, mean, width):
    """The density of a Gaussian at the pixels, of mass one; widths along each axis."""
    x = places(shape, spacing)
    z = (x - torch.tensor(mean, dtype=torch.float64)) / torch.tensor(width, dtype=torch.float64)
    density = (-z.square().sum(1) / 2).exp().reshape(shape)
    return density / density.sum()
