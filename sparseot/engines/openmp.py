"""The threads of torch and of its matrix library, kept asleep while work is small.

They are OpenMP's, which wait for each other and for the next work by spinning, for milliseconds even
where the work took microseconds. Beside other programs, which hold the processor that one of them
waits for, most of the time goes there; and torch wakes them for as little as a product of 50 x 50
numbers. So whoever calls this library works on one thread, and the threads that help with large work
are our own, which sleep while they wait (:mod:`.threads`).

The number of its threads is a property of the thread that asks OpenMP for work (its internal control
variable ``nthreads-var``), and so it is with MKL. ``torch.set_num_threads`` sets both, but writes the
number down for all threads to come as well; hence both are told by themselves, and no other thread
sees anything of it. Where their symbols are not found, torch keeps its threads.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache, wraps
from typing import ParamSpec, TypeVar

import torch

from ..errors import naming_what_was_large
from ..precision import full_precision
from .cpus import available_cpus

__all__ = [
    "NUMBERS",
    "all_threads",
    "alone",
    "callers_threads",
    "on_one_thread",
    "on_threads_for",
    "one_thread",
    "own_settings",
    "thread_count",
    "threads_for",
]

LARGE = 1 << 27  # multiplications, below which torch stays on one thread: some five milliseconds
NUMBERS = 32  # multiplications that take as long as it takes to read and write a number
P = ParamSpec("P")
R = TypeVar("R")
Setter = Callable[[int], int]


class _Local(threading.local):
    """Torch's number of threads around the outermost block of this thread; 0 outside of all."""

    around: int = 0


_local = _Local()


def thread_count(of_torch: bool = False) -> int:
    """How many threads large work may take: as many as torch, on the processors there are.

    Torch's own functions may take as many of our threads, if they can be told to work alone there.
    """
    if of_torch and _library() == (_nothing, _nothing):
        return 1
    return min(_local.around or torch.get_num_threads(), available_cpus())


def one_thread() -> AbstractContextManager[None]:
    """Inside, torch works on the calling thread alone."""
    return _Threads(1)


def all_threads() -> AbstractContextManager[None]:
    """For large work of torch's inside of :func:`one_thread`: its own threads, while it takes."""
    return _Threads(thread_count())


def callers_threads() -> AbstractContextManager[None]:
    """For code of the caller's: as many threads for torch as it had outside of all :func:`one_thread`."""
    return _Threads(_local.around or torch.get_num_threads())


def threads_for(work: float) -> AbstractContextManager[None]:
    """Torch's own threads for so many multiplications if they are many, else this thread alone."""
    return all_threads() if work >= LARGE else one_thread()


def on_one_thread(function: Callable[P, R]) -> Callable[P, R]:
    """The function, on the calling thread alone; ``torch.compile`` sees the function itself."""

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        if torch.compiler.is_compiling() or torch.get_num_threads() == 1:
            return function(*args, **kwargs)
        with _Threads(1):
            return function(*args, **kwargs)

    return run


def own_settings(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, in full precision and on the calling thread, whatever its caller has set.

    For what is public, and for backward passes, which torch runs in the mode of whoever calls
    ``backward()``. Large work inside asks for torch's threads by :func:`threads_for`. Where a device has
    no room, the error says for what.
    """
    return naming_what_was_large(full_precision(on_one_thread(function)))


def on_threads_for(work: Callable[..., float]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The same for a function whose work, by its arguments, may be large: then on torch's threads."""

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        @wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if torch.compiler.is_compiling():
                return function(*args, **kwargs)
            with threads_for(work(*args, **kwargs)):
                return function(*args, **kwargs)

        return run

    return decorate


def alone() -> None:
    """From now on torch works on this thread alone: for threads of our own."""
    torch.get_num_threads()
    for tell in _library():
        tell(1)


class _Threads(AbstractContextManager[None]):
    """So many threads for torch, on this thread; a class, for it is entered for microseconds of work."""

    def __init__(self, threads: int) -> None:
        self.threads = threads

    def __enter__(self) -> None:
        # a thread's first call sets its number, which would undo ours
        self.before, self.around, self.local = torch.get_num_threads(), _local.around, 0
        try:
            _local.around = self.around or self.before
            if self.threads != self.before:
                openmp, mkl = _library()
                openmp(self.threads)
                self.local = mkl(self.threads)
        except BaseException:  # Ctrl-C in between
            self.__exit__()
            raise

    def __exit__(self, *_: object) -> None:
        _local.around = self.around
        if self.threads != self.before:
            openmp, mkl = _library()
            openmp(self.before)
            mkl(self.local)


@cache
def _library() -> tuple[Setter, Setter]:
    """What tells OpenMP and MKL a number of threads for the calling thread; MKL's tells the one before."""
    for name in (torch._C.__file__, "libiomp5md.dll"):
        try:
            library = ctypes.PyDLL(name)
            openmp: Setter = library.omp_set_num_threads
        except (OSError, AttributeError):
            continue
        return openmp, getattr(library, "MKL_Set_Num_Threads_Local", _nothing)
    return _nothing, _nothing


def _nothing(threads: int) -> int:
    return 0
