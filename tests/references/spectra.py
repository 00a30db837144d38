"""Eigenvalues of the noisy Swiss roll, of the normed Laplacian of a Gaussian kernel: the smallest ones but for zero."""

__all__ = ["KEOPS_ROLL", "ROLL"]

# Points, and eigenvalues at sigma = .01: of a CSR matrix cut at 5.5 sigma, in double precision.
ROLL = {
    50_000: [1.31000e-4, 5.18352e-4, 6.96468e-4, 7.96794e-4, 1.16943e-3, 1.66122e-3],
    1_000_000: [1.5491e-4, 6.1007e-4, 7.9708e-4, 9.4136e-4, 1.3984e-3, 1.9824e-3],
}

# What KeOps's tutorial prints for a million points, of noise of its own.
KEOPS_ROLL = [1.5488e-4, 6.0963e-4, 7.9121e-4, 9.4554e-4, 1.3957e-3, 1.9849e-3]
