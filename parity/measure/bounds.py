"""The rule that turns what clean runs measured into a bound; pure."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Literal

from parity.results import Limit, Model
from parity.tolerance import passing

JUDGES_NOTHING = 0.1  # tolerances.yaml refuses a relative bound from here on
ROUNDOFF = {"float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
Verdict = Literal["new", "tighter", "same", "kept", "looser", "refused", "none"]


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a measure's bound follows from its worst value.

    Attributes:
        slack: the bound is the worst value times this, rounded up to two digits.
        keep: a bound that stands is left where it is while the worst value times this is within it.
    """

    slack: float
    keep: float


# Both are free of an example's own condition, by the check's second look; an rtol still grows with sizes that other
# seeds draw.
RULES: Mapping[str, Rule] = {"ratio": Rule(slack=2.0, keep=1.0), "rtol": Rule(slack=8.0, keep=2.0)}
# In float64 there is no second look, and an example's condition shows: scores in the thousands lose three digits. There
# is room for it, since noise at 1e-14 and the faintest real bug at 1e-5 lie nine orders of magnitude apart.
EXACT = Rule(slack=1000.0, keep=10.0)
EXACT_DEFAULT = 1e-8  # an rtol with a default below this is one of exact arithmetic
LEAST_RATIO = 2.0  # no port is blamed for an error twice the reference's: another machine may round either otherwise


class Proposal(Model):
    """A measure of one check of one case: the bound that stands, the one proposed, and what was measured.

    `verdict`: 'new' and 'tighter' need no leave; 'same' is what stands already; 'kept' is within the rule of what
    stands; 'looser' was allowed; 'refused' is not written, for the `reason`; 'none': no bound would judge anything.
    """

    case: str
    check: str
    measure: str
    old: float | None
    new: float | None
    worst: float
    verdict: Verdict
    reason: str = ""

    def refused(self, reason: str) -> "Proposal":
        return self.model_copy(update={"new": self.old, "verdict": "refused", "reason": reason})


def least(check: str, measure: str, default: float | None) -> float:
    """No bound below this is proposed, however small the measured value is.

    For an rtol: a thousandth of its default (another BLAS adds in another order), or 8 roundings of the dtype that the
    check is named after where it has no default.
    """
    floor = LEAST_RATIO if measure == "ratio" else (default or 0.0) / 1000 or 8 * ROUNDOFF.get(check, 2.0**-24)
    return min(floor, default) if default else floor


def propose(
    case: str,
    check: str,
    measure: str,
    *,
    worst: float,
    old: Limit | None,
    default: Limit | None,
    loosen: bool = False,
) -> Proposal:
    """A bound from the worst value of clean runs.

    Args:
        case: whose.
        check: the check that measured it.
        measure: its name; one without a rule keeps the bound that it has.
        worst: the largest value of all clean examples.
        old: the bound that stands: the layer's, or the default.
        default: the default for every layer, if there is one.
        loosen: whether a bound may be looser than `old`.
    """
    stands = old.value if old else None

    def proposal(verdict: Verdict, new: float | None, reason: str = "") -> Proposal:
        return Proposal(
            case=case, check=check, measure=measure, old=stands, new=new, worst=worst, verdict=verdict, reason=reason
        )

    if not math.isfinite(worst):
        return proposal("refused", stands, f"a clean run measured {worst:g}")
    exact = measure == "rtol" and default is not None and default.value < EXACT_DEFAULT
    rule = EXACT if exact else RULES.get(measure)
    if rule is None:
        return proposal("kept" if stands else "none", stands, "no rule says how its bound follows from the worst")
    target = passing(max(rule.slack * worst, least(check, measure, default.value if default else None)))
    if measure == "rtol" and target >= JUDGES_NOTHING and stands is None:
        return proposal("none", None, f"{target:g}: {JUDGES_NOTHING:g} or more judges nothing")
    if stands is None or target < stands:
        return proposal("new" if stands is None else "tighter", target)
    if target == stands:
        return proposal("same", stands)
    if rule.keep * worst <= stands:
        return proposal("kept", stands)
    if loosen and not (measure == "rtol" and target >= JUDGES_NOTHING):
        return proposal("looser", target)
    return proposal("refused", stands, f"{target:g} is looser than {stands:g}: --loosen --why TEXT allows it")
