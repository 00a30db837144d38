"""What a Triton kernel costs on a card that is not there: compiled, disassembled and counted.

Triton's wheel carries NVIDIA's assembler and disassembler, and neither asks for a driver. The loops
of a kernel are found by the branches that go back, and of the innermost one instructions are counted
by the pipe of a quarter of a multiprocessor that takes them. The busiest pipe bounds the rate. No
waiting is counted, so the rate is a ceiling.

Assumed of an H100 or H200 (SXM): 132 multiprocessors at 1.98 GHz, 1.75 GHz when matrix units are
busy, each of four quarters that issue one instruction of a warp a clock (NVIDIA, 2023, "H100 Tensor
Core GPU Architecture", and the table of throughputs in the CUDA C++ Programming Guide).
"""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

__all__ = ["SHARED", "Compiled", "Launch", "ceiling", "clocks", "compiled"]

MULTIPROCESSORS, CLOCK, MATRIX_CLOCK = 132, 1.98e9, 1.75e9
SHARED = {80: 163 << 10, 90: 227 << 10}  # bytes that one block of threads may have
HALF_PRODUCTS = 512  # a clock and a quarter, of numbers in half precision; of TF32 half as many
PIPES = {  # instructions, and clocks for which one of a warp holds the pipe
    "FMA": (r"FFMA|FADD|FMUL", 1),
    "heavy FMA": (r"IMAD|HFMA2", 2),
    "integers": (r"FMNMX|FSETP|FSEL|SEL|IADD|ISETP|LOP3|SHF|LEA|PRMT|MOV|IABS|VI|PLOP3|P2R|R2P", 2),
    "special functions": (r"MUFU|F2I|I2F|F2F|FRND|POPC|FLO", 8),
    "double precision": (r"DFMA|DADD|DMUL|DSETP", 2),
    "memory": (r"LDG|LDS|STS|STG|STSM|SHFL|ATOM|RED|LDL|STL|LDC|LDSM|LDGSTS", 4),
    "uniform": (r"U[A-Z]|R2UR|S2UR|CS2R|S2R|VOTE", 2),
    "matrix units": (r"HGMMA|HMMA|DMMA", 0),
}
TYPES = {
    torch.float16: "*fp16",
    torch.float32: "*fp32",
    torch.float64: "*fp64",
    torch.int32: "*i32",
    torch.int64: "*i64",
}


@dataclass(frozen=True)
class Launch:
    """What the engine would have run."""

    kernel: Any
    warps: int
    arguments: tuple[Any, ...]
    switches: dict[str, Any]
    most: int | None = None  # registers

    def source(self) -> ASTSource:
        """As Triton specialises it: tensors are aligned, and so are numbers that 16 divides."""
        names = self.kernel.arg_names
        signature: dict[str, str] = dict.fromkeys(names, "constexpr")
        fixed, known = dict(self.switches), {}
        for place, (name, value) in enumerate(zip(names, self.arguments, strict=False)):
            if isinstance(value, torch.Tensor):
                signature[name] = TYPES[value.dtype]
            elif value is None or value == 1:
                fixed[name] = value
                continue
            else:
                signature[name] = "i32" if isinstance(value, int) else "fp32"
            if isinstance(value, torch.Tensor) or (isinstance(value, int) and value % 16 == 0):
                known[(place,)] = [["tt.divisibility", 16]]
        return ASTSource(self.kernel, signature, fixed, known)


