"""Every fault that can be injected into a traced port, each with its place in the port's source."""

import dataclasses
import functools
import itertools
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from parity.faults.callers import Place, chain
from parity.faults.places import axes, broadcasts, indices, transposes
from parity.faults.relations import relations, same_form, swaps
from parity.faults.site import Fault, Site
from parity.faults.values import casts, elements, literals
from parity.ideal.jaxpr import locate
from parity.ideal.unfolded import Evaluation, Unfolded

MAKERS: tuple[Callable[[Site], Iterator[Fault]], ...] = (
    relations, swaps, literals, axes, broadcasts, indices, transposes, casts, elements,
)  # fmt: skip
ALIKE = 8  # operations of one kind on one line of the port
BODIES = ("scan", "while", "cond")  # what they hold is not entered: they get faults of their results only


@dataclasses.dataclass(frozen=True)
class Injected:
    """A fault at its place.

    Attributes:
        index: of the line, in the flattened program.
        primitive: the operation that it changes.
        where: `file:line` of the port.
        occurrence: which of the operations of this primitive that stand on that line, counted as they are traced,
            without those that were skipped.
        fault: what is changed.
    """

    index: int
    primitive: str
    where: str
    occurrence: int
    fault: Fault

    @property
    def key(self) -> tuple[str, str, int, str, str]:
        """What makes it the same fault of the port in traces of other configurations."""
        return self.where, self.primitive, self.occurrence, self.fault.kind, self.fault.detail

    def changes(self, evaluation: Evaluation) -> Mapping[int, Any] | None:
        """The slots that the fault changes, with their faulty values; None where it changes nothing on these operands.

        A value's bits count, so that a zero of another sign is a change.
        """
        clean = evaluation.results(self.index)
        faulty = self.fault.change(evaluation.operands(self.index), clean)
        if not same_form(clean, faulty):
            return None
        slots = evaluation.program.lines[self.index].outputs
        changed = {slot: y for slot, x, y in zip(slots, clean, faulty, strict=True) if not same_bits(x, y)}
        return changed or None


def every(program: Unfolded, *, skipped: Callable[[Place], bool] = lambda place: False) -> Iterator[Injected]:
    """All faults of a program, line by line, but for operations that are skipped.

    Of more than `ALIKE` operations of one kind that stand on one line of the port, as those of a stack's layers do,
    that many are taken, evenly from the first to the last.
    """
    lines = [(locate(line.tracebacks), line.name) for line in program.lines]
    left = [not skipped(place) for place in places(program)]
    total = Counter(itertools.compress(lines, left))
    met = Counter[tuple[str, str]]()
    for index in itertools.compress(range(len(lines)), left):
        occurrence = met[lines[index]]
        met[lines[index]] += 1
        if occurrence in _taken(total[lines[index]]):
            yield from at(program, index, occurrence=occurrence)


def places(program: Unfolded) -> list[Place]:
    """Each line's callers and primitive."""
    return [(chain(line), line.name) for line in program.lines]


def at(program: Unfolded, index: int, *, occurrence: int = 0) -> Iterator[Injected]:
    """The faults of one line."""
    line = program.lines[index]
    where = locate(line.tracebacks)
    for make in (casts, elements) if line.name in BODIES else MAKERS:
        for fault in make(Site(program, index)):
            yield Injected(index, line.name, where, occurrence, fault)


@functools.cache
def _taken(count: int) -> frozenset[int]:
    if count <= ALIKE:
        return frozenset(range(count))
    return frozenset(round(step * (count - 1) / (ALIKE - 1)) for step in range(ALIKE))


def same_bits(x: Any, y: Any) -> bool:
    """Whether two arrays of one shape hold the same bits."""
    return x is y or (x.dtype == y.dtype and x.tobytes() == y.tobytes())
