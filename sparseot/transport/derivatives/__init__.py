"""Derivatives of what was solved: the implicit rule, and where autograd meets it."""