@dataclass(frozen=True)
class Compiled:
    """A kernel in machine code."""

    code: list[tuple[int, str]]  # addresses and instructions
    registers: int
    stack: int
    shared: int
    warps: int

    @property
    def spills(self) -> int:
        """Instructions that go to memory because registers do not suffice."""
        return sum(_name(text).startswith(("LDL", "STL")) for _, text in self.code)

    @property
    def atomics(self) -> int:
        """Instructions that add to memory in the order in which they come; REDUX stays in a warp."""
        names = (_name(text) for _, text in self.code)
        return sum(re.match(r"ATOM|RED(?!UX)", name) is not None for name in names)

    @cached_property
    def _nested(self) -> list[tuple[bool, list[str]]]:
        """Whether a loop has others inside, and its instructions without theirs, in their order."""
        ends = []
        for address, text in self.code:
            target = re.search(r"BRA(?:\.\w+)*\s+(?:U?!?U?P\d,\s*)?0x([0-9a-f]+)", text)
            if target and int(target[1], 16) < address:
                ends.append((int(target[1], 16), address))
        bodies = []
        for a, b in sorted(ends):
            inner = [(c, d) for c, d in ends if a <= c and d <= b and (c, d) != (a, b)]
            body = [
                s for at, s in self.code if a <= at <= b and not any(c <= at <= d for c, d in inner)
            ]
            bodies.append((bool(inner), body))
        return bodies

    @property
    def innermost(self) -> list[list[str]]:
        """The instructions of each loop that has none inside."""
        return [body for nested, body in self._nested if not nested]

    def loop(self, mark: str) -> list[str]:
        """The first loop with an instruction of that name."""
        return next(
            body for _, body in self._nested if any(_name(s).startswith(mark) for s in body)
        )


def compiled(launch: Launch, capability: int) -> Compiled:
    """A launch, compiled for a compute capability."""
    target = GPUTarget("cuda", capability, 32)
    options = {"num_warps": launch.warps, "enable_fp_fusion": True, "maxnreg": launch.most}
    made = triton.compile(launch.source(), target=target, options=options)
    tool = os.path.join(os.path.dirname(triton.__file__), "backends", "nvidia", "bin", "cuobjdump")
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(made.asm["cubin"])
        file.flush()
        sass, usage = (
            subprocess.run(
                [tool, how, file.name], capture_output=True, text=True, check=True
            ).stdout
            for how in ("-sass", "-res-usage")
        )
    code = re.findall(r"/\*([0-9a-f]{4,5})\*/\s+([^;]+);", sass)
    uses = dict(re.findall(r"(REG|STACK):(\d+)", usage))
    return Compiled(
        [(int(at, 16), text.strip()) for at, text in code],
        int(uses["REG"]),
        int(uses["STACK"]),
        made.metadata.shared,
        launch.warps,
    )


def clocks(body: list[str]) -> Counter[str]:
    """Clocks for which each pipe of a quarter is held by one warp's walk through a loop."""
    need: Counter[str] = Counter()
    for text in body:
        name = _name(text)
        need["issue"] += 1
        for pipe, (names, hold) in PIPES.items():
            if re.match(names, name):
                if pipe == "matrix units":
                    hold = _of_matrices(name)
                elif pipe == "memory" and "SHFL" not in name:
                    hold *= 4 if ".128" in name else 2 if ".64" in name else 1
                need[pipe] += hold
                break
    return need


def ceiling(body: list[str], pairs: float) -> tuple[float, str]:
    """Pairs a second that the busiest pipe allows, and which one; of ``pairs`` a warp and walk."""
    clock = {"matrix units": MATRIX_CLOCK}
    rates = {
        pipe: 4 * MULTIPROCESSORS * pairs / need * clock.get(pipe, CLOCK)
        for pipe, need in clocks(body).items()
        if need
    }
    pipe = min(rates, key=lambda name: rates[name])
    return rates[pipe], pipe


def _of_matrices(name: str) -> float:
    """HGMMA.64xNxK is shared by four warps; HMMA is one warp's, at 5/8 of the rate."""
    width = HALF_PRODUCTS // (2 if "TF32" in name else 1)
    if shape := re.search(r"\.(\d+)x(\d+)x(\d+)", name):
        m, n, k = map(int, shape.groups())
        return m / 4 * n * k / width
    if "DMMA" in name:
        return 16.0
    found = re.search(r"168(\d+)", name)
    assert found
    return 16 * 8 * int(found[1]) / width / 0.625


def _name(instruction: str) -> str:
    """Its name, without a predicate."""
    return re.sub(r"^@!?U?P\w\s+", "", instruction).split()[0]
