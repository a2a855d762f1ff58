"""Evaluate an equation that has no NumPy rule by binding its primitive in JAX, on the CPU, in float64."""

# jax's own types are incomplete here (primitives, parameters), so nothing about them can be known statically.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportAttributeAccessIssue=false, reportPrivateImportUsage=false

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Literal

from parity.ideal.equation import Operation, Spec, lift
from parity.ideal.jaxpr import close, to_numpy


def bind(primitive: Any, params: Mapping[str, Any], outputs: Sequence[Spec]) -> Operation:
    """Return an operation that runs `primitive` with every floating dtype in its parameters lifted."""
    with jax.enable_x64(True):
        lifted = {name: _lift_param(value) for name, value in params.items()}

    def run(*args: Any) -> Any:
        with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
            results = _bind(primitive, lifted, [jnp.asarray(arg) for arg in args])
            values = [_settle(value, spec) for value, spec in zip(results, outputs, strict=True)]
        return values if primitive.multiple_results else values[0]

    return run


def _bind(primitive: Any, params: Mapping[str, Any], args: Sequence[Any]) -> Sequence[Any]:
    results = primitive.bind(*args, **primitive.get_bind_params(dict(params)))
    return results if primitive.multiple_results else [results]


def _settle(value: Any, spec: Spec) -> Any:
    if not isinstance(spec.dtype, np.dtype):
        return value
    return to_numpy(value).astype(spec.dtype, copy=False)


def _lift_param(value: Any) -> Any:
    if isinstance(value, np.dtype):
        return lift(value)
    if isinstance(value, type) and issubclass(value, np.generic):
        return lift(np.dtype(value))
    if hasattr(value, "eqns") or isinstance(value, ClosedJaxpr):
        return _lift_jaxpr(value)
    if type(value) is tuple or type(value) is list:
        return type(value)(_lift_param(item) for item in value)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_lift_param(item) for item in value))
    return value


def _lift_jaxpr(jaxpr: Any) -> Any:
    """Trace a jaxpr anew with lifted operands, such as the computation of a general reduction."""
    closed = close(jaxpr)
    avals = [var.aval for var in (*closed.jaxpr.invars, *closed.jaxpr.outvars, *closed.jaxpr.constvars)]
    inner = [var.aval for equation in closed.jaxpr.eqns for var in equation.outvars]
    if all(lift(aval.dtype) == aval.dtype for aval in (*avals, *inner)):
        return jaxpr

    def evaluate(*args: Any) -> list[Any]:
        known = dict(zip(closed.jaxpr.invars, args, strict=True))
        known.update({var: to_numpy(c) for var, c in zip(closed.jaxpr.constvars, closed.consts, strict=True)})

        def read(atom: Any) -> Any:
            return np.asarray(atom.val, lift(atom.aval.dtype)) if isinstance(atom, Literal) else known[atom]

        for equation in closed.jaxpr.eqns:
            params = {name: _lift_param(value) for name, value in equation.params.items()}
            results = _bind(equation.primitive, params, [read(atom) for atom in equation.invars])
            known.update(zip(equation.outvars, results, strict=True))
        return [read(atom) for atom in closed.jaxpr.outvars]

    specs = [jax.ShapeDtypeStruct(var.aval.shape, lift(var.aval.dtype)) for var in closed.jaxpr.invars]
    lifted = jax.make_jaxpr(evaluate)(*specs)
    return lifted if jaxpr is closed else lifted.jaxpr
