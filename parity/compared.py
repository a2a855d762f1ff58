"""The whole verdict on two modules that stand in a notebook: a case made of them, and no registry, root or file."""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from parity.case import Case, Json
from parity.errors import BadInput
from parity.registry import Registry
from parity.results import Limit, Results
from parity.session import Workspace, run, select, settings
from parity.tolerance import MEASURES, Tolerances
from parity.values import Given
from parity.weights import Rule, Rules, rules

if TYPE_CHECKING:
    from hypothesis.strategies import SearchStrategy

Bounds = Mapping[str, Mapping[str, float]]
DEFAULTS: Bounds = {
    "exact": {"rtol": 1e-10},
    "gradient": {"rtol": 1e-10, "ratio": 4},
    "rounded": {"differ": 1e-3},
    **{dtype: {"ratio": 4} for dtype in ("float32", "bfloat16", "float16")},
    "eager": {"ratio": 4},
    "transforms": {"rtol": 1e-10},
}


def compare(
    reference: Any,
    port: Any,
    inputs: Any,
    *,
    weights: Rules | Mapping[str, Rule] | None = None,
    at: Mapping[str, str] | None = None,
    arguments: Mapping[str, str] | None = None,
    checks: Collection[str] = (),
    examples: int = 20,
    seed: int = 0,
    tolerances: Bounds | None = None,
    name: str | None = None,
) -> Results:
    """Ask every check of two modules. Parameters are drawn for each example; the modules' own are not looked at.

    Args:
        reference: a torch module or function; or a function of no arguments that makes one, which is right where the
            module computes constants when it is built: they are exact then.
        port: an nnx module or a jax function; or a function of (dtype, rngs) that makes one, for the same reason.
        inputs: by the reference's names, or in its order: arrays of either side, Hypothesis strategies of
            `parity.draw` values, plain scalars, tuples of arrays. Arrays are the same in every example.
        weights: the reference's parameter name -> rule, where the built-in rules don't say it.
        at: the reference's module path -> the port's, where they differ.
        arguments: the reference's argument name -> the port's, where they differ and inputs go by name.
        checks: ids, or kinds of check; none means all that run by default.
        examples: how many each check must complete.
        seed: another one draws other parameters.
        tolerances: check -> measure -> bound, in place of the defaults.
        name: what results call the pair, in place of the reference's type.

    Raises:
        BadInput: something is no module, or no input, that can be compared.
    """
    make_reference, names = _reference(reference)
    make_port, others = _port(port)
    drawn, renamed = _named(inputs, names, others)
    case = Case(
        name=f"compare/{name or _name_of(reference)}",
        reference=lambda config: make_reference(),
        port=lambda config, dtype, rngs: make_port(dtype, rngs),
        configs=_just({}),
        inputs=lambda config, form: _dictionary(drawn),
        weights=weights if isinstance(weights, Rules) else rules(weights or {}),
        at=at or {},
        arguments=arguments or renamed,
        pool=1,
    )
    registry = Registry(Path(), {case.name: case}, {}, {case.name: "parity.compare"})
    workspace = Workspace(registry, _tolerances(tolerances or {}))
    found = run(workspace, select(registry, (), checks), settings(examples=examples, seed=seed))
    # A replay command needs a case file: none is promised.
    bare = tuple(result.model_copy(update={"replay": None}) for result in found.results)
    return found.model_copy(update={"results": bare, "components": ()})


def _reference(thing: Any) -> tuple[Callable[[], Any], list[str]]:
    """What makes the reference, and the names of its inputs."""
    from parity.reference import given

    if given.is_module(thing):
        return given.copied(thing), given.parameter_names(thing)
    if not callable(thing) or isinstance(thing, type):
        raise BadInput(f"the reference is {_said(thing)}: give a torch module, a function, or what makes one")
    names = given.parameter_names(thing)
    return (lambda: thing, names) if names else (thing, given.parameter_names(thing()))


def _port(thing: Any) -> tuple[Callable[[Any, Any], Any], list[str]]:
    """What makes the port, and the names of its inputs."""
    from parity.port import given

    if given.is_module(thing):
        make = given.copied(thing)
        return lambda dtype, rngs: make(dtype), given.parameter_names(thing)
    if not callable(thing) or isinstance(thing, type):
        raise BadInput(f"the port is {_said(thing)}: give an nnx module, a function, or what makes one")
    names = given.parameter_names(thing)
    if set(names) <= {"dtype", "rngs"}:
        return lambda dtype, rngs: thing(**{k: v for k, v in {"dtype": dtype, "rngs": rngs}.items() if k in names}), []
    return lambda dtype, rngs: thing, names


def _named(inputs: Any, names: Sequence[str], others: Sequence[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Inputs by the reference's names as strategies, and the port's names where they go by place."""
    if isinstance(inputs, Mapping):
        return {name: _strategy(name, tree) for name, tree in cast(Mapping[str, Any], inputs).items()}, {}
    placed: tuple[Any, ...] = cast(tuple[Any, ...], inputs) if isinstance(inputs, tuple | list) else (inputs,)
    if len(placed) > len(names):
        raise BadInput(f"{len(placed)} inputs were given, but the reference takes {len(names)}: {', '.join(names)}")
    found = {name: _strategy(name, tree) for name, tree in zip(names, placed, strict=False)}
    return found, {a: b for a, b in itertools.islice(zip(names, others, strict=False), len(placed)) if a != b}


def _strategy(name: str, tree: Any) -> "SearchStrategy[Any]":
    from hypothesis.strategies import SearchStrategy

    return tree if isinstance(tree, SearchStrategy) else _just(_value(name, tree))


def _value(name: str, tree: Any) -> Any:
    if isinstance(tree, tuple | list):
        return tuple(_value(name, branch) for branch in cast(Sequence[Any], tree))
    if isinstance(tree, bool | int | float | str | None):
        return tree
    if hasattr(tree, "detach"):  # a tensor; NumPy knows no bfloat16
        tree = tree.detach().cpu()
        tree = tree.float() if tree.is_floating_point() else tree
    x = np.asarray(tree)
    kind = "f" if x.dtype.name in ("bfloat16", "float16") else x.dtype.kind
    if kind not in "fiub":
        raise BadInput(f"input {name!r} is {_said(tree)}: give an array, a strategy, a scalar, or a tuple of these")
    return Given.of_array(x.astype(np.float32) if kind == "f" else x.astype(bool if kind == "b" else np.int64))


def _tolerances(own: Bounds) -> Tolerances:
    for check, bounds in own.items():
        if unknown := [f"{check}.{name}" for name in bounds if name not in MEASURES.get(check, ())]:
            raise BadInput(f"there is no bound {unknown[0]}; known checks: {', '.join(MEASURES)}")
    every = {
        check: {
            name: Limit(name=name, value=value, where="tolerances=" if check in own else "defaults of parity.compare")
            for name, value in {**DEFAULTS[check], **own.get(check, {})}.items()
        }
        for check in DEFAULTS
    }
    return Tolerances(every, {})


def _just(value: Any) -> "SearchStrategy[Any]":
    from hypothesis import strategies as st

    return st.just(value)


def _dictionary(drawn: Mapping[str, "SearchStrategy[Any]"]) -> "SearchStrategy[Json]":
    from hypothesis import strategies as st

    return st.fixed_dictionaries(dict(drawn))


def _name_of(thing: Any) -> str:
    return str(getattr(thing, "__name__", type(thing).__name__)).strip("<>")


def _said(thing: Any) -> str:
    return f"the class {thing.__qualname__}" if isinstance(thing, type) else f"a {type(thing).__name__}"
