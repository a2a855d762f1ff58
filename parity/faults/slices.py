"""Why faults of movable slices, and of what lies outside of them, change nothing: starts are clamped, slots unread."""

import numpy as np

from parity.faults.claim import Claim
from parity.faults.every import Injected
from parity.faults.paths import SHAPES, downstream, reach
from parity.ideal.unfolded import Unfolded

STARTS = {"dynamic_slice": 1, "dynamic_update_slice": 2}  # the first operand that is a start
CLAMPED = "a start is clamped to where the whole slice fits: from here to one and the same place"
UNREAD = "nothing reads it: whatever it is, it is written over first, or multiplied by an exact 0"
MOVES = SHAPES - {"cumsum"} | {"copy", "dynamic_slice", "dynamic_update_slice"}


def is_start(program: Unfolded, injected: Injected) -> bool:
    """Whether a fault moves the start of a slice, in the slice itself."""
    fault, first = injected.fault, STARTS.get(injected.primitive)
    if first is None or fault.kind not in ("index", "literal"):
        return False
    return fault.kind == "index" or int(fault.detail.split()[1]) >= first


def clamped(program: Unfolded, injected: Injected) -> Claim | None:
    """The change meets only starts of slices."""
    found = reach(program, injected.index, stop=tuple(STARTS))
    if found is None or any(number < STARTS[program.lines[index].name] for index, number in found.ends):
        return None
    return Claim(CLAMPED, found.passed, tuple(dict.fromkeys(index for index, _ in found.ends)))


def unread(program: Unfolded, injected: Injected) -> Claim | None:
    """The change is only moved about until it enters products; then it is followed to the program's outputs."""
    here, outputs = injected.index, set(program.flat.outputs)
    if any(spec.dtype != np.float64 for spec in program.equations[here].outputs):
        return None
    if reach(program, here, stop=("dot_general",), through=MOVES) is None:
        return None
    passed = downstream(program, here)
    ends = tuple(index for index in passed if not outputs.isdisjoint(program.lines[index].outputs))
    return Claim(UNREAD, passed, ends, whatever=True) if ends else None
