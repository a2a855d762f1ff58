"""Evaluate a jaxpr in NumPy float64, whatever lower floating dtypes it declares; or rounded to those, if asked."""

# jax's own types are incomplete here (make_jaxpr, tree_structure), so nothing about them can be known statically.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import contextlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import jax
import numpy as np
from jax.extend.core import ClosedJaxpr

from parity.ideal.blas import one_thread
from parity.ideal.control import CONTROL
from parity.ideal.equation import Array, Operation, Spec
from parity.ideal.fallback import bind
from parity.ideal.jaxpr import Flat, Line, Sizes, flatten, is_symbolic, locate, spec, symbols, to_numpy
from parity.ideal.jaxpr import close as close_jaxpr
from parity.ideal.rounded_jaxpr import rounding
from parity.ideal.rules import RULES
from parity.ideal.unfolded import Evaluation, Unfolded

# From here on, threads are worth their cost: about 20 ms of one core.
_MANY_PRODUCTS = 2**27

# Plans are kept for this many assignments of sizes to symbolic dimensions.
_PLANS = 32


@dataclass(frozen=True, slots=True)
class Intermediate:
    """What one equation of a program computed."""

    index: int
    primitive: str
    where: str
    outputs: tuple[Any, ...]
    declared: tuple[Any, ...]  # dtypes of the outputs, as the program says


@dataclass(frozen=True, slots=True)
class _Step:
    operation: Operation
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    multiple: bool
    last_used: tuple[int, ...]  # slots that no later step reads, so that their memory can go
    index: int  # of the line in the flattened program


@dataclass(frozen=True, slots=True)
class _Plan:
    """A flattened program for concrete shapes: closures over the slots of an environment."""

    steps: tuple[_Step, ...]
    template: tuple[Any, ...]  # the environment before a run: constants, folded results
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    specs: tuple[Spec, ...]  # of the inputs
    products: int  # multiplications in its contractions, as a measure of its size; a loop's body counts once

    def __call__(self, args: Sequence[Any]) -> list[Any]:
        values = list(self.template)
        for slot, arg in zip(self.inputs, args, strict=True):
            values[slot] = arg
        for step in self.steps:
            result = step.operation(*[values[slot] for slot in step.inputs])
            if step.multiple:
                for slot, value in zip(step.outputs, result, strict=True):
                    values[slot] = value
            else:
                values[step.outputs[0]] = result
            for slot in step.last_used:
                values[slot] = None
        return [values[slot] for slot in self.outputs]


