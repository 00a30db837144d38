"""The printer for CPUs: LLVM's language, rows in the lanes of vectors; compiled in milliseconds."""
