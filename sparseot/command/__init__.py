"""What can be done without a program of one's own: ``python -m sparseot.command solve``."""
