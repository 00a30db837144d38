"""Nearest neighbours among points that several processes have."""
