"""`exact`: is it the same function? Both sides in float64 throughout, where only rounding at 1e-16 is left."""

from parity.case import Example
from parity.checks.finding import Check, Finding, Run, judged
from parity.checks.subject import Subject
from parity.error import exact_error, same_form
from parity.tolerance import Tolerances


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Compare every output of every example, by row, in exact arithmetic."""

    def judge(example: Example) -> Finding:
        reference = subject.reference_outputs(example, "float64")
        port = subject.exact_outputs(example)
        same_form(reference, port)
        return judged(subject, "exact", exact_error(reference, port), tolerances)

    return Run(judge)


check = Check("exact", "the same function?", start)
