"""A program with nothing folded and every value kept, so that any one line can be exchanged and its effect followed."""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from parity.ideal.blas import one_thread
from parity.ideal.equation import Array, Equation, Operation
from parity.ideal.jaxpr import Flat, Line


@dataclass(frozen=True)
class Unfolded:
    """A flattened program for concrete shapes: each line's equation and operation, those of constants included."""

    flat: Flat
    equations: tuple[Equation, ...]
    operations: tuple[Operation, ...]

    @property
    def lines(self) -> tuple[Line, ...]:
        return self.flat.lines

    @functools.cached_property
    def read(self) -> frozenset[int]:
        """The slots that some line, or whoever called, reads."""
        return frozenset(self.flat.outputs).union(*(line.inputs for line in self.lines))

    def run(self, index: int, operands: Sequence[Any]) -> list[Any]:
        """The results of one line for operands of its shapes and dtypes."""
        with np.errstate(all="ignore"):
            results = self.operations[index](*operands)
        return list(results) if self.lines[index].primitive.multiple_results else [results]


@dataclass(frozen=True)
class Evaluation:
    """One evaluation of a program: the value of every slot. Don't write to them: they may share memory."""

    program: Unfolded
    values: Sequence[Any]

    @staticmethod
    def of(program: Unfolded, args: Sequence[Any]) -> "Evaluation":
        """Evaluate, line by line; `args` as `Program` prepares them."""
        values: list[Any] = [None] * program.flat.slots
        for slot, value in program.flat.constants.items():
            values[slot] = value
        for slot, value in zip(program.flat.inputs, args, strict=True):
            values[slot] = value
        with one_thread():
            for index, line in enumerate(program.lines):
                results = program.run(index, [values[slot] for slot in line.inputs])
                for slot, value in zip(line.outputs, results, strict=True):
                    values[slot] = value
        return Evaluation(program, values)

    def operands(self, index: int) -> list[Any]:
        """What a line was given."""
        return [self.values[slot] for slot in self.program.lines[index].inputs]

    def results(self, index: int) -> list[Any]:
        """What a line computed."""
        return [self.values[slot] for slot in self.program.lines[index].outputs]

    def outputs(self, changes: Mapping[int, Any] | None = None, *, after: int = -1) -> list[Array]:
        """The program's outputs where some slots hold other values.

        Args:
            changes: slot -> its value instead.
            after: the line whose results they are; -1 for the program's inputs. Only later lines that depend on a
                change are run again.
        """
        changed = dict(changes or {})
        if changed:
            with one_thread():
                self._follow(changed, after)
        return [np.asarray(changed.get(slot, self.values[slot])) for slot in self.program.flat.outputs]

    def replaced(self, values: Mapping[int, Any], *, after: int = -1, until: int | None = None) -> "Evaluation":
        """The evaluation in which some slots hold other values, whatever computes them; `until` some line, if given."""
        changed = dict(values)
        with one_thread():
            self._follow(changed, after, until)
        after_all = list(self.values)
        for slot, value in changed.items():
            after_all[slot] = value
        return Evaluation(self.program, after_all)

    def _follow(self, changed: dict[int, Any], after: int, until: int | None = None) -> None:
        given = set(changed)
        for index in range(after + 1, len(self.program.lines) if until is None else until + 1):
            line = self.program.lines[index]
            if not changed.keys().isdisjoint(line.inputs) and given.isdisjoint(line.outputs):
                operands = [changed[slot] if slot in changed else self.values[slot] for slot in line.inputs]
                changed.update(zip(line.outputs, self.program.run(index, operands), strict=True))
