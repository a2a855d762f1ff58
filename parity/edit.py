"""Faults and equivalents as edits of the port's own source: one function, one place, put back afterwards.

A fault that is a second implementation tests the second implementation. An edit changes the very function under test
for the time of a `with`, wherever it was imported to, since it is the function's code that is exchanged.
"""

import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any

from parity.case import Variant
from parity.errors import StaleEdit
from parity.weights import Rules


def edit(target: Callable[..., Any], *changes: tuple[str, str], checks: tuple[str, ...] = ("exact",)) -> Variant:
    """A fault: `target` with each (old, new) text of its source exchanged.

    Args:
        target: a function or method of the port, such as `RMSNorm.__call__`.
        changes: pairs of texts; each old one must stand in the source exactly once, at the moment of use.
        checks: the checks of which at least one must reject it.
    """
    return Variant(patch=lambda: _edited(target, changes), checks=checks, touches=_code(target))


def same(
    target: Callable[..., Any], *changes: tuple[str, str], why: str, excused: Mapping[str, str] | None = None
) -> Variant:
    """An equivalent: like `edit`, with the algebraic reason that nothing but rounding changes.

    `excused` names checks that it need not pass, each with the reason: a variant can be the same function on every
    input that a layer meets, and have another derivative there.
    """
    return Variant(patch=lambda: _edited(target, changes), touches=_code(target), why=why, excused=excused or {})


def both(*variants: Variant) -> Variant:
    """Several variants at once, as one: a consistent change in more than one place."""

    @contextlib.contextmanager
    def patch() -> Iterator[None]:
        with contextlib.ExitStack() as stack:
            for variant in variants:
                if variant.patch:
                    stack.enter_context(variant.patch())
            yield

    def weights(rules: Rules) -> Rules:
        for variant in variants:
            rules = variant.weights(rules) if variant.weights else rules
        return rules

    first = variants[0]
    excused = {check: why for variant in variants for check, why in variant.excused.items()}
    patches = [variant for variant in variants if variant.patch]
    known = all(variant.touches for variant in patches)
    touches = tuple(code for variant in patches for code in variant.touches) if known else ()
    return Variant(
        patch=patch if patches else None,
        weights=weights if any(variant.weights for variant in variants) else None,
        checks=first.checks,
        touches=touches,
        why=first.why,
        excused=excused,
    )


def remap(change: Callable[[Rules], Rules], *, checks: tuple[str, ...] = ("exact",), why: str = "") -> Variant:
    """A fault of the transfer: the case's weight rules changed, such as a square kernel that is not transposed."""
    return Variant(weights=change, checks=checks, why=why)


def _code(target: Callable[..., Any]) -> tuple[CodeType, ...]:
    function = inspect.unwrap(target)
    return (function.__code__,) if isinstance(function, FunctionType) else ()


_EDITED: dict[FunctionType, str] = {}  # what the source of a function is by now, so that edits of one function add up


@contextlib.contextmanager
def _edited(target: Callable[..., Any], changes: tuple[tuple[str, str], ...]) -> Iterator[None]:
    function = inspect.unwrap(target)
    assert isinstance(function, FunctionType), f"{target} is not a function written in Python"
    code, defaults, keywords = function.__code__, function.__defaults__, function.__kwdefaults__
    before = _EDITED.get(function)
    try:
        source = _changed(function, before, changes)
        changed = _compiled(function, source)
        function.__code__, function.__defaults__ = changed.__code__, changed.__defaults__
        function.__kwdefaults__ = changed.__kwdefaults__
        _EDITED[function] = source
        yield
    finally:
        function.__code__, function.__defaults__, function.__kwdefaults__ = code, defaults, keywords
        _EDITED.pop(function, None)
        if before is not None:
            _EDITED[function] = before


def _changed(function: FunctionType, source: str | None, changes: tuple[tuple[str, str], ...]) -> str:
    """A function's source (as it stands in its file, if none is given) with every change made."""
    if source is None:
        source = textwrap.dedent(inspect.getsource(function))
    for old, new in changes:
        if source.count(old) != 1:
            raise StaleEdit(
                f"the edit of `{function.__qualname__}` no longer applies: `{old}` stands {source.count(old)} times "
                f"in {inspect.getsourcefile(function)}:{function.__code__.co_firstlineno}, not once"
            )
        source = source.replace(old, new)
    return source


def _compiled(function: FunctionType, source: str) -> FunctionType:
    start = function.__code__.co_firstlineno
    closure = function.__code__.co_freevars
    if closure:  # a closure (the `__class__` of super(), say) must be free in the new code as well
        body = textwrap.indent(source, "    ")
        source = f"def _closure({', '.join(closure)}):\n{body}\n    return {function.__name__}\n"
        start -= 1
    flags = function.__code__.co_flags & __future__.annotations.compiler_flag
    module = compile("\n" * (start - 1) + source, inspect.getsourcefile(function) or "?", "exec", flags)
    names: dict[str, Any] = {}
    # Only the port's own source, with the edits of a case file next to it, is run here.
    exec(module, function.__globals__, names)
    made = names["_closure"](*[None] * len(closure)) if closure else names[function.__name__]
    made = inspect.unwrap(made)
    assert isinstance(made, FunctionType)
    return made