class Program:
    """A traced program that evaluates exactly: `program(*flat_args)` returns its flat outputs in float64.

    A rounded program evaluates each equation so, and rounds what it declares half-precision once, to that precision.

    Constants are folded once; shapes may be symbolic, and are then solved from the arguments of each call. An argument
    of a lower floating dtype is promoted, and every cast to one is lifted to float64, so the precision that the program
    declares plays no part; casts to integers and booleans keep theirs.
    """

    def __init__(self, closed_jaxpr: ClosedJaxpr, *, rounded: bool = False) -> None:
        """Flatten a program.

        Args:
            closed_jaxpr: traced with float64 inputs under x64, or else its Python scalars are already rounded; for a
                rounded program, with inputs in the working dtype.
            rounded: round results that are declared half-precision.

        Raises:
            NotImplementedError: the program mutates references.
        """
        self._flat = flatten(closed_jaxpr)
        self._rounded = rounded
        self._fallbacks: set[str] = set()
        self._bodies: dict[int, tuple[Any, Flat]] = {}
        self._plans: OrderedDict[tuple[int, ...], _Plan] = OrderedDict()
        self._unfolded: dict[tuple[int, ...], Unfolded] = {}
        self._lock = threading.RLock()
        # Where each symbolic dimension can be read off: name -> argument, axis.
        self._symbols = _solvable(self._flat.input_avals)
        if self._symbols:
            self._note_missing(self._flat)
        else:
            self._plan(())

    @property
    def declared(self) -> tuple[Any, ...]:
        """The dtypes that the program declares for its outputs."""
        return tuple(aval.dtype for aval in self._flat.output_avals)

    @property
    def fallbacks(self) -> tuple[str, ...]:
        """The primitives evaluated by JAX, sorted; with symbolic shapes, those known so far."""
        return tuple(sorted(self._fallbacks))

    def __call__(self, *flat_args: Any) -> list[Array]:
        """Evaluate.

        Args:
            *flat_args: one array per input of the jaxpr, of its shape and of any dtype that can stand for its own.

        Returns:
            One array per output, float64 where the program declares a floating dtype. They may share memory with the
            arguments, or be read-only views: don't write to them.

        Raises:
            ValueError: too many or too few arguments, or one whose shape is not what was traced.
        """
        plan, args = self._prepare(flat_args)
        with np.errstate(all="ignore"), one_thread() if plan.products < _MANY_PRODUCTS else contextlib.nullcontext():
            return [_as_array(value) for value in plan(args)]

    def intermediates(self, *flat_args: Any) -> Iterator[Intermediate]:
        """Evaluate, and yield what each live equation computed, in order; the body of a loop counts as one equation.

        An equation's index is its place among the live ones, calls inlined; it is the same for every call. `where` is
        `file:line` of the port.
        """
        plan, args = self._prepare(flat_args)
        values = list(plan.template)
        for slot, arg in zip(plan.inputs, args, strict=True):
            values[slot] = arg
        steps = {step.index: step for step in plan.steps}
        for index, line in enumerate(self._flat.lines):
            if index in steps:
                step = steps[index]
                with np.errstate(all="ignore"):
                    result = step.operation(*[values[slot] for slot in step.inputs])
                for slot, value in zip(step.outputs, result if step.multiple else (result,), strict=True):
                    values[slot] = value
            outputs = tuple(_as_array(values[slot]) for slot in line.outputs)
            declared = tuple(aval.dtype for aval in line.output_avals)
            yield Intermediate(index, line.name, locate(line.tracebacks), outputs, declared)

    def follow(self, *flat_args: Any) -> Evaluation:
        """Evaluate with nothing folded and every value kept, at several times the cost of a call."""
        _, args = self._prepare(flat_args)
        sizes = tuple(np.shape(flat_args[arg])[axis] for arg, axis in self._symbols.values())
        return Evaluation.of(self.unfolded(sizes), args)

    def unfolded(self, sizes: tuple[int, ...] = ()) -> Unfolded:
        """The program line by line, for these sizes of its symbolic dimensions; the last sizes' is kept."""
        with self._lock:
            if sizes not in self._unfolded:
                self._unfolded = {sizes: self._unfold(Sizes(dict(zip(self._symbols, sizes, strict=True))))}
            return self._unfolded[sizes]

    def _unfold(self, sizes: Sizes) -> Unfolded:
        with np.errstate(all="ignore"), jax.enable_x64(True):
            operations = tuple(self._operation(line, sizes) for line in self._flat.lines)
        return Unfolded(self._flat, tuple(line.concrete(sizes) for line in self._flat.lines), operations)

    def _prepare(self, flat_args: Sequence[Any]) -> tuple[_Plan, list[Any]]:
        """Find the plan for these arguments, and convert them to what it computes with."""
        if len(flat_args) != len(self._flat.inputs):
            raise ValueError(f"the program takes {len(self._flat.inputs)} arguments, got {len(flat_args)}")
        plan = self._plan(tuple(np.shape(flat_args[arg])[axis] for arg, axis in self._symbols.values()))
        args: list[Any] = []
        for i, (arg, wanted) in enumerate(zip(flat_args, plan.specs, strict=True)):
            if not (isinstance(arg, np.ndarray) and arg.dtype == wanted.dtype):
                arg = _convert(arg, wanted)
            if arg.shape != wanted.shape:
                raise ValueError(f"argument {i} has shape {arg.shape}, the program was traced with {wanted.shape}")
            args.append(arg)
        return plan, args

    def _plan(self, sizes: tuple[int, ...]) -> _Plan:
        with self._lock:
            plan = self._plans.get(sizes)
            if plan is None:
                with np.errstate(all="ignore"), jax.enable_x64(True):
                    plan = self._compile(self._flat, Sizes(dict(zip(self._symbols, sizes, strict=True))))
                self._plans[sizes] = plan
                if len(self._plans) > _PLANS:
                    self._plans.popitem(last=False)
            return plan

    def _compile(self, flat: Flat, sizes: Sizes) -> _Plan:
        """Specialise every line on concrete shapes, and evaluate at once those that depend on no input."""
        values: list[Any] = [None] * flat.slots
        known = set(flat.constants)
        for slot, value in flat.constants.items():
            values[slot] = value
        steps: list[_Step] = []
        last_used, products = _last_uses(flat), 0
        for index, line in enumerate(flat.lines):
            operation, multiple = self._operation(line, sizes), bool(line.primitive.multiple_results)
            products += _products(line, sizes)
            if known.issuperset(line.inputs):
                result = operation(*[values[slot] for slot in line.inputs])
                for slot, value in zip(line.outputs, result if multiple else (result,), strict=True):
                    values[slot] = value
                known.update(line.outputs)
            else:
                steps.append(_Step(operation, line.inputs, line.outputs, multiple, last_used[index], index))
        specs = tuple(spec(aval, sizes) for aval in flat.input_avals)
        return _Plan(tuple(steps), tuple(values), flat.inputs, flat.outputs, specs, products)

    def _operation(self, line: Line, sizes: Sizes) -> Operation:
        equation = line.concrete(sizes)
        if line.name in CONTROL:
            return CONTROL[line.name](equation, lambda body: self._compile(self._body(body), sizes))
        rule = RULES.get(line.name)
        operation = rule(equation) if rule is not None else None
        if operation is None:
            self._fallbacks.add(line.name)
            operation = bind(line.primitive, equation.params, equation.outputs)
        return rounding(equation, operation, multiple=line.primitive.multiple_results) if self._rounded else operation

    def _body(self, jaxpr: Any) -> Flat:
        # Keyed by identity, with the jaxpr kept alive beside its flat form.
        if id(jaxpr) not in self._bodies:
            self._bodies[id(jaxpr)] = (jaxpr, flatten(close_jaxpr(jaxpr)))
        return self._bodies[id(jaxpr)][1]

    def _note_missing(self, flat: Flat) -> None:
        """Collect the primitives without a rule, before there are sizes to compile for."""
        for line in flat.lines:
            if line.name in CONTROL:
                for value in line.params.values():
                    for body in value if isinstance(value, tuple) else (value,):
                        if hasattr(body, "consts"):
                            self._note_missing(self._body(body))
            elif line.name not in RULES:
                self._fallbacks.add(line.name)


