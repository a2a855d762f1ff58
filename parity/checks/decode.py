"""`decode`: do prefill and decoding with a cache come to what one pass over everything comes to?

The case itself is the reference decoding with its own cache; this holds the port against the reference that has none,
both in exact arithmetic.
"""

from dataclasses import replace

from parity.case import Example
from parity.checks.finding import Check, Finding, Run, judged
from parity.checks.subject import Subject
from parity.error import exact_error, same_form
from parity.tolerance import Tolerances


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Compare the outputs of every step with those of the same positions, read at once."""
    case, compared = subject.case, 0
    assert case.at_once is not None
    at_once = Subject(subject.registry, replace(case, reference=case.at_once.reference))

    def judge(example: Example) -> Finding:
        nonlocal compared
        assert case.at_once is not None
        if not case.at_once.where(example.config, example.form):
            return Finding(passed=True)
        compared += 1
        whole = at_once.reference_outputs(example, "float64")
        steps = subject.exact_outputs(example)
        same_form(whole, steps)
        return judged(subject, "decode", exact_error(whole, steps), tolerances)

    def finish() -> Finding | None:
        return None if compared else Finding(passed=False, message="no example can be read at once")

    return Run(judge, finish)


check = Check("decode", "prefill and decoding = one pass?", start, of=lambda case: case.at_once is not None)
