"""LazyTensors: formulas of points, written as if all pairs were stored, and reduced without storing any."""
