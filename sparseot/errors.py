"""One way to refuse bad input: what came, what was wanted, how to fix it; and one to warn."""

import sys
import warnings

__all__ = ["bad_input", "warn_user"]


def bad_input(
    argument: str, got: str, wanted: str, fix: str = "", kind: type[Exception] = ValueError
) -> Exception:
    """The exception to raise for a bad argument.

    Args:
        argument: name of the argument, as the caller wrote it.
        got: what came, with its shape, dtype or value.
        wanted: what would have been accepted.
        fix: one sentence that says how to get there.
        kind: ``ValueError``, or ``TypeError`` where the type itself is wrong.

    Returns:
        The exception; the caller raises it, so that the traceback ends at the check.
    """
    return kind(f"{argument}: got {got}, wanted {wanted}." + (f" {fix}" if fix else ""))


def warn_user(message: str, kind: type[Warning] = RuntimeWarning) -> None:
    """Warns at the line of whoever called this library, however deep inside of it."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith(
        ("sparseot.", "torch.")
    ):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, kind, stacklevel=level)
