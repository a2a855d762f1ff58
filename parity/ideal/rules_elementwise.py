"""NumPy rules for the primitives that work element by element."""

# A closure takes whatever arrays the program holds, so its operands have no static type.
# pyright: reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

from typing import Any, cast

import numpy as np
import scipy.special  # pyright: ignore[reportMissingTypeStubs]

from parity.ideal.equation import Array, Equation, Operation, Rule, is_float, lift

# scipy has no complete stubs.
_special = cast(Any, scipy.special)


def always(operation: Operation) -> Rule:
    """Make a rule of an operation that needs to know nothing about its equation."""
    return lambda equation: operation


def floats_only(operation: Operation) -> Rule:
    """Make a rule that leaves complex numbers to JAX."""
    return lambda equation: operation if is_float(equation.inputs[0]) else None


def _mul(equation: Equation) -> Operation:
    dtype = equation.outputs[0].dtype
    if all(spec.dtype == dtype for spec in equation.inputs):
        return np.multiply
    return lambda x, y: np.multiply(x.astype(dtype), y.astype(dtype))


def _div(equation: Equation) -> Operation:
    if equation.outputs[0].dtype.kind in "fc":
        return np.divide
    minus_one = np.array(-1).astype(equation.outputs[0].dtype)

    def divide(x: Array, y: Array) -> Array:
        # XLA truncates toward zero, and defines division by zero as all bits set.
        quotient = np.floor_divide(x, y)
        remainder = x - quotient * y
        quotient = quotient + ((remainder != 0) & ((x < 0) != (y < 0))).astype(quotient.dtype)
        return np.where(y == 0, minus_one, quotient)

    return divide


def _rem(equation: Equation) -> Operation:
    if is_float(equation.outputs[0]):
        return np.fmod
    return lambda x, y: np.where(y == 0, x, np.fmod(x, y))


def _integer_pow(equation: Equation) -> Operation:
    exponent = int(equation.params["y"])

    def power(x: Array) -> Array:
        # By squaring, as XLA does: products only, so that integers wrap and special values agree.
        if exponent == 0:
            return np.ones_like(x)
        rest, result, square = abs(exponent), None, x
        while rest:
            if rest & 1:
                result = square if result is None else np.multiply(result, square)
            rest >>= 1
            if rest:
                square = np.multiply(square, square)
        return cast(Array, result) if exponent > 0 else np.divide(1.0, cast(Array, result))

    return np.square if exponent == 2 else power


def _round(equation: Equation) -> Operation:
    if int(equation.params["rounding_method"]) == 1:
        return np.rint
    below_half = np.nextafter(0.5, 0.0)
    return lambda x: np.trunc(x + np.copysign(below_half, x))


def _clamp(low: Array, x: Array, high: Array) -> Array:
    return np.minimum(np.maximum(x, low), high)


def _select_n(equation: Equation) -> Operation:
    if equation.inputs[0].dtype == np.bool_:
        return lambda which, *cases: np.where(which, cases[-1], cases[0])
    last = len(equation.inputs) - 2

    def select(which: Array, *cases: Array) -> Array:
        result = cases[last]
        for i in range(last - 1, -1, -1):
            result = np.where(which <= i, cases[i], result)
        return result

    return select


def _unsigned(dtype: np.dtype[Any]) -> np.dtype[Any]:
    return np.dtype(f"u{dtype.itemsize}")


def _shift_right_arithmetic(equation: Equation) -> Operation:
    dtype = equation.outputs[0].dtype
    signed = np.dtype(f"i{dtype.itemsize}")
    # XLA repeats the first bit of unsigned integers too; how far to shift is always unsigned.
    return lambda x, by: np.right_shift(x.view(signed), by.view(signed)).view(dtype)


def _shift_right_logical(equation: Equation) -> Operation:
    dtype = equation.outputs[0].dtype
    plain = _unsigned(dtype)
    return lambda x, by: np.right_shift(x.view(plain), by.view(plain)).view(dtype)


def _population_count(equation: Equation) -> Operation:
    dtype = equation.outputs[0].dtype
    plain = _unsigned(dtype)
    # Through unsigned integers: bitwise_count takes the absolute value first.
    return lambda x: np.bitwise_count(x.view(plain)).astype(dtype)


def _clz(equation: Equation) -> Operation:
    dtype = equation.outputs[0].dtype
    plain, bits = _unsigned(dtype), 8 * dtype.itemsize

    def count(x: Array) -> Array:
        smeared = x.view(plain)
        for distance in (1, 2, 4, 8, 16, 32):
            if distance < bits:
                smeared = smeared | (smeared >> plain.type(distance))
        return np.bitwise_count(~smeared).astype(dtype)

    return count


