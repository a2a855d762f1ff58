"""One operation of a traced port, and what a fault in it is."""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from parity.ideal.equation import Equation, Spec
from parity.ideal.rules import RULES
from parity.ideal.unfolded import Unfolded

Values = Sequence[Any]


@dataclasses.dataclass(frozen=True)
class Fault:
    """A deliberate bug in one operation.

    Attributes:
        kind: 'literal', 'operands', 'relation', 'axis', 'broadcast', 'index', 'transpose', 'cast' or 'element'.
        detail: tells it from other faults of its kind in the same operation, whatever the shapes.
        description: what was changed, for people.
        change: (operands, clean results) -> faulty results, of the same shapes and dtypes; writes to neither.
    """

    kind: str
    detail: str
    description: str
    change: Callable[[Values, Values], Values]


@dataclasses.dataclass(frozen=True)
class Site:
    """One line of a program as the makers of faults see it: its equation, and those of its operands that are fixed."""

    program: Unfolded
    index: int

    @property
    def equation(self) -> Equation:
        return self.program.equations[self.index]

    @property
    def name(self) -> str:
        return self.equation.primitive

    @property
    def fixed(self) -> Mapping[int, Any]:
        """Operand number -> its value, for literals and for arrays that the program carries."""
        constants = self.program.flat.constants
        slots = enumerate(self.program.lines[self.index].inputs)
        return {number: constants[slot] for number, slot in slots if slot in constants}

    @property
    def results(self) -> list[tuple[int, Spec]]:
        """Number and form of each result that anyone reads."""
        slots = self.program.lines[self.index].outputs
        return [(n, spec) for n, spec in enumerate(self.equation.outputs) if slots[n] in self.program.read]

    def run(self, operands: Values) -> list[Any]:
        """What the operation itself makes of operands."""
        return self.program.run(self.index, operands)

    def instead(self, *, name: str | None = None, **params: Any) -> Callable[[Values, Values], Values] | None:
        """The change that another primitive, or other parameters, make here; None where there is no rule for it."""
        before = self.equation
        equation = before._replace(primitive=name or before.primitive, params={**before.params, **params})
        rule = RULES.get(equation.primitive)
        operation = rule(equation) if rule else None
        if operation is None:
            return None
        several = bool(self.program.lines[self.index].primitive.multiple_results)

        def change(operands: Values, results: Values) -> Values:
            with np.errstate(all="ignore"):
                changed = operation(*operands)
            return list(changed) if several else [changed]

        return change

    def exchanged(self, number: int, value: Callable[[Any], Any]) -> Callable[[Values, Values], Values]:
        """The change that another operand makes; `value` makes it of the operand there is."""

        def change(operands: Values, results: Values) -> Values:
            return self.run([value(x) if place == number else x for place, x in enumerate(operands)])

        return change


def is_number(value: Any) -> bool:
    """Whether faults know how to change a value: numbers and truth values, not random keys."""
    return isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf"
