"""Clouds that tests are about, and references that their answers are compared with."""
