"""How formulas that are trees are reduced over pairs: by programs that LLVM compiles, or by torch."""
