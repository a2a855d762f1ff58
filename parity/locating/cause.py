"""What a culprit is consistent with: cheap repairs tried in exact arithmetic, and the one that makes it pass."""

import contextlib
import dataclasses
import functools
import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from parity.case import Case, Json
from parity.error import exact_error, same_form
from parity.locating import repairs, repairs_numbers
from parity.locating.numbers import numbers, variants
from parity.locating.operation import Wrong
from parity.port import Followed
from parity.reference import Reference, build, one_thread
from parity.tolerance import Tolerances

Array = npt.NDArray[Any]
Outputs = Mapping[str, Array]
SECONDS = 15.0  # for the repairs of one culprit; where they are not done by then, nothing is said


@dataclasses.dataclass(frozen=True)
class Suspect:
    """A culprit on the reference's inputs, in exact arithmetic.

    Attributes:
        case: whose part it is.
        config: of the whole.
        given: the reference's inputs, by its own names.
        theirs: what the reference makes of them.
        followed: the port's program at work on them.
        inputs: the slots of the port's input arrays -> their names.
        parameters: the reference's parameters at this place, by its own names, in float64.
        wrong: the operation at fault, if it was found.
        inner: the port's paths of its parts, which pass.
        tolerances: with the bound that judges.
    """

    case: Case
    config: Json
    given: Mapping[str, Any]
    theirs: Outputs
    followed: Followed
    inputs: Mapping[int, str]
    parameters: Callable[[], Mapping[str, Array]]
    wrong: Wrong | None
    inner: tuple[str, ...]
    tolerances: Tolerances

    @property
    def index(self) -> int | None:
        """The line of the program that is at fault, if it was found."""
        return self.wrong.index if self.wrong else None

    def equal(self, theirs: Outputs, ours: Outputs) -> bool:
        """Whether two sets of outputs are equal within the bound of exact arithmetic."""
        try:
            same_form(theirs, ours)
            return self.tolerances.judge(self.case.name, "exact", exact_error(theirs, ours)).passed
        except Exception:  # of other names or shapes, or NaN elsewhere: no repair
            return False


def suggest(suspect: Suspect) -> tuple[str, ...]:
    """One sentence, 'consistent with ...', or none: where no repair passes, or two that are different do.

    Repairs of one kind, such as the same field of the configuration found in two ways, count as one.
    """
    deadline = time.monotonic() + SECONDS
    with one_thread():  # a part on a few tokens: what threads gain, waiting for a busy machine's other core loses
        for tries in (itertools.chain(_repaired(suspect), _misread(suspect)), _roundabout(suspect)):
            passed: dict[str, str] = {}
            for each in tries:
                if each.kind not in passed and each.passes():
                    passed[each.kind] = each.said
                if len(passed) > 1 or time.monotonic() > deadline:
                    return ()
            if passed:
                return tuple(f"consistent with {said}" for said in passed.values())
    return ()


class Try(NamedTuple):
    """A repair that waits to be tried."""

    kind: str
    said: str
    passes: Callable[[], bool]


def _repaired(suspect: Suspect) -> Iterator[Try]:
    """The port with something put right."""
    followed, named = suspect.followed, numbers(suspect.config)
    yield from _tries(suspect, repairs.of_parameters(followed, named, suspect.inner, suspect.inputs))
    yield from _tries(suspect, repairs.of_heads(followed))
    yield from _tries(suspect, repairs.of_inputs(followed, suspect.inputs))
    yield from _tries(suspect, repairs_numbers.of_literals(followed, suspect.index, named))


def _roundabout(suspect: Suspect) -> Iterator[Try]:
    """What many repairs amount to in the end: they count only where no other one passes."""
    followed, named = suspect.followed, numbers(suspect.config)
    yield from _tries(suspect, repairs_numbers.of_factors(followed, suspect.index, named))
    yield from _tries(suspect, repairs_numbers.of_integers(followed, suspect.index))


def _tries(suspect: Suspect, every: Iterable[repairs.Repair]) -> Iterator[Try]:
    for repair in every:

        def passes(repair: repairs.Repair = repair) -> bool:
            with contextlib.suppress(Exception), np.errstate(all="ignore"):  # a repair that fits no shape is none
                outputs = suspect.followed.outputs(repair.changes(), after=repair.after)
                return suspect.equal(suspect.theirs, outputs)
            return False

        yield Try(repair.kind, repair.said, passes)


def _misread(suspect: Suspect) -> Iterator[Try]:
    """The reference with something taken for something else, as the port seems to take it."""
    ours, arrays = suspect.followed.outputs(), suspect.parameters()
    module = _built(suspect, suspect.config, arrays)
    for name in suspect.given:
        rest = {other: value for other, value in suspect.given.items() if other != name}
        makes = functools.partial(_makes, suspect, module, rest, ours)
        yield Try(f"input {name}", f"`{name}` ignored", makes)
    for field, said, config in variants(suspect.config):
        module = _built(suspect, config, arrays)
        if module is not None:
            makes = functools.partial(_makes, suspect, module, suspect.given, ours)
            yield Try(f"field {field}", said, makes)


def _built(suspect: Suspect, config: Json, arrays: Mapping[str, Array]) -> Reference | None:
    """The reference's part for another configuration with the same parameters; None where they don't fit."""
    with contextlib.suppress(Exception):  # a configuration that the reference refuses explains nothing
        module = build(suspect.case, config, dtype="float64")
        if {name: leaf.shape for name, leaf in module.leaves.items()} == {n: x.shape for n, x in arrays.items()}:
            module.fill(arrays)
            return module
    return None


def _makes(suspect: Suspect, module: Reference | None, given: Mapping[str, Any], ours: Outputs) -> bool:
    """Whether the reference so changed computes what the port does."""
    with contextlib.suppress(Exception):
        return module is not None and suspect.equal(module.run(given), ours)
    return False
