"""Formulas as trees: what is written is kept, simplified, differentiated, and printed for a target."""
