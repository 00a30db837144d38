"""Transport for a matrix of costs that is stored: no points, and derivatives in the matrix."""
