"""What a solved plan gives: products, maps, entries, draws, and bounds."""
