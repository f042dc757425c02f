"""LLVM modules to machine code: compiled once, kept on disk as objects, loaded without rebuilding any IR.

An object's key is the digest of this package's sources and of those that it takes numbers from, LLVM's version, the
instruction set and the module's name, so any change of the generator makes new objects. Linking resolves nothing
outside the object: a call into libm or compiler-rt is an error here, not a crash later.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import llvmlite.binding as llvm
from llvmlite import ir

from foretell.engine.isa import ISA

Build = Callable[[ir.Module, ISA], None]
# Outside this package, what kernels are made of: formats' sizes, and how a token is chosen.
_ALSO = ("models/formats.py", "accept/noise.py", "accept/sampling.py", "accept/warpers.py")
_NO_BUILTINS = '"no-builtins"'
_DIGEST_BYTES = 32  # SHA-256, at the end of a kept object


@cache
def _start() -> llvm.LLJIT:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_lljit_compiler(use_jit_link=True)


@cache
def _generator_digest() -> str:
    digest = hashlib.sha256(repr(llvm.llvm_version_info).encode())
    root = Path(__file__).parent
    for source in [*sorted(root.rglob("*.py")), *(root.parent / name for name in _ALSO)]:
        digest.update(source.read_bytes())
    return digest.hexdigest()


def target_machine(isa: ISA) -> llvm.TargetMachine:
    """LLVM's description of an instruction set on this platform."""
    _start()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(cpu=isa.cpu, features=",".join(isa.features), opt=3, reloc="pic", jit=True)


def optimised(name: str, isa: ISA, build: Build) -> llvm.ModuleRef:
    """Build a module, verify it and run LLVM's O3 pipeline over it."""
    machine = target_machine(isa)
    module = ir.Module(name)
    module.triple = llvm.get_default_triple()
    build(module, isa)
    for fn in module.functions:
        if not fn.is_declaration:
            fn.attributes._known = fn.attributes._known | {_NO_BUILTINS}  # noqa: SLF001 - llvmlite lists no such attribute
            fn.attributes.add(_NO_BUILTINS)  # loops that copy stay loops: nothing may call memcpy
    parsed = llvm.parse_assembly(str(module))
    parsed.verify()
    options = llvm.create_pipeline_tuning_options(speed_level=3)
    builder = llvm.create_pass_builder(machine, options)
    builder.getModulePassManager().run(parsed, builder)
    return parsed


def assembly(name: str, isa: ISA, build: Build) -> str:
    """The machine code as text."""
    return str(target_machine(isa).emit_assembly(optimised(name, isa, build)))


class Library:
    """Functions of one compiled module, by name. Keep it alive while their addresses are in use."""

    _count = 0

    def __init__(self, name: str, exports: tuple[str, ...], isa: ISA, build: Build, cache_dir: Path | None) -> None:
        image = compiled(name, isa, build, cache_dir)
        jit = llvm.JITLibraryBuilder().add_object_img(image)
        for export in exports:
            jit.export_symbol(export)
        Library._count += 1
        self._tracker = jit.link(_start(), f"{name}.{isa.name}.{Library._count}")
        self._jit = _start()

    def __getitem__(self, function: str) -> int:
        """The address of an exported function."""
        return int(self._tracker[function])


def kept_at(name: str, isa: ISA, cache_dir: Path) -> Path:
    """Where a module's object is kept once it was compiled."""
    given = f"{_generator_digest()} {isa.name} {llvm.get_default_triple()} {name}"
    return cache_dir / f"{name}.{isa.name}.{hashlib.sha256(given.encode()).hexdigest()[:24]}.o"


def compiled(name: str, isa: ISA, build: Build, cache_dir: Path | None) -> bytes:
    """A module's object: the one that is kept, if it is whole, else a new one, which is kept then."""
    if cache_dir is None:
        return bytes(target_machine(isa).emit_object(optimised(name, isa, build)))
    path = kept_at(name, isa, cache_dir)
    image = _whole(path)
    if image is None:
        image = bytes(target_machine(isa).emit_object(optimised(name, isa, build)))
        _keep(path, image)
    return image


def _whole(path: Path) -> bytes | None:
    """A kept object, or None where there is none or its bytes are not those written: LLVM would trust them."""
    try:
        kept = path.read_bytes()
    except FileNotFoundError:
        return None
    image, digest = kept[:-_DIGEST_BYTES], kept[-_DIGEST_BYTES:]
    return image if hashlib.sha256(image).digest() == digest else None


def _keep(path: Path, image: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_partial(os.getpid()))
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(image + hashlib.sha256(image).digest())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _partial(process: int) -> str:
    return f".partial-{process}-"


def clear(cache_dir: Path, process: int) -> None:
    """Remove what a process that was killed has left behind."""
    for left in cache_dir.glob(f"{_partial(process)}*"):
        left.unlink(missing_ok=True)
