"""How neighbours are found: one file a method, and what they share."""
