"""Edits change the very function under test, wherever it went, and put it back."""

from __future__ import annotations

import functools
import inspect
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import parity
from parity.errors import StaleEdit
from parity.tests.gain import gained
from parity.tests.gain import gained as elsewhere


def double(x: float, plus: float = 1.0, *, times: float = 2.0) -> float:
    """Return twice the number, and one."""
    total = x * times
    return total + plus


def raising(x: float) -> float:
    """Fail on the second line of the body."""
    x = x + 1
    raise RuntimeError(f"got {x}")


def wrapped(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that calls another, as a decorator does."""

    @functools.wraps(function)
    def call(*args: Any) -> Any:
        return function(*args) + 100

    return call


@wrapped
def decorated(x: float) -> float:
    """Return half the number."""
    return x / 2


class Base:
    """Something to inherit from."""

    def __init__(self, x: float) -> None:
        self.x = x

    def value(self) -> float:
        return self.x


class Child(Base):
    """Methods with a closure over the class."""

    def __init__(self, x: float) -> None:
        super().__init__(x * 10)

    def value(self) -> float:
        return super().value() + 1


def adder(n: float) -> Callable[[float], float]:
    """Return a closure."""

    def add(x: float) -> float:
        return x + n

    return add


def within(variant: parity.Variant) -> Any:
    """Return the context in which a variant is in place."""
    assert variant.patch is not None
    return variant.patch()


def test_changes_the_function_wherever_it_was_imported_to() -> None:
    """Every name of a function sees the edit: it is the function's code that is exchanged."""
    names = {"here": gained, "alias": elsewhere, "bound": functools.partial(gained, scale=2.0)}  # type: ignore[arg-type]
    with within(parity.edit(gained, ("x * scale + bias", "x * scale - bias"))):
        assert gained(3.0, 2.0, 1.0) == 5.0  # type: ignore[arg-type]
        assert names["alias"](3.0, 2.0, 1.0) == 5.0
        assert names["bound"](3.0, bias=1.0) == 5.0  # type: ignore[call-arg]
    assert elsewhere(3.0, 2.0, 1.0) == 7.0  # type: ignore[arg-type]


def test_is_restored_after_an_exception() -> None:
    """Code, defaults and keyword defaults are as before, whatever was raised inside."""
    before = (double.__code__, double.__defaults__, double.__kwdefaults__)
    broken = within(parity.edit(double, ("plus: float = 1.0", "plus: float = 5.0")))
    with pytest.raises(KeyError, match="7"), broken:
        raise KeyError(double(1))
    assert (double.__code__, double.__defaults__, double.__kwdefaults__) == before
    assert double(1) == 3


def test_defaults_can_be_edited() -> None:
    """Defaults of both kinds belong to the function; its callers don't give them."""
    with within(parity.edit(double, ("plus: float = 1.0", "plus: float = 0.0"), ("float = 2.0", "float = 3.0"))):
        assert double(1) == 3
    assert double(1) == 3.0
    with within(parity.edit(double, ("times: float = 2.0", "times: float = 4.0"))):
        assert double(1) == 5


def test_stale_edit_says_what_and_where() -> None:
    """A text that stands nowhere, or more than once, names the function, the text, the count and the place."""
    file, line = inspect.getsourcefile(double), double.__code__.co_firstlineno
    with pytest.raises(StaleEdit) as error, within(parity.edit(double, ("x / times", "x"))):
        pass
    assert str(error.value) == (
        f"the edit of `double` no longer applies: `x / times` stands 0 times in {file}:{line}, not once"
    )
    with pytest.raises(StaleEdit) as error, within(parity.edit(Child.value, ("super()", "self"), ("value", "x"))):
        pass
    file, line = inspect.getsourcefile(Child), Child.value.__code__.co_firstlineno
    assert str(error.value) == (
        f"the edit of `Child.value` no longer applies: `value` stands 2 times in {file}:{line}, not once"
    )
    assert double(1) == 3
    assert Child(1).value() == 11


def test_changes_apply_in_order() -> None:
    """Each change sees the text that the one before it left."""
    with within(parity.edit(double, ("total + plus", "total - plus"), ("total - plus", "total * plus"))):
        assert double(4, 5) == 40


def test_methods_with_super() -> None:
    """A method may call super(): its class is still found, before, within and after."""
    with within(parity.edit(Child.value, ("+ 1", "+ 2"))):
        assert Child(1).value() == 12
    with within(parity.edit(Child.__init__, ("x * 10", "x * 20"))):
        assert Child(1).value() == 21
    assert Child(1).value() == 11


def test_closures_keep_what_they_close_over() -> None:
    """An edited closure goes on with the values it had; another closure of the same text is left alone."""
    one, other = adder(1), adder(1)
    with within(parity.edit(one, ("x + n", "x - n"))):
        assert one(5) == 4
        assert other(5) == 6
    assert one(5) == 6


def test_decorated_functions_are_edited_inside() -> None:
    """The function is edited, not what its decorator made of it."""
    with within(parity.edit(decorated, ("x / 2", "x / 4"))):
        assert decorated(4) == 101
    assert decorated(4) == 102


def test_line_numbers_are_those_of_the_file() -> None:
    """A traceback through an edited function, or method, points at the line in the file."""
    lines, start = inspect.getsourcelines(raising)
    expected = start + next(number for number, line in enumerate(lines) if "raise RuntimeError" in line)
    with (
        within(parity.edit(raising, ("x + 1", "x + 2"))),
        pytest.raises(RuntimeError, match="got 3") as error,
    ):
        raising(1)
    frame = traceback.extract_tb(error.value.__traceback__)[-1]
    assert (frame.filename, frame.lineno, frame.name) == (inspect.getsourcefile(raising), expected, "raising")
    first = Child.value.__code__.co_firstlineno
    with within(parity.edit(Child.value, ("+ 1", "+ 2"))):
        assert Child.value.__code__.co_firstlineno == first


def test_what_is_not_python_is_refused() -> None:
    """A function without source, such as NumPy's, can't be edited, and says so."""
    with pytest.raises(AssertionError, match="is not a function written in Python"), within(parity.edit(np.add)):
        pass


def test_both_makes_two_edits_one() -> None:
    """Every patch is in place and every change of the weights is made; checks and reason are the first one's."""
    rules = parity.rules({"weight": parity.copy("scale")})
    renamed = parity.remap(lambda rules: rules | parity.rules({"bias": parity.copy("offset")}), checks=("float32",))
    variant = parity.both(
        parity.same(double, ("total + plus", "plus + total"), why="a sum commutes"),
        parity.edit(Child.value, ("+ 1", "+ 2")),
        renamed,
    )
    assert (variant.checks, variant.why) == (("exact",), "a sum commutes")
    assert variant.weights is not None
    assert set(variant.weights(rules).table) == {"weight", "bias"}
    with within(variant):
        assert Child(1).value() == 12
        assert double(1) == 3
    assert Child(1).value() == 11


def test_both_takes_back_the_first_when_the_second_is_stale() -> None:
    """Nothing is left half changed."""
    variant = parity.both(parity.edit(Child.value, ("+ 1", "+ 2")), parity.edit(double, ("no such text", "")))
    with pytest.raises(StaleEdit), within(variant):
        pass
    assert Child(1).value() == 11


def test_nested_edits_of_one_function_add_up() -> None:
    """An edit inside another sees the function as it is by then, and each takes back its own."""
    with within(parity.edit(double, ("x * times", "x * times * 10"))):
        assert double(1) == 21
        with within(parity.edit(double, ("total + plus", "total - plus"))):
            assert double(1) == 19
        assert double(1) == 21
        with pytest.raises(StaleEdit), within(parity.edit(double, ("x * times\n", "x\n"))):
            pass
    assert double(1) == 3
    with within(
        parity.both(parity.edit(double, ("x * times", "x")), parity.edit(double, ("total + plus", "total - plus")))
    ):
        assert double(5) == 4


def test_annotations_need_not_exist() -> None:
    """A file's `from __future__ import annotations` holds for what is compiled of it."""

    def annotated(x: Unheard) -> Unheard:  # type: ignore[name-defined]  # noqa: F821
        return x + 1

    with within(parity.edit(annotated, ("x + 1", "x + 2"))):
        assert annotated(1) == 3


def test_remap_changes_only_the_weights() -> None:
    """A fault of the transfer has no patch."""
    variant = parity.remap(lambda rules: rules, why="the same")
    assert (variant.patch, variant.checks, variant.why) == (None, ("exact",), "the same")
