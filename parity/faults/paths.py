"""Where a change of one operation goes in a program, and what the operations that it meets are computed from."""

import dataclasses
from collections.abc import Collection, Iterable

from parity.ideal.unfolded import Unfolded

SHAPES = frozenset((
    "broadcast_in_dim", "reshape", "squeeze", "transpose", "slice", "concatenate", "pad", "rev", "split", "stack",
    "cumsum",
))  # fmt: skip
ELEMENTWISE = frozenset((
    "add", "add_any", "sub", "mul", "div", "rem", "neg", "sign", "abs", "max", "min", "square", "integer_pow", "pow",
    "sqrt", "rsqrt", "cbrt", "exp", "exp2", "expm1", "log", "log1p", "sin", "cos", "tan", "tanh", "logistic", "erf",
    "erfc", "floor", "ceil", "round", "clamp", "eq", "ne", "lt", "le", "gt", "ge", "and", "or", "xor", "not",
    "is_finite", "convert_element_type", "copy", "stop_gradient", "select_n",
))  # fmt: skip
CARRIERS = SHAPES | ELEMENTWISE


@dataclasses.dataclass(frozen=True)
class Reach:
    """How far a change goes before it meets the operations it is looked for at.

    Attributes:
        passed: lines that it passes through, the changed one first.
        ends: (line, operand number) where it is met.
    """

    passed: tuple[int, ...]
    ends: tuple[tuple[int, int], ...]


def reach(
    program: Unfolded,
    start: int,
    *,
    stop: Collection[str],
    through: Collection[str] = CARRIERS,
    passing: int = 0,
) -> Reach | None:
    """Follow the results of a line up to operations of the kinds `stop`, but for the first `passing` of these.

    None if it gets past: through another operation than `through` names, or to an output of the program.
    """
    dirty = set(program.lines[start].outputs)
    passed, ends = [start], list[tuple[int, int]]()
    for index in range(start + 1, len(program.lines)):
        line = program.lines[index]
        met = [number for number, slot in enumerate(line.inputs) if slot in dirty]
        if met and line.name in stop and not passing:
            ends += [(index, number) for number in met]
        elif met and (line.name in through or line.name in stop):
            passing -= line.name in stop
            passed.append(index)
            dirty.update(line.outputs)
        elif met:
            return None
    return Reach(tuple(passed), tuple(ends)) if dirty.isdisjoint(program.flat.outputs) and ends else None


def downstream(program: Unfolded, start: int) -> tuple[int, ...]:
    """Every line that a change of one line's results comes to, that line first."""
    dirty, passed = set(program.lines[start].outputs), [start]
    for index in range(start + 1, len(program.lines)):
        line = program.lines[index]
        if not dirty.isdisjoint(line.inputs):
            passed.append(index)
            dirty.update(line.outputs)
    return tuple(passed)


def free(program: Unfolded) -> set[int]:
    """The slots that depend on an input of the program."""
    found = set(program.flat.inputs)
    for line in program.lines:
        if not found.isdisjoint(line.inputs):
            found.update(line.outputs)
    return found


def roots(program: Unfolded, slots: Iterable[int], *, through: Collection[str] = CARRIERS) -> set[int]:
    """What slots are computed from, element by element: the nearest slots above them that are no such function.

    `through` are the operations that count as such functions.
    """
    maker = {slot: line for line in program.lines for slot in line.outputs}
    inputs_matter, found, left, met = free(program), set[int](), list(slots), set[int]()
    while left:
        slot = left.pop()
        if slot not in inputs_matter or slot in met:
            continue
        met.add(slot)
        line = maker.get(slot)
        if line is None or line.name not in through:
            found.add(slot)
        else:
            left.extend(line.inputs)
    return found