def _native(equation: Equation) -> bool:
    return all(spec.dtype.kind in "iu" for spec in equation.inputs)


def native_integers(rule: Rule) -> Rule:
    """Leave the four-bit integers, which NumPy cannot shift, to JAX."""
    return lambda equation: rule(equation) if _native(equation) else None


def _convert(equation: Equation) -> Operation | None:
    source, target = equation.inputs[0].dtype, lift(equation.outputs[0].declared)
    if source == target:
        return lambda x: x
    if source.kind == "c" and target.kind != "c":
        return (lambda x: x != 0) if target == np.bool_ else lambda x: _saturate(x.real, target)
    if target == np.bool_:
        return lambda x: x != 0
    if source.kind == "f" and target.kind in "iu":
        return lambda x: _saturate(x, target)
    known = "biufc"
    return (lambda x: x.astype(target)) if source.kind in known and target.kind in known else None


def _saturate(x: Array, target: np.dtype[Any]) -> Array:
    """Convert float64 as XLA does: toward zero, clamped to the target's range, NaN to zero."""
    if target.kind not in "iu":
        return x.astype(target)
    limits = np.iinfo(target)
    # 2**63 - 1 is no float64: compare with the limit above, and write the true limit where it was passed.
    clipped = np.where(np.isnan(x) | (x >= float(limits.max)) | (x <= float(limits.min)), 0.0, x).astype(target)
    clipped = np.where(x >= float(limits.max), target.type(limits.max), clipped)
    return np.where(x <= float(limits.min), target.type(limits.min), clipped)


def _bitcast(equation: Equation) -> Operation:
    source, target = equation.inputs[0], equation.outputs[0]

    def bitcast(x: Array) -> Array:
        # Bits only mean something in the declared format, so here, and nowhere else, the value is rounded to it.
        bits = np.ascontiguousarray(x.astype(source.declared)).reshape(-1).view(target.declared)
        return bits.reshape(target.shape).astype(target.dtype)

    return bitcast


def _identity(x: Any) -> Any:
    return x


RULES: dict[str, Rule] = {
    name: always(operation)
    for name, operation in {
        "add": np.add, "add_any": np.add, "sub": np.subtract, "neg": np.negative, "sign": np.sign, "abs": np.absolute,
        "max": np.maximum, "min": np.minimum, "square": np.square, "sqrt": np.sqrt, "exp": np.exp, "log": np.log,
        "sin": np.sin, "cos": np.cos, "tan": np.tan, "sinh": np.sinh, "cosh": np.cosh, "tanh": np.tanh,
        "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan, "asinh": np.arcsinh, "acosh": np.arccosh,
        "atanh": np.arctanh, "exp2": np.exp2, "expm1": np.expm1, "log1p": np.log1p, "pow": np.power,
        "floor": np.floor, "ceil": np.ceil, "is_finite": np.isfinite, "nextafter": np.nextafter, "clamp": _clamp,
        "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater,
        "ge": np.greater_equal, "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert,
        "real": np.real, "imag": np.imag, "conj": np.conjugate, "rsqrt": lambda x: np.divide(1.0, np.sqrt(x)),
        "complex": lambda re, im: re + 1j * im,
        # Identities on the ideal machine: nothing is rounded, placed or differentiated here.
        **dict.fromkeys(
            ("copy", "stop_gradient", "reduce_precision", "name", "sharding_constraint"), _identity
        ),
    }.items()
} | {
    name: floats_only(operation)
    for name, operation in {
        "logistic": _special.expit, "erf": _special.erf, "erfc": _special.erfc, "erf_inv": _special.erfinv,
        "lgamma": _special.gammaln, "digamma": _special.digamma, "cbrt": np.cbrt, "atan2": np.arctan2,
    }.items()
} | {
    "mul": _mul,
    "div": _div,
    "rem": _rem,
    "integer_pow": _integer_pow,
    "round": _round,
    "select_n": _select_n,
    "shift_left": native_integers(always(np.left_shift)),
    "shift_right_arithmetic": native_integers(_shift_right_arithmetic),
    "shift_right_logical": native_integers(_shift_right_logical),
    "population_count": native_integers(_population_count),
    "clz": native_integers(_clz),
    "convert_element_type": _convert,
    "bitcast_convert_type": _bitcast,
    "optimization_barrier": always(lambda *values: values),
    "device_put": always(lambda *values: values),
}  # fmt: skip
