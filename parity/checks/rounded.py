"""`rounded:<dtype>`: the same casts in the same places? Both sides operation by operation, each result rounded once."""

import dataclasses
import functools
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.case import Example
from parity.checks.casts import first_difference
from parity.checks.finding import Check, Finding, Run, judged
from parity.checks.subject import Outputs, Subject
from parity.error import Error, same_form
from parity.results import Worst
from parity.tolerance import Tolerances

Array = npt.NDArray[Any]
HALVES = ("bfloat16", "float16")
SPARED = 1  # elements an example and a run may have on the other side of a tie, one unit apart, which count for nothing


@dataclasses.dataclass(frozen=True)
class Differing:
    """An output compared: how many of its elements differ, how many of those can't be a tie, and the worst."""

    size: int
    count: int
    apart: int  # more than one unit in the last place
    worst: Worst | None

    def share(self) -> float:
        """The share of elements that differ; a lone one beside a tie is spared."""
        return share(self.count, self.apart, self.size)


def share(count: int, apart: int, size: int) -> float:
    """The share of `size` elements that differ, less `SPARED` of those that are one unit apart."""
    return (count - min(SPARED, count - apart)) / size if size else 0.0


def start(dtype: str, subject: Subject, tolerances: Tolerances) -> Run:
    """Count the elements of each output that differ: in an example by itself, and in all examples together.

    On this machine both sides are deterministic and a port with the same casts agrees bit for bit, whole models
    included. What may move an element is a sum that float64 cannot hold, next to a tie: by one unit, and so seldom
    that an example is spared one such element, and a run too. An example is judged by itself, so that a cast which
    only few examples show is not lost among many; and the run as a whole, so that one element here and there, spared
    in each example, adds up.
    """
    sizes, counts, aparts = Counter[str](), Counter[str](), Counter[str]()

    def judge(example: Example) -> Finding:
        reference = narrowed(subject.reference_outputs(example, f"rounded:{dtype}"), dtype)
        port = narrowed(subject.rounded_outputs(example, dtype), dtype)
        same_form(reference.outputs, port.outputs)
        finding, worst, most = reference.unlike(port), None, 0.0
        if finding:
            return Finding(passed=False, message=finding)
        for name, theirs in reference.outputs.items():
            found = compare(name, theirs, port.outputs[name])
            sizes[name] += found.size
            counts[name] += found.count
            aparts[name] += found.apart
            larger = max(found.share(), share(counts[name], aparts[name], sizes[name]))
            if larger > most or worst is None:
                most, worst = max(most, larger), found.worst or worst
        return judged(subject, "rounded", Error({"differ": most}, worst), tolerances)

    def explain(example: Example, finding: Finding) -> str | None:
        difference = first_difference(subject, example, dtype)
        said = finding.message or _said(finding)
        return f"{said}\nfirst difference in casts: {difference}" if difference else said

    return Run(judge, explain=explain)


def _said(finding: Finding) -> str:
    assert finding.error is not None
    assert finding.limit is not None
    differ, allowed = finding.error.measures["differ"], finding.limit.value
    return f"{differ:.2%} of an output's elements are rounded differently (allowed {allowed:.2%})"


@dataclasses.dataclass(frozen=True)
class Narrowed:
    """Outputs as they are compared, all floats in half precision, and the names of those that were wider."""

    outputs: Mapping[str, Array]
    wide: frozenset[str]

    def unlike(self, port: "Narrowed") -> str | None:
        """What to say of outputs that are wider on one side only."""
        problems = [
            f"output `{name}` is float32 in the {'reference' if name in self.wide else 'port'} only"
            for name in self.outputs
            if (name in self.wide) != (name in port.wide)
        ]
        return "; ".join(problems) or None


def narrowed(outputs: Outputs, dtype: str) -> Narrowed:
    """Round what is wider: its last bits are `exact`'s and `float32`'s to judge, not a question of casts."""
    wide = frozenset(name for name, x in outputs.items() if x.dtype.name in ("float32", "float64"))
    with np.errstate(over="ignore"):
        return Narrowed({name: x.astype(dtype) if name in wide else x for name, x in outputs.items()}, wide)


def compare(name: str, reference: Array, port: Array) -> Differing:
    """Count the elements that differ, and find the one that is the most units in the last place apart."""
    if reference.dtype.name not in HALVES:
        unequal = reference != port
        return Differing(reference.size, int(unequal.sum()), int(unequal.sum()), None)
    apart = np.asarray(np.abs(_ordered(reference) - _ordered(port)))
    apart[np.isnan(reference.astype(np.float32))] = 0
    if not apart.any():
        return Differing(reference.size, 0, 0, None)
    index = tuple(int(i) for i in np.unravel_index(int(np.argmax(apart)), apart.shape))
    theirs, ours = float(reference[index]), float(port[index])
    worst = Worst(output=name, index=index, exact=None, reference=theirs, port=ours, ulp=int(apart[index]))
    return Differing(reference.size, int((apart > 0).sum()), int((apart > SPARED).sum()), worst)


def _ordered(x: Array) -> npt.NDArray[np.int32]:
    """Half-precision numbers as integers in the same order, neighbours one apart, both zeros alike."""
    bits = np.ascontiguousarray(x).view(np.int16).reshape(x.shape).astype(np.int32)
    return np.where(bits < 0, -(2**15) - bits, bits)


# The casts of both are the same program's: in a short run, each dtype takes every second configuration.
checks = tuple(
    Check(
        f"rounded:{dtype}",
        f"the same casts in {dtype}?",
        functools.partial(start, dtype),
        turn=turn,
    )
    for turn, dtype in enumerate(HALVES)
)
