"""Flatten a jaxpr into a list of plain equations: calls inlined, dead code gone, shapes symbolic or not."""

# jax's own types are incomplete here (avals, parameters, tracebacks), so nothing about them can be known statically.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportPrivateImportUsage=false

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from parity.ideal.equation import Equation, Spec, lift

# Calls that compute what their jaxpr computes: primitive name -> parameter that holds it.
_CALLS = {
    "jit": "jaxpr",
    "pjit": "jaxpr",
    "closed_call": "call_jaxpr",
    "core_call": "call_jaxpr",
    "call": "call_jaxpr",
    "custom_jvp_call": "call_jaxpr",
    "custom_vjp_call": "call_jaxpr",
    "custom_vjp_call_jaxpr": "call_jaxpr",
    "remat": "jaxpr",
    "remat2": "jaxpr",
    "checkpoint": "jaxpr",
    "custom_vmap_call": "call",
    "composite": "jaxpr",
    "custom_lin": "jaxpr",
}


@dataclass(frozen=True, slots=True)
class Line:
    """One equation of a flattened program; operands and results are slots of an environment."""

    name: str
    params: Mapping[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_avals: tuple[Any, ...]
    output_avals: tuple[Any, ...]
    primitive: Any
    # Tracebacks of the equation itself, then of the calls it was inlined from.
    tracebacks: tuple[Any, ...]

    def concrete(self, sizes: "Sizes") -> Equation:
        """Put sizes in place of symbolic dimensions."""
        params = self.params
        if sizes:
            params = {name: substitute(value, sizes) for name, value in params.items()}
        inputs = tuple([spec(aval, sizes) for aval in self.input_avals])
        return Equation(self.name, params, inputs, tuple([spec(aval, sizes) for aval in self.output_avals]))


@dataclass(frozen=True, slots=True)
class Flat:
    """A flattened program."""

    lines: tuple[Line, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    input_avals: tuple[Any, ...]
    output_avals: tuple[Any, ...]
    constants: Mapping[int, Any]
    slots: int


def flatten(closed: ClosedJaxpr) -> Flat:
    """Flatten a program.

    Raises:
        NotImplementedError: the program mutates references, which have no value to follow.
    """
    builder = _Builder()
    inputs = tuple(builder.slot() for _ in closed.jaxpr.invars)
    outputs = tuple(builder.walk(closed, inputs, ()))
    lines = _alive(builder.lines, outputs)
    used = {slot for line in lines for slot in line.inputs} | set(outputs)
    return Flat(
        lines=lines,
        inputs=inputs,
        outputs=outputs,
        input_avals=tuple(var.aval for var in closed.jaxpr.invars),
        output_avals=tuple(var.aval for var in closed.jaxpr.outvars),
        constants={slot: value for slot, value in builder.constants.items() if slot in used},
        slots=builder.slots,
    )


class _Builder:
    """The state of one flattening: slots handed out, lines and constants found."""

    def __init__(self) -> None:
        self.slots = 0
        self.lines: list[Line] = []
        self.constants: dict[int, Any] = {}

    def slot(self) -> int:
        self.slots += 1
        return self.slots - 1

    def constant(self, value: Any) -> int:
        slot = self.slot()
        self.constants[slot] = to_numpy(value)
        return slot

    def walk(self, closed: ClosedJaxpr, inputs: Sequence[int], outer: tuple[Any, ...]) -> list[int]:
        """Append a program's lines; return the slots of its outputs."""
        where: dict[Any, int] = dict(zip(closed.jaxpr.invars, inputs, strict=True))
        constants = zip(closed.jaxpr.constvars, closed.consts, strict=True)
        where.update({var: self.constant(value) for var, value in constants})

        def read(atom: Any) -> int:
            if isinstance(atom, Literal):
                return self.constant(np.asarray(atom.val, lift(atom.aval.dtype)))
            return where[atom]

        for equation in closed.jaxpr.eqns:
            operands = tuple(read(atom) for atom in equation.invars)
            tracebacks = (equation.source_info.traceback, *outer)
            inner = _inlined(equation)
            if inner is not None:
                body, kept = inner
                results = self.walk(body, operands[kept], tracebacks)
            else:
                results = [self.slot() for _ in equation.outvars]
                self.lines.append(_line(equation, operands, tuple(results), tracebacks))
            where.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in closed.jaxpr.outvars]


def _inlined(equation: Any) -> tuple[ClosedJaxpr, slice] | None:
    """Return the program that a call stands for, and which of the call's operands it takes."""
    name, params = equation.primitive.name, equation.params
    if name == "custom_linear_solve":
        # Its operands are the constants of four programs, then b; the solution is what `solve` returns.
        before = params["const_lengths"].matvec + params["const_lengths"].vecmat
        solve, size = params["jaxprs"].solve, params["const_lengths"].solve
        if params["const_lengths"].transpose_solve == 0 and before + size + 1 == len(equation.invars):
            return solve, slice(before, None)
        return None
    body = params.get(_CALLS.get(name, ""))
    return None if body is None else (close(body), slice(None))


def close(jaxpr: Any) -> ClosedJaxpr:
    """Return a jaxpr that carries its constants, whether it did or not."""
    return jaxpr if hasattr(jaxpr, "consts") else ClosedJaxpr(jaxpr, ())


def _line(equation: Any, inputs: tuple[int, ...], outputs: tuple[int, ...], tracebacks: tuple[Any, ...]) -> Line:
    if any(type(effect).__module__ == "jax._src.state.types" for effect in equation.effects):
        raise NotImplementedError(f"{equation.primitive.name} changes a mutable reference: {locate(tracebacks)}")
    return Line(
        name=equation.primitive.name,
        params=equation.params,
        inputs=inputs,
        outputs=outputs,
        input_avals=tuple(atom.aval for atom in equation.invars),
        output_avals=tuple(var.aval for var in equation.outvars),
        primitive=equation.primitive,
        tracebacks=tracebacks,
    )


def _alive(lines: list[Line], outputs: Sequence[int]) -> tuple[Line, ...]:
    """Drop the lines that no output depends on."""
    needed, kept = set(outputs), list[Line]()
    for line in reversed(lines):
        if needed.intersection(line.outputs):
            needed.update(line.inputs)
            kept.append(line)
    return tuple(reversed(kept))


def to_numpy(value: Any) -> Any:
    """Lift a value to what the ideal machine computes with; random keys stay what they are."""
    if jax.dtypes.issubdtype(getattr(value, "dtype", np.float64), jax.dtypes.extended):
        return value
    array = np.asarray(value)
    lifted = lift(array.dtype)
    # A scalar rather than an array of rank 0: NumPy is faster on those.
    return (array if array.dtype == lifted else array.astype(lifted))[()]


def spec(aval: Any, sizes: "Sizes") -> Spec:
    """Describe an abstract value, with sizes in place of symbolic dimensions."""
    shape = aval.shape if not sizes else substitute(aval.shape, sizes)
    return Spec(tuple(shape), lift(aval.dtype), aval.dtype)


def is_symbolic(value: Any) -> bool:
    """Tell whether a dimension is an expression such as `2*b`."""
    return hasattr(value, "dimension_as_value")


def symbols(aval: Any) -> set[str]:
    """Return the names that an abstract value's shape depends on."""
    return {name for size in aval.shape if is_symbolic(size) for name in size._get_vars()}


class Sizes(dict[str, int]):
    """What the symbolic dimensions are worth in one call; empty for a program without any."""

    def __init__(self, sizes: Mapping[str, int]) -> None:
        """Start from the named dimensions."""
        super().__init__(sizes)
        self._known: dict[int, tuple[Any, int]] = {}

    def evaluate(self, dimension: Any) -> int:
        """Evaluate an expression such as `2*b`; jax takes 20 us for it, and a few stand in every shape."""
        # By identity: expressions of different scopes can't even be compared. The value keeps its key alive.
        if id(dimension) not in self._known:
            self._known[id(dimension)] = dimension, int(dimension._evaluate(dict(self)))
        return self._known[id(dimension)][1]


def substitute(value: Any, sizes: Sizes) -> Any:
    """Put sizes in place of symbolic dimensions, anywhere in an equation's parameter."""
    if is_symbolic(value):
        return sizes.evaluate(value)
    if type(value) is tuple or type(value) is list:
        return type(value)(substitute(item, sizes) for item in value)
    return value


def locate(tracebacks: Sequence[Any], *, keep: Callable[[str], bool] | None = None) -> str:
    """Return `file:line` of the innermost frame outside jax and flax that asked for an equation; see `frames`."""
    return next(frames(tracebacks, keep=keep), "unknown")


def frames(tracebacks: Sequence[Any], *, keep: Callable[[str], bool] | None = None) -> Iterator[str]:
    """Yield `file:line` of the frames that asked for an equation, innermost first.

    A function that jax itself jits (`jax.nn.silu`) is traced once and cached, with the traceback of its first caller;
    there the call counts, not what is inside.

    Args:
        tracebacks: of the equation, then of the calls it was inlined from.
        keep: tells which file names count; by default all outside of jax, flax and this package's own tracing.
    """
    yield from (f"{frame.file}:{frame.line}" for frame in frames_of(tracebacks, keep=keep))


class Frame(NamedTuple):
    """A line of the port that was under way when an equation was traced."""

    code: Any
    file: str
    line: int


def frames_of(tracebacks: Sequence[Any], *, keep: Callable[[str], bool] | None = None) -> Iterator[Frame]:
    """The frames outside jax and flax that asked for an equation, innermost first; see `frames`."""
    wanted = keep or _is_port
    for traceback in tracebacks:
        if traceback is None:
            continue
        codes, lines = traceback.raw_frames()
        for code, lasti in zip(codes, lines, strict=False):
            if code.co_filename.endswith("partial_eval.py") and code.co_name.startswith("trace_to_jaxpr"):
                break
            if wanted(code.co_filename):
                yield Frame(code, code.co_filename, traceback.code_addr2line(code, lasti))


_LIBRARIES = tuple(f"/site-packages/{name}/" for name in ("jax", "jaxlib", "flax", "numpy"))


@functools.cache
def _is_port(path: str) -> bool:
    plain = path.replace("\\", "/")
    return not plain.startswith("<") and not any(name in plain for name in _LIBRARIES)
