"""Inside a culprit: the first operation of the port whose result the reference never has, and the lines of both."""

import dataclasses
import linecache
import os
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from parity.located import Operation
from parity.locating.match import Index, Sketch
from parity.port import Asked, Computed
from parity.reference.trail import Step

PACKAGES = os.path.join("site-packages", "")


@dataclasses.dataclass(frozen=True)
class Wrong:
    """The operation: its index among the program's lines, what asks for it, and the reference's step beside it."""

    index: int
    asked: Asked
    beside: Step | None
    error: float | None


@dataclasses.dataclass
class _Line:
    """What is kept of a line of the port: no values."""

    index: int
    asked: Asked
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    matched: int | None
    counts: bool  # whether it holds floats
    given: bool  # whether it depends on what the part was given


def first_wrong(
    lines: Iterable[Computed],
    *,
    given: Sequence[int],
    outputs: Sequence[int],
    steps: Sequence[Step],
    closed: Collection[tuple[str, str]] = (),
) -> Wrong | None:
    """The operation where the port's program leaves the reference's.

    A value that the reference never has may be a detour: a sum where the reference takes a mean at once. It counts
    where everything that follows from it, up to an output, is foreign too.

    Args:
        lines: the port's program at work.
        given: the slots of its parameters and inputs.
        outputs: the slots of its outputs.
        steps: what the reference computed from the same inputs.
        closed: classes that are not looked into: the call of one is at fault, not what is inside.
    """
    index = Index(step.values for step in steps)
    depends = set(given)
    known: list[_Line] = []
    sketches: dict[int, Sketch] = {}
    for computed in lines:
        line = _looked_up(computed, index, depends, closed)
        known.append(line)
        if line.matched is None and line.counts:
            sketches[line.index] = Sketch.of(computed.results[0])
            if len(sketches) > 64:  # only the first matter
                sketches.pop(max(sketches))
    made = {slot: line for line in known for slot in line.outputs}
    # What depends on nothing that was given counts only where nothing else is foreign: a table of the wrong constants.
    foreign = _foreign([line for line in known if line.given], outputs) or _foreign(known, outputs)
    for line in known:
        if line.index in foreign and not any(slot in made and made[slot].index in foreign for slot in line.inputs):
            beside = _beside(line, made, index, steps, sketches.get(line.index))
            return _wrong(line, beside, index, steps, sketches.get(line.index))
    return _unfinished([made[slot] for slot in outputs if slot in made], index, steps)


def _unfinished(ends: Sequence[_Line], index: Index, steps: Sequence[Step]) -> Wrong | None:
    """Where the port ends with a value that the reference goes on from: what comes next there is missing here."""
    matched = [line for line in ends if line.matched is not None]
    for line in sorted(matched, key=lambda line: -line.index):
        after = range(line.matched + 1 if line.matched is not None else 0, len(steps))
        left = [n for n in after if steps[n].file and n not in index.met and index.is_float(n)]
        if left:
            return _wrong(line, left[0], index, steps, None)
    return None


def described(wrong: Wrong, root: Path) -> Operation:
    """An operation for the report, with the text of both lines."""
    what, file, line = wrong.asked
    beside = wrong.beside
    return Operation(
        primitive=what,
        port_file=_short(file, root),
        port_line=line,
        port_source=linecache.getline(file, line).strip(),
        reference_file=_short(beside.file, root) if beside else None,
        reference_line=beside.line if beside else None,
        reference_source=linecache.getline(beside.file, beside.line).strip() if beside else None,
        error=wrong.error,
    )


def _looked_up(computed: Computed, index: Index, depends: set[int], closed: Collection[tuple[str, str]]) -> _Line:
    line = computed.line
    if not depends.isdisjoint(line.inputs):
        depends.update(line.outputs)
    is_float = bool(computed.results) and np.asarray(computed.results[0]).dtype.kind == "f"
    found = [index.find(Sketch.of(x)) for x in computed.results if _is_array(x)]
    matched = next((number for number in found if number is not None), None)
    given = not depends.isdisjoint(line.outputs)
    return _Line(computed.index, computed.asked_by(closed), line.inputs, line.outputs, matched, is_float, given)


def _foreign(lines: Sequence[_Line], outputs: Sequence[int]) -> set[int]:
    """The lines that reach an output through foreign values alone."""
    wanted, found = set(outputs), set[int]()
    for line in reversed(lines):
        if line.matched is None and line.counts and not wanted.isdisjoint(line.outputs):
            found.add(line.index)
            wanted.update(line.inputs)
    return found


def _beside(
    line: _Line, made: dict[int, _Line], index: Index, steps: Sequence[Step], sketch: Sketch | None
) -> int | None:
    """The reference's step next to a line: the first that the port never has, after all that the line was given."""
    last = max((_last(slot, made) for slot in line.inputs), default=-1)
    left = [n for n in range(last + 1, len(steps)) if steps[n].file and n not in index.met and index.is_float(n)]
    alike = [n for n in left if sketch is not None and index.sketches[n].values.size == sketch.values.size]
    if alike or left:
        return (alike or left)[0]
    return last if last >= 0 and steps[last].file else None


def _last(slot: int, made: dict[int, _Line]) -> int:
    """The latest step of the reference that a value is, or is made of."""
    line = made.get(slot)
    if line is None:
        return -1
    return line.matched if line.matched is not None else max((_last(each, made) for each in line.inputs), default=-1)


def _wrong(line: _Line, beside: int | None, index: Index, steps: Sequence[Step], sketch: Sketch | None) -> Wrong:
    step = steps[beside] if beside is not None else None
    error = sketch.distance(index.sketches[beside]) if sketch is not None and beside is not None else None
    return Wrong(line.index, line.asked, step, error)


def _short(file: str, root: Path) -> str:
    return file.removeprefix(f"{root.resolve()}{os.sep}").rpartition(PACKAGES)[2]


def _is_array(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic) and x.dtype.kind in "fiub" and x.size > 0
