"""What a rule is told about one equation of a program, and the lifting of dtypes to float64."""

import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, cast

import numpy as np
import numpy.typing as npt

Array: TypeAlias = npt.NDArray[Any]
Operation: TypeAlias = Callable[..., Any]


class Spec(NamedTuple):
    """Shape and dtypes of one operand or result; `dtype` is what is computed, `declared` what the program says.

    Both are NumPy dtypes, but for jax's random keys, which have a dtype of their own.
    """

    shape: tuple[int, ...]
    dtype: Any
    declared: Any


class Equation(NamedTuple):
    """One equation with concrete shapes: all that a rule may specialise on."""

    primitive: str
    params: Mapping[str, Any]
    inputs: tuple[Spec, ...]
    outputs: tuple[Spec, ...]


# A rule returns a function of arrays, or None to leave this equation to JAX. A function for a primitive with several
# results returns a sequence, any other one array; no function writes to its operands.
Rule: TypeAlias = Callable[[Equation], Operation | None]


@functools.cache
def lift(dtype: Any) -> Any:
    """Return the dtype that stands for `dtype` on the ideal machine: float64, complex128, or itself."""
    # By name, since the dtypes of ml_dtypes (bfloat16, float8_*) have no kind of their own.
    name: str = getattr(dtype, "name", "") if isinstance(dtype, np.dtype) else ""
    if "float" in name:
        return np.dtype(np.float64)
    if "complex" in name:
        return np.dtype(np.complex128)
    return cast(Any, dtype)


def is_float(spec: Spec) -> bool:
    """Tell whether values of this spec are computed in float64."""
    return spec.dtype == np.float64
