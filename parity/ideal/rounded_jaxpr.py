"""Which equations of a jaxpr round, and to what: each result once, to the half precision that it declares."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from parity.ideal.equation import Equation, Operation
from parity.ideal.rounding import HALVES, Rounding, rounder
from parity.ideal.rules_shape import RULES as MOVES

if TYPE_CHECKING:
    from parity.ideal.program import Intermediate

# What moves, selects or flips the sign of values that were rounded before: nothing is left to round.
_NAMES = (
    "gather select_n neg abs sign max min clamp sort top_k reduce_max reduce_min cummax cummin copy stop_gradient "
    "optimization_barrier device_put name sharding_constraint bitcast_convert_type"
)
EXACT = (frozenset(MOVES) - {"iota", "dim_as_value"}) | frozenset(_NAMES.split())
_BITS = {(8, 7): "bfloat16", (5, 10): "float16", (8, 23): "float32", (11, 52): "float64"}


def roundings(program: "Iterator[Intermediate]") -> Iterator[Rounding]:
    """What a program rounds, in order, from its intermediates."""
    for each in program:
        for values, dtype in zip(each.outputs, each.declared, strict=True):
            if each.primitive not in EXACT and (name := getattr(dtype, "name", "")) in HALVES:
                yield Rounding(each.primitive, name, each.where, values)


def rounding(equation: Equation, operation: Operation, *, multiple: bool) -> Operation:
    """The operation with every result rounded that the equation declares half-precision; wider ones stay exact.

    Raises:
        NotImplementedError: `reduce_precision` to a format that no dtype has.
    """
    if equation.primitive in EXACT:
        return operation
    if equation.primitive == "reduce_precision":
        return _reduced(equation, operation)
    rounders = tuple(rounder(getattr(spec.declared, "name", "")) for spec in equation.outputs)
    if not any(rounders):
        return operation
    if not multiple:
        (round_one,) = rounders
        assert round_one is not None
        return lambda *args: round_one(operation(*args))

    def rounded(*args: Any) -> list[Any]:
        results = zip(operation(*args), rounders, strict=True)
        return [round_one(value) if round_one else value for value, round_one in results]

    return rounded


def _reduced(equation: Equation, operation: Operation) -> Operation:
    bits = (int(equation.params["exponent_bits"]), int(equation.params["mantissa_bits"]))
    if bits not in _BITS:
        raise NotImplementedError(f"reduce_precision to {bits} bits of exponent and mantissa, which no dtype has")
    return rounder(_BITS[bits]) or operation
