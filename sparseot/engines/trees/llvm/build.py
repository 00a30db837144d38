"""From text to a function: LLVM's optimiser and linker, in this process; nothing is kept on disk.

A program takes milliseconds, less than reading it from a file would be worth, so there is no
cache to be made safe for two processes, or to be told of another machine or version.
"""

from __future__ import annotations

import ctypes
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

__all__ = ["Machine", "Program", "compiled", "this_machine"]

_lock = threading.Lock()


@dataclass(frozen=True)
class Machine:
    """What code is made for: LLVM's name of the processor, its features, the bits and the number of its vectors."""

    processor: str
    features: str
    bits: int
    registers: int = 16


@dataclass(frozen=True)
class Program:
    """A function in memory, and what keeps it there."""

    call: Callable[..., None]
    keep: Any


@cache
def this_machine() -> Machine:
    """The processor at hand."""
    import llvmlite.binding as llvm

    features = llvm.get_host_cpu_features()
    bits = 512 if features.get("avx512f") else 256 if features.get("avx2") else 128
    many = bits == 512 or platform.machine().lower() in ("arm64", "aarch64")
    return Machine(llvm.get_host_cpu_name(), features.flatten(), bits, 32 if many else 16)


@cache
def _target(machine: Machine) -> Any:
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=machine.processor, features=machine.features, opt=3, reloc="pic", codemodel="small"
    )


def compiled(text: str, machine: Machine, pointers: int, counts: int) -> Program:
    """The function ``loop`` of a program, of so many pointers and 64-bit numbers.

    While it runs, the interpreter's lock is free.
    """
    import llvmlite.binding as llvm

    with _lock:
        target = _target(machine)
        module = llvm.parse_assembly(text)
        options = llvm.create_pipeline_tuning_options(speed_level=3)
        options.loop_vectorization = options.slp_vectorization = False  # lanes are vectors already
        builder = llvm.create_pass_builder(target, options)
        builder.getModulePassManager().run(module, builder)
        image = target.emit_object(module)
        library = llvm.JITLibraryBuilder().add_object_img(image).add_current_process()
        jit = llvm.create_lljit_compiler(target)
        linked = library.export_symbol("loop").link(jit, "trees")
    kinds = [ctypes.c_void_p] * pointers + [ctypes.c_int64] * counts
    return Program(ctypes.CFUNCTYPE(None, *kinds)(linked["loop"]), (jit, linked))
