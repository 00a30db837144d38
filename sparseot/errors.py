"""One way to refuse bad input: what came, what was wanted, how to fix it."""

__all__ = ["bad_input"]


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
