"""Averages of clouds: their barycenters for the Sinkhorn divergence."""
