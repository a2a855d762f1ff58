"""Whether a fault that nothing showed is none: a reason that holds in many traces, on hostile inputs; or, of one that
is, whether its case says why nothing shows it."""

import fnmatch
from collections import OrderedDict
from collections.abc import Callable, Sequence

from parity.case import Case, Example
from parity.checks.subject import Subject
from parity.faults import Injected, claims
from parity.ideal.unfolded import Evaluation
from parity.measure import adversary

TRACES = 8  # traces in which a reason must hold, if there are that many
KEPT = 16  # evaluations kept for the next fault, each with the hostile ones made of it

Seen = Sequence[tuple[Example, Injected]]


def prover(subject: Subject, *, seed: int) -> Callable[[Seen], str | None]:
    """A function of the examples that did not show a fault: the first reason that holds in every trace looked at.

    It is None where there is no such reason. Evaluations are kept from one fault to the next.
    """
    kept: OrderedDict[str, adversary.Trials] = OrderedDict()

    def trials(example: Example) -> adversary.Trials:
        if example.token not in kept:
            kept[example.token] = adversary.Trials(_evaluated(subject, example), seed=seed)
            if len(kept) > KEPT:
                kept.popitem(last=False)
        kept.move_to_end(example.token)
        return kept[example.token]

    def reason(seen: Seen) -> str | None:
        traces: dict[str, tuple[Example, Injected]] = {}
        for example, injected in seen:
            traces.setdefault(example.shape_key, (example, injected))
        left: list[str] | None = None
        for example, injected in spaced(list(traces.values())):
            tried = trials(example)
            holding = [
                claim.why
                for claim in claims(tried.observed.program, injected)
                if (left is None or claim.why in left) and tried.uphold(claim, injected)
            ]
            if not holding:
                return None
            left = holding
        return left[0] if left else None

    return reason


def explanation(case: Case, injected: Injected) -> str | None:
    """Why no example can show a fault, as its case says; None where it says nothing of it."""
    return next((why for pattern, why in case.survivors.items() if means(pattern, injected)), None)


def means(pattern: str, injected: Injected) -> bool:
    """Whether a case's explanation means a fault; lines move, so they take no part."""
    file = injected.where.rpartition(":")[0].rpartition("/")[2]
    return fnmatch.fnmatchcase(f"{file}: {injected.primitive}: {injected.fault.description}", pattern)


def spaced(traces: Seen) -> list[tuple[Example, Injected]]:
    """`TRACES` of them, from the first to the last."""
    step = max(1.0, len(traces) / TRACES)
    return [traces[int(number * step)] for number in range(min(TRACES, len(traces)))]


def _evaluated(subject: Subject, example: Example) -> Evaluation:
    return subject.follow(example).evaluation
