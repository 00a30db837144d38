"""What programs are written with: numbers, vectors of lanes, memory and loops."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

__all__ = ["Words"]

Value = Any  # a value of llvmlite's
FREE = ("contract",)  # a product and a sum may be rounded once


class Words:
    """A builder of one function, with vectors of ``lanes`` numbers of ``bits`` bits."""

    def __init__(self, bits: int, lanes: int) -> None:
        self.bits, self.lanes = bits, lanes
        self.real = ir.FloatType() if bits == 32 else ir.DoubleType()
        self.vector = ir.VectorType(self.real, lanes)
        self.integers = ir.VectorType(ir.IntType(bits), lanes)
        self.long, self.short = ir.IntType(64), ir.IntType(32)
        self.module = ir.Module("trees")

    def begin(self, name: str, pointers: str, counts: int) -> list[Value]:
        """Opens a function of pointers, to reals ``r``, or integers ``l``, ``s``, and 64-bit numbers."""
        kinds = {"r": self.real, "d": ir.DoubleType(), "l": self.long, "s": self.short}
        types = [kinds[k].as_pointer() for k in pointers] + [self.long] * counts
        function = ir.Function(self.module, ir.FunctionType(ir.VoidType(), types), name)
        for a in function.args[: len(pointers)]:
            a.add_attribute("noalias")
        self.function = function
        self.b = ir.IRBuilder(function.append_basic_block("entry"))
        return list(function.args)

    # whole numbers, for places

    def num(self, value: int | Value) -> Value:
        """A 64-bit number."""
        return ir.Constant(self.long, value) if isinstance(value, int) else value

    def plus(self, a: Value, b: int | Value) -> Value:
        """``a + b``"""
        return self.b.add(a, self.num(b))

    def times(self, a: Value, b: int | Value) -> Value:
        """``a * b``"""
        return self.b.mul(a, self.num(b))

    def smaller(self, a: Value, b: Value) -> Value:
        """The smaller of two numbers."""
        return self.b.select(self.b.icmp_signed("<", a, b), a, b)

    def number_at(self, pointer: Value, place: int | Value) -> Value:
        """One number of an array."""
        return self.b.load(self.b.gep(pointer, [self.num(place)]))

    # vectors

    def splat(self, value: float, kind: Any = None) -> Value:
        """A constant in all lanes."""
        kind = kind or self.vector
        return ir.Constant(kind, [ir.Constant(kind.element, value)] * self.lanes)

    def spread(self, scalar: Value) -> Value:
        """One number in all lanes."""
        kind = ir.VectorType(scalar.type, self.lanes)
        none = ir.Constant(kind, ir.Undefined)
        first = self.b.insert_element(none, scalar, ir.Constant(self.short, 0))
        zeros = ir.Constant(ir.VectorType(self.short, self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(first, none, zeros)

    def _pointer(self, base: Value, place: Value, kind: Any) -> Value:
        return self.b.bitcast(self.b.gep(base, [self.num(place)]), kind.as_pointer())

    def load(self, base: Value, place: int | Value, kind: Any = None) -> Value:
        """The vector that begins at a place of an array."""
        kind = kind or self.vector
        found = self.b.load(self._pointer(base, place, kind))
        found.align = getattr(kind.element, "width", self.bits) // 8
        return found

    def store(self, value: Value, base: Value, place: int | Value) -> None:
        """Writes a vector to an array."""
        width = getattr(value.type.element, "width", self.bits)
        self.b.store(value, self._pointer(base, place, value.type)).align = width // 8

    def room(self, vectors: int, kind: Any = None) -> Value:
        """An array of vectors on the stack."""
        kind = kind or self.vector
        with self.b.goto_entry_block():
            found = self.b.alloca(kind.element, self.num(vectors * self.lanes))
            found.align = 64
        return found

    def variable(self, value: Value | None = None, kind: Any = None) -> Value:
        """A place for one value."""
        with self.b.goto_entry_block():
            place = self.b.alloca(kind or (self.vector if value is None else value.type))
        if value is not None:
            self.b.store(value, place)
        return place

    def zeros(self, count: int) -> list[Value]:
        """Variables that are zero."""
        return [self.variable(self.splat(0.0)) for _ in range(count)]

    def increase(self, place: Value, value: Value) -> None:
        """Adds to a variable."""
        self.b.store(self.b.fadd(self.b.load(place), value, flags=FREE), place)

    def call(self, name: str, *args: Value) -> Value:
        """An intrinsic of LLVM, lane by lane."""
        full = f"llvm.{name}.v{self.lanes}f{self.bits}"
        return self._intrinsic(full, self.vector, args)

    def added(self, vector: Value) -> Value:
        """The sum of the lanes."""
        full = f"llvm.vector.reduce.fadd.v{self.lanes}f{self.bits}"
        zero = ir.Constant(self.real, 0.0)
        return self._intrinsic(full, self.real, (zero, vector), ("reassoc",))

    def _intrinsic(self, full: str, result: Any, args: Any, flags: Any = ()) -> Value:
        known = self.module.globals.get(full)
        if known is None:
            known = ir.Function(self.module, ir.FunctionType(result, [a.type for a in args]), full)
        return self.b.call(known, args, fastmath=flags)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """``a * b + c``"""
        return self.call("fmuladd", a, b, c)

    def choose(self, sign: str, a: Value, b: Value, yes: Value, no: Value) -> Value:
        """``yes`` where the comparison holds; it does not for NaN."""
        return self.b.select(self.b.fcmp_ordered(sign, a, b), yes, no)

    # loops

    @contextmanager
    def loop(self, lo: int | Value, hi: int | Value, step: int = 1) -> Iterator[Value]:
        """Counts from ``lo`` to below ``hi``."""
        counter = self.variable(self.num(lo))
        head, body, after = (self.function.append_basic_block(n) for n in ("head", "body", "after"))
        self.b.branch(head)
        self.b.position_at_end(head)
        self.b.cbranch(self.b.icmp_signed("<", self.b.load(counter), self.num(hi)), body, after)
        self.b.position_at_end(body)
        now = self.b.load(counter)
        yield now
        self.b.store(self.b.add(now, self.num(step)), counter)
        self.b.branch(head)
        self.b.position_at_end(after)

    def text(self) -> str:
        """The program."""
        return str(self.module)
