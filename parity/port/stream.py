"""A port's program evaluated line by line: a parameter is read when it is needed, and dropped after its last use."""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

import contextlib
import dataclasses
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np
import numpy.typing as npt

from parity.ideal.blas import one_thread
from parity.ideal.equation import lift
from parity.ideal.jaxpr import Line, frames_of
from parity.ideal.unfolded import Unfolded
from parity.port.build import Port
from parity.port.run import Outputs, Traced, split

Array = npt.NDArray[Any]
Read = Callable[[str], Array]
Class = tuple[str, str]
SMALL = 2**16  # elements of the largest value of a program that runs faster on one thread


class Asked(NamedTuple):
    """What is asked for, an operation or a call of a class, and by which line of the port; line 0 where unknown."""

    what: str
    file: str
    line: int


@dataclasses.dataclass(frozen=True)
class Computed:
    """One line of a program at work: what it was given, and what it made."""

    index: int
    line: Line
    operands: tuple[Any, ...]
    results: tuple[Any, ...]

    def asked_by(self, closed: Collection[Class] = ()) -> Asked:
        """The line of the port that asks for it; where that lies in a class of `closed`, the line that calls that.

        A class is a file and a name; the outermost of them counts.
        """
        frames = list(frames_of(self.line.tracebacks))  # innermost first
        for number in range(len(frames) - 1, -1, -1):
            code = frames[number].code
            inner = (code.co_filename, code.co_qualname.partition(".")[0])
            if inner in closed and number + 1 < len(frames):
                return Asked(inner[1], frames[number + 1].file, frames[number + 1].line)
        return Asked(self.line.name, *((frames[0].file, frames[0].line) if frames else ("", 0)))


def stream(traced: Traced, port: Port, read: Read, inputs: Mapping[str, Any]) -> Iterator[Computed]:
    """Evaluate, and hand over every line; the last one's outputs are those of `streamed_outputs`.

    Args:
        traced: the port's program, for these inputs' shapes.
        port: whose it is.
        read: gives a parameter by path, in any floating dtype that holds it exactly.
        inputs: by the port's names.
    """
    return _Stream(traced, port, read, inputs).lines()


def streamed_outputs(traced: Traced, port: Port, read: Read, inputs: Mapping[str, Any]) -> Outputs:
    """What `Traced.run` gives, with few parameters in memory at a time."""
    run = _Stream(traced, port, read, inputs)
    for _ in run.lines():
        pass
    return run.outputs()


class _Stream:
    def __init__(self, traced: Traced, port: Port, read: Read, inputs: Mapping[str, Any]) -> None:
        self.traced, self.read = traced, read
        arrays = jax.tree.leaves(split(inputs, "float64")[0])
        self.program: Unfolded = traced.program.unfolded()
        flat = self.program.flat
        self.paths = dict(zip(flat.inputs, port.leaves, strict=False))
        self.avals = dict(zip(flat.inputs, flat.input_avals, strict=True))
        self.values: dict[int, Any] = dict(flat.constants)
        for slot, x in zip(flat.inputs[len(port.leaves) :], arrays, strict=True):
            self.values[slot] = np.asarray(x).astype(lift(self.avals[slot].dtype), copy=False)

    def lines(self) -> Iterator[Computed]:
        last = self._last_uses()
        for index, line in enumerate(self.program.lines):
            operands = tuple(self._value(slot) for slot in line.inputs)
            with self._threads(line):
                results = tuple(self.program.run(index, operands))
            self.values.update(zip(line.outputs, results, strict=True))
            yield Computed(index, line, operands, results)
            for slot in last[index]:
                self.values.pop(slot, None)

    def outputs(self) -> Outputs:
        """After all lines: the outputs by name."""
        values = [np.asarray(self._value(slot)) for slot in self.program.flat.outputs]
        if self.traced.dtypes is not None:
            values = [x.astype(dtype, copy=False) for x, dtype in zip(values, self.traced.dtypes, strict=True)]
        return dict(zip(self.traced.names, values, strict=True))

    def _value(self, slot: int) -> Any:
        if slot not in self.values:
            self.values[slot] = self.read(self.paths[slot]).astype(lift(self.avals[slot].dtype), copy=False)
        return self.values[slot]

    def _last_uses(self) -> list[tuple[int, ...]]:
        kept = set(self.program.flat.outputs)
        last: list[tuple[int, ...]] = []
        for line in reversed(self.program.lines):
            last.append(tuple({*line.inputs, *line.outputs} - kept))
            kept.update(line.inputs)
        return last[::-1]

    @staticmethod
    def _threads(line: Line) -> contextlib.AbstractContextManager[Any]:
        largest = max((math.prod(aval.shape) for aval in (*line.input_avals, *line.output_avals)), default=0)
        return one_thread() if largest < SMALL else contextlib.nullcontext()
