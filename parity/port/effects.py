"""What a port does beside computing: tracers that outlive their trace, its own state changed, buffers given away."""

import contextlib
import gc
import re
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jax
from flax import nnx
from jax.core import Tracer
from jax.extend.core import Literal

from parity.ideal.jaxpr import locate
from parity.port.build import Port
from parity.port.run import abstract, split

LIBRARIES = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
PLAIN = (bool, int, float, str, set)


def effects(port: Port, inputs: Mapping[str, Any]) -> list[str]:
    """Trace one call and list what it leaves behind, a line each; empty for a pure port.

    Refused are: an array of a trace kept on the module or anywhere else, a parameter or an attribute changed, and an
    input or parameter whose buffer is donated (`jax.jit(..., donate_argnums=...)`), which a second call would miss.
    """
    arrays, static = split(inputs, port.dtype)
    found: list[str] = []

    def call(parameters: list[Any], arrays: dict[str, Any]) -> Any:
        module = port.bind(parameters)
        before = dict(_attributes(module))
        outputs = module(**arrays, **static)
        found.extend(_changes(before, dict(_attributes(module)), _defined(module)))
        return outputs

    names = [f"parameter `{path}`" for path in port.leaves]
    names += [f"input `{name}`" for name, tree in sorted(arrays.items()) for _ in jax.tree.leaves(tree)]
    try:
        with jax.enable_x64(port.dtype == "float64"), _leaks(found):
            closed: Any = jax.make_jaxpr(call)(abstract(port), arrays)
    except jax.errors.UnexpectedTracerError as error:
        return [*found, f"leaks a tracer: this call uses one that an earlier call has kept{_origin(error)}"]
    if foreign := [x for x in closed.consts if isinstance(x, Tracer)]:
        return [*found, f"leaks a tracer: this call uses one that an earlier call has kept{_place(foreign)}"]
    donated = _donated(closed.jaxpr, dict(zip(closed.jaxpr.invars, names, strict=True)))
    return [*found, *dict.fromkeys(donated)]


@contextlib.contextmanager
def _leaks(found: list[str]) -> Iterator[None]:
    """Add to a list what is still alive of the traces made inside, which are over then.

    `jax.checking_leaks` does the same for 0.3 s a call, as it collects the garbage of the whole process. Here whatever
    is older is frozen meanwhile, and so neither collected nor searched.
    """
    gc.freeze()
    try:
        yield
        gc.collect()
        alive = [x for x in gc.get_objects() if issubclass(type(x), Tracer)]
    finally:
        gc.unfreeze()
    if not alive:
        return
    held = ((f"`{name}`{_place([x])} keeps a value of one call", x) for x in alive for name in _holders(x))
    said, _ = next(held, (f"something outside the module keeps a value of one call{_place(alive)}", None))
    found.append(f"leaks a tracer: {said}")


def _attributes(module: Any) -> Iterator[tuple[str, Any]]:
    """Every attribute anywhere in a module, by path; containers copied, since they can be changed in place."""
    if not isinstance(module, nnx.Module):
        return
    for path, value in nnx.iter_graph(module):
        name = ".".join(str(step) for step in path)
        if isinstance(value, nnx.Variable):
            yield name, value.get_value()
        elif isinstance(value, list | dict | set):
            yield name, value.copy()
        elif not isinstance(value, nnx.Pytree) and not any("_pytree__" in str(step) for step in path):
            yield name, value


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], defined: str) -> Iterator[str]:
    """What differs in a module after a call; `defined` says where the call is, for values that do not say it."""
    changed = [name for name in {**before, **after} if not _equal(before.get(name), after.get(name))]
    for name in changed:
        if any(other.startswith(f"{name}.") for other in changed):
            continue  # a container: what is in it says more
        old, new = before.get(name), after.get(name)
        tracers = [x for x in jax.tree.leaves(new) if isinstance(x, Tracer)]
        if isinstance(old, Tracer):
            yield f"changes its own `{name}` in a call{_place(tracers) or defined}: the next call is another function"
        elif tracers:
            yield f"leaks a tracer: `{name}`{_place(tracers) or defined} keeps a value of one call on the module"
        else:
            yield f"changes its own `{name}` in a call{defined}, from {_said(old)} to {_said(new)}"


def _equal(old: Any, new: Any) -> bool:
    """The same object, or plain values and containers of such that are equal."""
    if old is new:
        return True
    if type(old) is not type(new):
        return False
    if isinstance(old, dict):
        return old.keys() == new.keys() and all(_equal(old[key], new[key]) for key in old)
    if isinstance(old, list | tuple):
        return len(old) == len(new) and all(map(_equal, old, new))
    return isinstance(old, PLAIN) and bool(old == new)


def _said(value: Any) -> str:
    return f"{value!r:.40}"


def _defined(module: Any) -> str:
    """Where a module's call is defined: ` (file:line)`, or nothing for what is not written in Python."""
    code = getattr(type(module).__call__, "__code__", None)
    return f" ({code.co_filename}:{code.co_firstlineno})" if code else ""


def _place(tracers: Sequence[Any]) -> str:
    """Where the first of some tracers was made: ` (file:line)`, or nothing where jax does not say."""
    with contextlib.suppress(AttributeError, IndexError):
        where = locate((tracers[0]._line_info.traceback,))
        return "" if where == "unknown" else f" ({where})"
    return ""


def _holders(tracer: Any) -> Iterator[str]:
    """Names outside the libraries that hold a tracer: by themselves, in containers, or as attributes of classes."""
    for module in list(sys.modules.values()):
        path = getattr(module, "__file__", None) or ""
        if path.startswith(LIBRARIES) or not hasattr(module, "__dict__"):
            continue
        for name, value in list(vars(module).items()):
            tree = dict(vars(value)) if isinstance(value, type) else value
            if _holds(tree, tracer):
                yield f"{module.__name__}.{name}"


def _holds(tree: Any, wanted: Any, depth: int = 3) -> bool:
    if tree is wanted:
        return True
    branches = list(tree.values()) if type(tree) is dict else tree if type(tree) in (list, tuple, set) else ()
    return depth > 0 and any(_holds(branch, wanted, depth - 1) for branch in list(branches))


def _origin(error: Exception) -> str:
    """Where JAX says that a tracer came from: ` (file:line)`, or nothing."""
    found = re.search(r"created on line (\S+?:\d+)", str(error))
    return f" ({found[1]})" if found else ""


def _donated(jaxpr: Any, names: Mapping[Any, str]) -> Iterator[str]:
    """What is donated of these variables by any call inside; a donated intermediate harms nobody."""
    for equation in jaxpr.eqns:
        operands = [None if isinstance(atom, Literal) else names.get(atom) for atom in equation.invars]
        given = equation.params.get("donated_invars", ())
        for name, donates in zip(operands, given, strict=False):
            if name and donates:
                where = locate((equation.source_info.traceback,))
                yield f"donates the buffer of its {name} ({where}): it is gone when the caller needs it again"
        for inner in equation.params.values():
            body = getattr(inner, "jaxpr", inner)
            if hasattr(body, "eqns") and len(body.invars) == len(operands):
                yield from _donated(body, {v: n for v, n in zip(body.invars, operands, strict=True) if n})
