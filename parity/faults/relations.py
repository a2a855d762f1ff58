"""Faults of what is computed: an operation replaced by its near relation, operands swapped."""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from parity.faults.site import Fault, Site, Values

# Primitives of the evaluator's own table that take the same operands.
RELATED: Mapping[str, tuple[str, ...]] = {
    "add": ("sub",), "add_any": ("sub",), "sub": ("add",), "mul": ("div", "add"), "div": ("mul",),
    "max": ("min",), "min": ("max",), "pow": ("mul",), "rem": ("div",),
    "rsqrt": ("sqrt",), "sqrt": ("rsqrt",), "square": ("abs",),
    "exp": ("exp2", "expm1"), "exp2": ("exp",), "expm1": ("exp",), "log": ("log1p",), "log1p": ("log",),
    "cos": ("sin",), "sin": ("cos",), "tanh": ("erf", "logistic"), "erf": ("tanh", "erfc"), "erfc": ("erf",),
    "logistic": ("tanh", "erf"), "lt": ("le", "gt"), "le": ("lt", "ge"), "gt": ("ge", "lt"), "ge": ("gt", "le"),
    "eq": ("ne",), "ne": ("eq",), "and": ("or",), "or": ("and", "xor"), "xor": ("or",),
    "floor": ("ceil",), "ceil": ("floor",), "sign": ("abs",),
    "reduce_sum": ("reduce_max",), "reduce_max": ("reduce_min", "reduce_sum"), "reduce_min": ("reduce_max",),
    "reduce_prod": ("reduce_sum",), "reduce_and": ("reduce_or",), "reduce_or": ("reduce_and",),
    "argmax": ("argmin",), "argmin": ("argmax",), "cumsum": ("cummax",), "cummax": ("cumsum",),
}  # fmt: skip

# Plain functions, where no primitive says it.
FUNCTIONS: Mapping[str, Mapping[str, Callable[..., Any]]] = {
    "rsqrt": {"1 / x": lambda x: np.divide(1.0, x)},
    "neg": {"x": lambda x: x},
    "not": {"x": lambda x: x},
    "abs": {"x": lambda x: x},
    "floor": {"round": np.rint},
    "round": {"floor": np.floor},
    "is_finite": {"true": lambda x: np.ones(np.shape(x), bool)},
    "clamp": {"x": lambda low, x, high: x + np.zeros_like(x)},
}

SWAPPED = frozenset(("sub", "div", "pow", "rem", "atan2", "nextafter", "shift_left"))


def relations(site: Site) -> Iterator[Fault]:
    """The operation replaced by a near relation; an integer power by its neighbours."""
    for name in RELATED.get(site.name, ()):
        change = site.instead(name=name)
        if change and _fits(site, name):
            yield Fault("relation", name, f"{site.name} -> {name}", change)
    for said, function in FUNCTIONS.get(site.name, {}).items():
        yield Fault("relation", said, f"{site.name} -> {said}", lambda operands, _, f=function: [f(*operands)])
    if site.name == "integer_pow":
        power = int(site.equation.params["y"])
        for other in (power - 1, power + 1):
            change = site.instead(y=other)
            if change:
                yield Fault("relation", f"power {other - power:+d}", f"x**{power} -> x**{other}", change)


def swaps(site: Site) -> Iterator[Fault]:
    """Two operands in each other's place, where that makes a difference and their shapes allow it."""
    equation = site.equation
    shapes = [spec.shape for spec in equation.inputs]
    if site.name in SWAPPED:
        yield Fault("operands", "swapped", "operands swapped", lambda operands, _: site.run(operands[::-1]))
    elif site.name == "select_n" and shapes[1:] == [shapes[1]] * (len(shapes) - 1):
        yield Fault(
            "operands", "swapped", "cases swapped", lambda operands, _: site.run([operands[0], *operands[:0:-1]])
        )
    elif site.name == "concatenate" and len(shapes) > 1:
        axis = equation.params["dimension"]
        yield Fault(
            "operands",
            "swapped",
            "parts in the other order",
            lambda operands, _: [np.concatenate(operands[::-1], axis=axis)],
        )
    elif site.name == "dot_general" and shapes[0] == shapes[1]:
        yield Fault("operands", "swapped", "operands swapped", lambda operands, _: site.run(operands[::-1]))


def same_form(before: Values, after: Values) -> bool:
    """Whether results can stand in each other's place."""
    return all(np.shape(x) == np.shape(y) for x, y in zip(before, after, strict=True))


def _fits(site: Site, name: str) -> bool:
    """Real numbers for functions of reals; a ufunc of integers that gives integers."""
    kinds = {spec.dtype.kind for spec in (*site.equation.inputs, *site.equation.outputs) if hasattr(spec.dtype, "kind")}
    if name in ("log", "log1p", "sqrt", "rsqrt", "exp", "exp2", "expm1", "tanh", "logistic", "erf", "erfc"):
        return kinds == {"f"}
    return "c" not in kinds
