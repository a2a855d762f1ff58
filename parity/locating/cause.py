"""What a culprit is consistent with: cheap repairs tried in exact arithmetic, and the one that makes it pass."""

import contextlib
import dataclasses
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from parity.case import Case, Json
from parity.error import exact_error, same_form
from parity.locating import repairs
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
    passed: dict[str, str] = {}
    deadline = time.monotonic() + SECONDS
    with one_thread():  # a part on a few tokens: what threads gain, waiting for a busy machine's other core loses
        for kind, said, passes in itertools.chain(_repaired(suspect), _misread(suspect)):
            if kind not in passed and passes():
                passed[kind] = said
            if len(passed) > 1 or time.monotonic() > deadline:
                return ()
    return tuple(f"consistent with {said}" for said in passed.values())


Try = tuple[str, str, Callable[[], bool]]  # a kind, what it says, whether it passes


def _repaired(suspect: Suspect) -> Iterator[Try]:
    """The port with something put right."""
    followed = suspect.followed
    named, index = numbers(suspect.config), suspect.wrong.index if suspect.wrong else None
    every = itertools.chain(
        repairs.of_parameters(followed, named, suspect.inner),
        repairs.of_heads(followed),
        repairs.of_inputs(followed, suspect.inputs),
        repairs.of_literals(followed, index, named),
        repairs.of_factors(followed, index, named),
    )
    for repair in every:

        def passes(repair: repairs.Repair = repair) -> bool:
            with contextlib.suppress(Exception), np.errstate(all="ignore"):  # a repair that fits no shape is none
                return suspect.equal(suspect.theirs, followed.outputs(repair.changes(), after=repair.after))
            return False

        yield repair.kind, repair.said, passes


def _misread(suspect: Suspect) -> Iterator[Try]:
    """The reference with something taken for something else, as the port seems to take it."""
    ours, arrays = suspect.followed.outputs(), suspect.parameters()
    module = _built(suspect, suspect.config, arrays)
    for name in suspect.given:
        rest = {other: value for other, value in suspect.given.items() if other != name}
        yield f"input {name}", f"`{name}` ignored", lambda module=module, rest=rest: _makes(suspect, module, rest, ours)
    for field, said, config in variants(suspect.config):
        module = _built(suspect, config, arrays)
        if module is not None:
            yield f"field {field}", said, lambda module=module: _makes(suspect, module, suspect.given, ours)


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
