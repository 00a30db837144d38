"""How potentials are found: objects with options and one method, ``solve``."""
