"""What KeOps's tutorials compute, with our LazyTensors, and with KeOps's, which tests the tests."""
