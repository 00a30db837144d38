"""Clouds of different sizes, among them one of one point, and weights of which some are zero."""

import torch

NX, NY = (30, 1, 6, 45, 2), (21, 5, 1, 40, 2)
COUNT = len(NX)


def clouds(sizes, seed, dim=3, shift=0.0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.rand(n, dim, generator=generator).double() + shift for n in sizes]


def weights(sizes, seed, mass=1.0):
    """Every fourth one is zero, and the last one, in clouds of more than four points."""
    generator, found = torch.Generator().manual_seed(seed), []
    for n in sizes:
        w = torch.rand(n, generator=generator).double() + 0.1
        if n > 4:
            w[::4] = w[-1] = 0
        found.append(mass * w / w.sum())
    return found


def nested(parts):
    leaf = parts[0].requires_grad
    return torch.nested.nested_tensor(
        [p.detach() for p in parts], layout=torch.jagged, requires_grad=leaf
    )


def vector(sizes):
    return torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))


def leaves(parts):
    return [part.clone().requires_grad_() for part in parts]
