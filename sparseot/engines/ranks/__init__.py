"""Pairs shared among processes: what these tell each other, and engines whose rows they share."""
