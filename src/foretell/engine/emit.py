"""A small language for kernels over llvmlite: Python expressions that emit LLVM IR.

    with fn.range(0, count) as i:
        total.set(total.get() + source.load(F32, i * 4))

Values are LLVM values with operators. A mutable `Var` is a stack slot which LLVM promotes to registers. Pointers are
byte pointers, offsets are bytes. Floating-point operations are exactly those written: no contraction, no
reassociation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from llvmlite import ir

from foretell.engine.isa import ISA

I1, I8, I16, I32, I64 = (ir.IntType(n) for n in (1, 8, 16, 32, 64))
F16, F32 = ir.HalfType(), ir.FloatType()
PTR = I8.as_pointer()
VOID = ir.VoidType()
LANES = 16  # outputs side by side: one 512-bit register of 32-bit lanes; narrower machines use several registers

Number = int | float


def vector(element: ir.Type, lanes: int = LANES) -> ir.VectorType:
    """The type <lanes x element>."""
    return ir.VectorType(element, lanes)


def element_of(kind: ir.Type) -> ir.Type:
    """The lane's type of a vector, or the scalar's own."""
    return kind.element if isinstance(kind, ir.VectorType) else kind


def is_float(kind: ir.Type) -> bool:
    """Whether values of this type are floating point."""
    return isinstance(element_of(kind), ir.FloatType | ir.HalfType)


def constant(kind: ir.Type, number: Number) -> ir.Constant:
    """The same number in every lane."""
    return ir.Constant(kind, [number] * kind.count if isinstance(kind, ir.VectorType) else number)


class Value:
    """An LLVM value with operators. Integer comparison, division and right shift are signed; `lshr` is not."""

    __slots__ = ("fn", "raw")
    __hash__ = None  # type: ignore[assignment]  # comparisons emit code, so values cannot be keys

    def __init__(self, fn: Fn, raw: Any) -> None:
        self.fn, self.raw = fn, raw

    @property
    def type(self) -> ir.Type:
        """The LLVM type."""
        return self.raw.type

    def _op(self, other: Value | int | float, on_int: str, on_float: str | None) -> Value:
        name = on_float if is_float(self.type) else on_int
        if name is None:
            raise TypeError(f"{on_int} is not defined for {self.type}")
        return Value(self.fn, getattr(self.fn.b, name)(self.raw, self.fn.lift(other, self.type)))

    def __add__(self, other: Value | int | float) -> Value:
        return self._op(other, "add", "fadd")

    def __sub__(self, other: Value | int | float) -> Value:
        return self._op(other, "sub", "fsub")

    def __mul__(self, other: Value | int | float) -> Value:
        return self._op(other, "mul", "fmul")

    def __truediv__(self, other: Value | int | float) -> Value:
        return self._op(other, "sdiv", "fdiv")

    def __floordiv__(self, other: Value | int | float) -> Value:
        return self._op(other, "sdiv", None)

    def __mod__(self, other: Value | int | float) -> Value:
        return self._op(other, "srem", None)

    def __and__(self, other: Value | int | float) -> Value:
        return self._op(other, "and_", None)

    def __or__(self, other: Value | int | float) -> Value:
        return self._op(other, "or_", None)

    def __xor__(self, other: Value | int | float) -> Value:
        return self._op(other, "xor", None)

    def __lshift__(self, other: Value | int | float) -> Value:
        return self._op(other, "shl", None)

    def __rshift__(self, other: Value | int | float) -> Value:
        return self._op(other, "ashr", None)

    def lshr(self, other: Value | int | float) -> Value:
        """Logical right shift."""
        return self._op(other, "lshr", None)

    def udiv(self, other: Value | int | float) -> Value:
        """Unsigned division."""
        return self._op(other, "udiv", None)

    def urem(self, other: Value | int | float) -> Value:
        """Remainder of unsigned division."""
        return self._op(other, "urem", None)

    def _compare(self, sign: str, other: Value | int | float) -> Value:
        b, right = self.fn.b, self.fn.lift(other, self.type)
        compare = b.fcmp_ordered if is_float(self.type) else b.icmp_signed
        return Value(self.fn, compare(sign, self.raw, right))

    def __lt__(self, other: Value | int | float) -> Value:
        return self._compare("<", other)

    def __le__(self, other: Value | int | float) -> Value:
        return self._compare("<=", other)

    def __gt__(self, other: Value | int | float) -> Value:
        return self._compare(">", other)

    def __ge__(self, other: Value | int | float) -> Value:
        return self._compare(">=", other)

    def eq(self, other: Value | int | float) -> Value:
        """Equality, as a bit or a vector of bits."""
        return self._compare("==", other)

    def ne(self, other: Value | int | float) -> Value:
        """Inequality."""
        return self._compare("!=", other)

    def __neg__(self) -> Value:
        return Value(self.fn, self.fn.b.fneg(self.raw) if is_float(self.type) else self.fn.b.neg(self.raw))

    def select(self, yes: Value | int | float, no: Value) -> Value:
        """`yes` where this bit is set, else `no`."""
        return Value(self.fn, self.fn.b.select(self.raw, self.fn.lift(yes, no.type), no.raw))

    def bits(self, kind: ir.Type) -> Value:
        """The same bits as another type."""
        return Value(self.fn, self.fn.b.bitcast(self.raw, kind))

    def zext(self, kind: ir.Type) -> Value:
        """Widen without sign."""
        return Value(self.fn, self.fn.b.zext(self.raw, kind))

    def sext(self, kind: ir.Type) -> Value:
        """Widen with sign."""
        return Value(self.fn, self.fn.b.sext(self.raw, kind))

    def trunc(self, kind: ir.Type) -> Value:
        """Drop high bits."""
        return Value(self.fn, self.fn.b.trunc(self.raw, kind))

    def to_float(self) -> Value:
        """Signed integer to float32, round to nearest even."""
        kind = vector(F32, self.type.count) if isinstance(self.type, ir.VectorType) else F32
        return Value(self.fn, self.fn.b.sitofp(self.raw, kind))

    def to_int(self) -> Value:
        """Float32 to int32, towards zero."""
        kind = vector(I32, self.type.count) if isinstance(self.type, ir.VectorType) else I32
        return Value(self.fn, self.fn.b.fptosi(self.raw, kind))

    def splat(self, lanes: int = LANES) -> Value:
        """This scalar in every lane."""
        b, kind = self.fn.b, vector(self.type, lanes)
        one = b.insert_element(ir.Constant(kind, ir.Undefined), self.raw, ir.Constant(I32, 0))
        return Value(self.fn, b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), constant(vector(I32, lanes), 0)))

    def lane(self, index: int) -> Value:
        """One lane."""
        return Value(self.fn, self.fn.b.extract_element(self.raw, ir.Constant(I32, index)))

    def lanes(self, indices: Sequence[int], other: Value | None = None) -> Value:
        """Lanes of this vector, then of `other`, in a new order."""
        right = ir.Constant(self.type, ir.Undefined) if other is None else other.raw
        mask = ir.Constant(vector(I32, len(indices)), list(indices))
        return Value(self.fn, self.fn.b.shuffle_vector(self.raw, right, mask))

    def fold(self, combine: Any) -> Value:
        """Reduce the lanes to one in the fixed order of a halving tree."""
        current, width = self, self.type.count
        while width > 1:
            width //= 2
            low, high = current.lanes(range(width)), current.lanes(range(width, 2 * width))
            current = combine(low, high)
        return current.lane(0)


class Pointer:
    """A byte address."""

    __slots__ = ("fn", "raw")

    def __init__(self, fn: Fn, raw: Any) -> None:
        self.fn, self.raw = fn, raw

    def at(self, offset: Value | int) -> Pointer:
        """The address `offset` bytes further on."""
        raw = self.fn.lift(offset, I64)
        return Pointer(self.fn, self.fn.b.gep(self.raw, [raw]))

    def given(self) -> Value:
        """Whether it is not null: records leave out what is not wanted by a null address."""
        return Value(self.fn, self.fn.b.ptrtoint(self.raw, I64)).ne(0)

    def _typed(self, kind: ir.Type, offset: Value | int) -> Any:
        return self.fn.b.bitcast(self.at(offset).raw, kind.as_pointer())

    def load(self, kind: ir.Type, offset: Value | int = 0, align: int | None = None) -> Value:
        """Read a value; vectors need no alignment."""
        return Value(self.fn, self.fn.b.load(self._typed(kind, offset), align=align or natural(kind)))

    def load_pointer(self, offset: Value | int = 0) -> Pointer:
        """Read an address."""
        return Pointer(self.fn, self.fn.b.load(self._typed(PTR, offset), align=8))

    def store(self, value: Value, offset: Value | int = 0) -> None:
        """Write a value; vectors need no alignment."""
        self.fn.b.store(value.raw, self._typed(value.type, offset), align=natural(value.type))

    def opaque(self) -> Pointer:
        """The same address, from which LLVM reads at constant offsets: it cannot see the loop's counter in it.

        An instruction that adds an index register to its address takes two of the processor's slots instead of one.
        """
        kind = ir.FunctionType(PTR, [PTR])
        return Pointer(self.fn, self.fn.b.call(ir.InlineAsm(kind, "", "=r,0"), [self.raw]))


def natural(kind: ir.Type) -> int:
    """Alignment of a value in our arrays, in bytes: that of its element."""
    element = element_of(kind)
    if isinstance(element, ir.IntType):
        return max(1, int(element.width) // 8)
    return {F16: 2, F32: 4}.get(element, 8)


class Var:
    """A mutable local."""

    __slots__ = ("fn", "slot")

    def __init__(self, fn: Fn, slot: Any) -> None:
        self.fn, self.slot = fn, slot

    def get(self) -> Value:
        """The present value."""
        return Value(self.fn, self.fn.b.load(self.slot))

    def set(self, value: Value) -> None:
        """Assign."""
        self.fn.b.store(value.raw, self.slot)


class Slot:
    """A mutable value at an address: for more of them than there are registers."""

    __slots__ = ("at", "kind")

    def __init__(self, at: Pointer, kind: ir.Type) -> None:
        self.at, self.kind = at, kind

    def get(self) -> Value:
        """The present value."""
        return self.at.load(self.kind)

    def set(self, value: Value) -> None:
        """Assign."""
        self.at.store(value)


class Fn:
    """A function being written. `args` are Values, or Pointers where the parameter's type is PTR."""

    def __init__(self, module: ir.Module, isa: ISA, name: str, params: Sequence[ir.Type]) -> None:
        self.module, self.isa = module, isa
        self.raw = ir.Function(module, ir.FunctionType(VOID, list(params)), name)
        self.raw.attributes.add("nounwind")
        self.entry = self.raw.append_basic_block("entry")
        body = self.raw.append_basic_block("body")
        self.b = ir.IRBuilder(body)
        self.args: list[Any] = [Pointer(self, a) if a.type == PTR else Value(self, a) for a in self.raw.args]
        self._body = body

    def finish(self) -> None:
        """Return from the function."""
        self.b.ret_void()
        ir.IRBuilder(self.entry).branch(self._body)

    def lift(self, operand: Any, kind: ir.Type) -> Any:
        """A raw LLVM value of the given type from a Value or a number."""
        return operand.raw if isinstance(operand, Value) else constant(kind, operand)

    def const(self, kind: ir.Type, number: Number) -> Value:
        """A constant."""
        return Value(self, constant(kind, number))

    def table(self, kind: ir.Type, numbers: Sequence[Number]) -> Value:
        """A constant vector."""
        return Value(self, ir.Constant(vector(kind, len(numbers)), list(numbers)))

    def var(self, initial: Value) -> Var:
        """A mutable local with a first value."""
        slot = ir.IRBuilder(self.entry).alloca(initial.type)
        self.b.store(initial.raw, slot)
        return Var(self, slot)

    def scratch(self, size_bytes: int) -> Pointer:
        """Uninitialised bytes on the stack, 64-byte aligned."""
        slot = ir.IRBuilder(self.entry).alloca(I8, size=size_bytes)
        slot.align = 64
        return Pointer(self, slot)

    @contextmanager
    def range(self, start: Value | int, stop: Value | int, step: int = 1) -> Iterator[Value]:
        """A loop over start, start + step, … below stop, 64 bits wide; may run zero times."""
        head, body, after = (self.raw.append_basic_block(n) for n in ("head", "loop", "after"))
        first, before = self.lift(start, I64), self.b.block
        stop_raw = self.lift(stop, I64)
        self.b.branch(head)
        self.b.position_at_end(head)
        i = self.b.phi(I64)
        i.add_incoming(first, before)
        self.b.cbranch(self.b.icmp_signed("<", i, stop_raw), body, after)
        self.b.position_at_end(body)
        yield Value(self, i)
        i.add_incoming(self.b.add(i, ir.Constant(I64, step)), self.b.block)
        self.b.branch(head)
        self.b.position_at_end(after)

    @contextmanager
    def loop_while(self) -> Iterator[Any]:
        """An endless loop; call the yielded function with a condition to leave when it holds."""
        head, after = self.raw.append_basic_block("again"), self.raw.append_basic_block("done")
        self.b.branch(head)
        self.b.position_at_end(head)

        def leave_if(condition: Value) -> None:
            rest = self.raw.append_basic_block("rest")
            self.b.cbranch(condition.raw, after, rest)
            self.b.position_at_end(rest)

        yield leave_if
        self.b.branch(head)
        self.b.position_at_end(after)

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """If the condition holds."""
        yes, after = self.raw.append_basic_block("yes"), self.raw.append_basic_block("after")
        self.b.cbranch(condition.raw, yes, after)
        self.b.position_at_end(yes)
        yield
        self.b.branch(after)
        self.b.position_at_end(after)

    def external(self, name: str, result: ir.Type, params: Sequence[ir.Type]) -> ir.Function:
        """A declaration, made once per module."""
        known = self.module.globals.get(name)
        return known if known is not None else ir.Function(self.module, ir.FunctionType(result, list(params)), name)

    def call(self, name: str, result: ir.Type, *args: Any) -> Value:
        """Call an LLVM intrinsic or another function of this module by name; constants must be given as Values."""
        raw = [a.raw for a in args]
        return Value(self, self.b.call(self.external(name, result, [a.type for a in raw]), raw))

    def call_pointer(self, address: Pointer, *args: Any) -> None:
        """Call a function through its address."""
        raw = [a.raw for a in args]
        kind = ir.FunctionType(VOID, [a.type for a in raw])
        self.b.call(self.b.bitcast(address.raw, kind.as_pointer()), raw)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once where the instruction set has fused multiply-add, else twice."""
        if not self.isa.fused:
            return a * b + c
        lanes = f"v{a.type.count}" if isinstance(a.type, ir.VectorType) else ""
        return self.call(f"llvm.fma.{lanes}f32", a.type, a, b, c)

    def maximum(self, a: Value, b: Value) -> Value:
        """The larger (no NaN expected)."""
        return (a > b).select(a, b)

    def minimum(self, a: Value, b: Value) -> Value:
        """The smaller (no NaN expected)."""
        return (a < b).select(a, b)

    def absolute(self, a: Value) -> Value:
        """|a| of floats."""
        mask = vector(I32, a.type.count) if isinstance(a.type, ir.VectorType) else I32
        return (a.bits(mask) & 0x7FFFFFFF).bits(a.type)

    def round_even(self, a: Value) -> Value:
        """Nearest integer as int32, ties to even, for |a| < 2^22."""
        # Adding 1.5 * 2^23 leaves the integer in the low mantissa bits.
        magic = 12582912.0
        kind = vector(I32, a.type.count) if isinstance(a.type, ir.VectorType) else I32
        return (a + magic).bits(kind) - 0x4B400000

    def prefetch(self, address: Pointer, level: int) -> None:
        """Ask for a cache line: level 3 into the first-level cache, 2 into the second."""
        self.b.call(
            self.external("llvm.prefetch.p0", VOID, [PTR, I32, I32, I32]),
            [address.raw, constant(I32, 0), constant(I32, level), constant(I32, 1)],
        )