def trace(fn: Callable[..., Any], *args: Any) -> tuple[Program, Any]:
    """Trace a function under x64.

    Args:
        fn: a function of pytrees.
        *args: its arguments, or their `jax.ShapeDtypeStruct`; float64 where the program shall be exact.

    Returns:
        The program, whose flat arguments are the leaves of `args`, and the tree of its outputs.
    """
    with jax.enable_x64(True):
        closed, shape = cast(Any, jax.make_jaxpr(fn, return_shape=True)(*args))
    return Program(closed), jax.tree.structure(shape)


def _as_array(value: Any) -> Any:
    return np.asarray(value) if isinstance(value, np.generic) else value


def _convert(arg: Any, wanted: Spec) -> Any:
    if not isinstance(wanted.dtype, np.dtype):
        return arg
    array = np.asarray(to_numpy(arg))
    if not np.can_cast(array.dtype, wanted.dtype, casting="same_kind"):
        raise ValueError(f"an argument has dtype {array.dtype}, the program was traced with {wanted.declared}")
    return array.astype(wanted.dtype, copy=False)


def _products(line: Line, sizes: Sizes) -> int:
    if line.name != "dot_general":
        return 0
    ((summed, _), _), left = line.params["dimension_numbers"], spec(line.input_avals[0], sizes).shape
    return math.prod(spec(line.output_avals[0], sizes).shape) * math.prod(left[axis] for axis in summed)


def _last_uses(flat: Flat) -> list[tuple[int, ...]]:
    kept = set(flat.outputs)
    freed: list[tuple[int, ...]] = [()] * len(flat.lines)
    for index in range(len(flat.lines) - 1, -1, -1):
        line = flat.lines[index]
        freed[index] = tuple({*line.inputs, *line.outputs} - kept)
        kept.update(line.inputs)
    return freed


def _solvable(avals: Sequence[Any]) -> dict[str, tuple[int, int]]:
    """Find an argument's axis for every symbolic dimension; other shapes are checked against the solution."""
    found: dict[str, tuple[int, int]] = {}
    for arg, aval in enumerate(avals):
        for axis, size in enumerate(aval.shape):
            if is_symbolic(size) and str(size) in symbols(aval):
                found.setdefault(str(size), (arg, axis))
    missing = set[str]().union(*(symbols(aval) for aval in avals)) - set(found)
    if missing:
        raise ValueError(f"no argument has the symbolic dimension {', '.join(sorted(missing))} by itself")
    return found
