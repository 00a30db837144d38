"""Packages that not everybody has: loaded at first use, or a sentence that says how to get them."""

from __future__ import annotations

import contextlib
import io
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .errors import bad_input

__all__ = ["optional"]

WHAT_TO_INSTALL = {  # where it is not the name of the package
    "cufinufft": '"sparseot[cufinufft]"',
    "faiss": "faiss-cpu",
    "pykeops": '"sparseot[keops]"',
}


def optional(module: str, argument: str, got: str) -> Any:
    """A module of a package that the caller's argument needs.

    Args:
        module: its name, with dots.
        argument: what the caller gave, by its name.
        got: its value, as an error shows it.

    Raises:
        ImportError: if the package is not installed.
    """
    package = module.partition(".")[0]
    if find_spec(package) is None:
        wanted = f"one whose package is installed; {package} is not"
        fix = f"Run: pip install {WHAT_TO_INSTALL.get(package, package)}"
        raise bad_input(argument, got, wanted, fix, ImportError)
    with contextlib.redirect_stdout(io.StringIO()):  # KeOps prints what it did not find
        return import_module(module)
