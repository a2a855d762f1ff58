"""Why a fault can change nothing that anyone sees: a small table of algebraic reasons, each with what must be shown.

A reason alone proves nothing: the operation, clean and faulty, must agree on hostile inputs too (`measure.adversary`).
"""

# Values are whatever arrays the program holds, so they have no static type.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from collections.abc import Callable, Collection

import numpy as np

from parity.faults.claim import Claim, Rule
from parity.faults.every import Injected
from parity.faults.paths import CARRIERS, free, reach
from parity.faults.slices import CLAMPED, clamped, is_start, unread
from parity.ideal.unfolded import Unfolded

COMPARISONS = ("le", "lt", "ge", "gt", "eq", "ne")
VAST = 1e30  # no score is that large: only what a mask fills with is
SOFTMAX = frozenset((
    "add", "sub", "select_n", "broadcast_in_dim", "reshape", "squeeze", "stop_gradient", "convert_element_type", "max",
    "reduce_max", "exp", "reduce_sum",
))  # fmt: skip
ROWS = frozenset(("gather", "reduce_sum", "reduce_max", "reduce_or"))  # what a row's loss passes through on its way


def claims(program: Unfolded, injected: Injected) -> list[Claim]:
    """Every reason that the table has for a fault; none means that it is a fault."""
    found = (rule(program, injected) for rule in RULES)
    return [claim for claim in found if claim]


def _through(
    stop: Collection[str],
    why: str,
    *,
    operands: Collection[int] | None = None,
    through: Collection[str] = CARRIERS,
    passing: int = 0,
) -> Rule:
    """The change meets only operations of some kinds, as one of some operands, but for the first `passing` of them."""

    def rule(program: Unfolded, injected: Injected) -> Claim | None:
        found = reach(program, injected.index, stop=stop, through=set(through) - set(stop), passing=passing)
        if found is None or (operands is not None and any(number not in operands for _, number in found.ends)):
            return None
        return Claim(why, found.passed, tuple(dict.fromkeys(index for index, _ in found.ends)))

    return rule


def _itself(why: str, applies: Callable[[Unfolded, Injected], bool]) -> Rule:
    """The operation's own results are the same."""

    def rule(program: Unfolded, injected: Injected) -> Claim | None:
        here = injected.index
        return Claim(why, (here,), (here,)) if applies(program, injected) else None

    return rule


def _exact_cast(program: Unfolded, injected: Injected) -> bool:
    equation, line = program.equations[injected.index], program.lines[injected.index]
    if injected.fault.kind != "cast":
        return False
    fixed = free(program).isdisjoint(line.inputs)
    return fixed or (injected.primitive == "convert_element_type" and equation.inputs[0].dtype == np.bool_)


def _one_value(program: Unfolded, injected: Injected) -> bool:
    """Swapped operands that are one slot, or one through operations that change no value."""
    if injected.fault.kind != "operands":
        return False
    same = {line.outputs[0]: line.inputs[0] for line in program.lines if line.name in ("stop_gradient", "copy")}
    inputs = program.lines[injected.index].inputs
    cases = inputs[1:] if injected.primitive == "select_n" else inputs
    return len({same.get(slot, slot) for slot in cases}) == 1


def _plus_zero(program: Unfolded, injected: Injected) -> bool:
    constants, line = program.flat.constants, program.lines[injected.index]
    number = 1  # 0 - x is not x - 0
    fixed = constants.get(line.inputs[number]) if len(line.inputs) > number else None
    plain = injected.primitive in ("add", "sub") and injected.fault.detail in ("add", "sub")
    return plain and fixed is not None and not np.any(fixed)


def _lowest(program: Unfolded, injected: Injected) -> bool:
    constants = program.flat.constants
    values = [constants[slot] for slot in program.lines[injected.index].inputs if slot in constants]
    return injected.primitive == "max" and injected.fault.detail.endswith("next") and any(np.isneginf(values))


def _softmax(program: Unfolded, injected: Injected, *, fill: bool) -> Claim | None:
    """The change passes a maximum, a difference and an exponential, and meets the quotient."""
    found = reach(program, injected.index, stop=("div",), through=SOFTMAX)
    if found is None or not any(program.lines[index].name == "exp" for index in found.passed):
        return None
    constants = program.flat.constants
    fixed = [constants[slot] for slot in program.lines[injected.index].inputs if slot in constants]
    vast = any(np.all(np.abs(value) > VAST) for value in fixed)
    literal = injected.fault.kind == "literal"
    why = (
        "beside anything seen, the exponential of either number is 0, and a row filled with one number is uniform"
        if fill
        else "a softmax is the same when all scores of a row move by one number"
    )
    ends = tuple(dict.fromkeys(index for index, _ in found.ends))
    return Claim(why, found.passed, ends, shifted=True) if not fill or (literal and vast) else None


