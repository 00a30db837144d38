"""What a solved plan gives: products, maps, entries, bounds of its value and of its gradient."""
