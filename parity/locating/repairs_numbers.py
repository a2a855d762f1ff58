"""Repairs of the numbers in a traced port: literals, factors that are missing, comparisons that are off by one."""

import itertools
from collections.abc import Iterator, Mapping

import numpy as np

from parity.locating.repairs import Changes, Repair
from parity.port import Followed

BEFORE, AFTER = 40, 8  # lines around the operation at fault whose numbers are tried
POWERS = {"": 1.0, "**-0.5": -0.5, "**0.5": 0.5, "**-1": -1.0}
OFF_BY_ONE = "a position, or the edge of a mask or a window, off by one"
COMPARISONS = ("lt", "le", "gt", "ge", "eq", "ne")


def of_literals(followed: Followed, index: int | None, named: Mapping[str, float]) -> Iterator[Repair]:
    """A number of the program that a field of the configuration should give.

    Those are tried that are read near the operation at fault, if that is known.
    """
    near = _read_near(followed, index)
    for slot, value in followed.evaluation.program.flat.constants.items():
        x = np.asarray(value)
        if x.shape or slot not in near or x.dtype.kind != "f":
            continue
        for field, how, number in _candidates(named):
            if not np.isclose(number, x, rtol=1e-12):
                said = f"{float(x):.6g} where `{field}`{how} = {number:.6g} belongs"
                yield Repair(f"field {field}", said, lambda s=slot, n=number: {s: np.float64(n)})


def of_factors(followed: Followed, index: int | None, named: Mapping[str, float]) -> Iterator[Repair]:
    """A factor missing at the operation at fault: in what it makes, or in one of what it is given."""
    if index is None:
        return
    evaluation = followed.evaluation
    line = evaluation.program.lines[index]
    for field, how, number in _candidates(named):
        said = f"a factor `{field}`{how} = {number:.6g} missing"

        def scaled(place: int | None, number: float = number) -> Changes:
            operands = evaluation.operands(index)
            if place is None:
                return {slot: x * number for slot, x in zip(line.outputs, evaluation.results(index), strict=True)}
            operands[place] = operands[place] * number
            return dict(zip(line.outputs, evaluation.program.run(index, operands), strict=True))

        for place in (None, *range(len(line.inputs))):
            yield Repair(f"field {field}", said, lambda place=place, scaled=scaled: scaled(place), after=index)


def of_integers(followed: Followed, index: int | None) -> Iterator[Repair]:
    """Integers one too high or low near the operation at fault: in the program, or as they are compared."""
    near = _read_near(followed, index)
    for slot, value in followed.evaluation.program.flat.constants.items():
        x = np.asarray(value)
        if not x.shape and slot in near and x.dtype.kind == "i":
            for step in (-1, 1):
                yield Repair(OFF_BY_ONE, OFF_BY_ONE, lambda s=slot, x=x, d=step: {s: x + np.asarray(d, x.dtype)})
    yield from _of_comparisons(followed, index)


def _of_comparisons(followed: Followed, index: int | None) -> Iterator[Repair]:
    evaluation = followed.evaluation
    lines = evaluation.program.lines
    for number in _near(followed, index):
        operands = evaluation.operands(number)
        if lines[number].primitive.name not in COMPARISONS or np.asarray(operands[0]).dtype.kind not in "iu":
            continue

        def shifted(step: int, number: int = number) -> Changes:
            first, second = evaluation.operands(number)
            results = evaluation.program.run(number, [first + np.asarray(step, np.asarray(first).dtype), second])
            return dict(zip(lines[number].outputs, results, strict=True))

        for step in (-1, 1):
            yield Repair(OFF_BY_ONE, OFF_BY_ONE, lambda d=step, shifted=shifted: shifted(d), after=number)


def _near(followed: Followed, index: int | None) -> range:
    """The lines around one; all of them where none is known."""
    count = len(followed.evaluation.program.lines)
    return range(count) if index is None else range(max(0, index - BEFORE), min(count, index + AFTER))


def _read_near(followed: Followed, index: int | None) -> set[int]:
    """The slots that lines around one read."""
    lines = followed.evaluation.program.lines
    return {slot for number in _near(followed, index) for slot in lines[number].inputs}


def _candidates(named: Mapping[str, float]) -> Iterator[tuple[str, str, float]]:
    """Numbers that a configuration can give: fields (those of one value together), power, number; each number once.

    A fraction stands for itself. A count stands in its powers: shapes give the count itself, and where much is tried,
    chance finds much (twice a mean is the mean over half a width of 24, that is over 12 layers).
    """
    seen: set[float] = set()
    for (how, power), value in itertools.product(POWERS.items(), dict.fromkeys(named.values())):
        number = float(value) ** power
        if number not in seen and number != 1.0 and isinstance(value, int) == bool(how):
            seen.add(number)
            fields = [field for field, other in named.items() if other == value and type(other) is type(value)]
            yield "` or `".join(fields), how, number
