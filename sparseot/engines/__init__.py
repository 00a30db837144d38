"""HOW sums over pairs of points are computed; ``choose`` is the only file that knows them all."""