def _log_softmax(program: Unfolded, injected: Injected, *, passing: int) -> Claim | None:
    """The change passes a difference (or is one), an exponential and a logarithm, and meets the difference of both."""
    found = reach(program, injected.index, stop=("sub",), through=SOFTMAX - {"sub"} | {"log"}, passing=passing)
    names = {program.lines[index].name for index in found.passed} if found else set[str]()
    if found is None or not names >= {"sub", "exp", "log"}:
        return None
    ends = tuple(dict.fromkeys(index for index, _ in found.ends))
    why = "a softmax's logarithm is the same when all scores of a row move by one number"
    return Claim(why, found.passed, ends, shifted=True)


def _folded(program: Unfolded, injected: Injected) -> Claim | None:
    """No input takes part before the change is gone: sizes alone decide, and they were all tried."""
    depends = free(program)
    if not depends.isdisjoint(program.lines[injected.index].outputs):
        return None
    found = reach(program, injected.index, stop=COMPARISONS)
    if found is None or any(not depends.isdisjoint(program.lines[index].outputs) for index, _ in found.ends):
        return None
    ends = tuple(dict.fromkeys(index for index, _ in found.ends))
    return Claim("a comparison of counters that comes out the same for every size", found.passed, ends)


def _unused_padding(program: Unfolded, injected: Injected) -> Claim | None:
    found = reach(program, injected.index, stop=("pad",), through=CARRIERS - {"pad"})
    if found is None or any(number != 1 for _, number in found.ends):
        return None
    widths = [program.equations[index].params["padding_config"] for index, _ in found.ends]
    if any(low > 0 or high > 0 or inner > 0 for config in widths for low, high, inner in config):
        return None
    return Claim("a padding of width 0 has no place for it", found.passed, tuple(index for index, _ in found.ends))


def _counted(program: Unfolded, injected: Injected) -> Claim | None:
    """The change passes a running count, and meets comparisons of that count with itself."""
    found = reach(program, injected.index, stop=("eq",), through=CARRIERS - {"eq"} | {"cumsum"})
    if found is None or not any(program.lines[index].name == "cumsum" for index in found.passed):
        return None
    ends = tuple(dict.fromkeys(index for index, _ in found.ends))
    return Claim("of a running count only differences matter, not where it starts", found.passed, ends)


def _literal_of(*primitives: str) -> Callable[[Unfolded, Injected], bool]:
    return lambda program, injected: injected.fault.kind == "literal" and injected.primitive in primitives


RULES: tuple[Rule, ...] = (
    _itself("numbers of few bits are exact in bfloat16", _exact_cast),
    _itself("both operands are one and the same value", _one_value),
    _itself("x + 0 = x - 0", _plus_zero),
    _itself("no float32 is below float32's lowest: a maximum may start there", _lowest),
    _itself("the bound lies outside what it bounds", _literal_of("max", "min", "clamp")),
    _itself("a comparison that comes out the same", _literal_of(*COMPARISONS)),
    _itself(CLAMPED, is_start),
    clamped,
    _folded,
    _unused_padding,
    _through(("select_n",), "it decides between two values only where they are equal", operands=(0,)),
    _through(("select_n",), "it differs only where the other case is taken", operands=range(1, 99)),
    _through(COMPARISONS, "a comparison that comes out the same"),
    _through(("and",), "it differs only where the other of two truths is false"),
    _through(("max", "min", "clamp"), "the bound lies outside what it bounds"),
    _through(("abs", "square", "ne", "is_finite"), "only its size matters, |-x| = |x|"),
    lambda program, injected: _softmax(program, injected, fill=True),
    lambda program, injected: _softmax(program, injected, fill=False),
    lambda program, injected: _log_softmax(program, injected, passing=0),
    lambda program, injected: _log_softmax(program, injected, passing=1),
    *(
        _through(
            ("select_n",),
            "it differs only where the other case is taken",
            operands=range(1, 99),
            through=CARRIERS | ROWS,
            passing=passing,
        )
        for passing in range(3)
    ),
    _counted,
    unread,
)
