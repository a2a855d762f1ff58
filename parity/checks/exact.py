"""`exact`: is it the same function? Both sides in float64 throughout, where only rounding at 1e-16 is left."""

from parity.case import Example
from parity.checks.finding import Check, Finding, Run, judged
from parity.checks.subject import Outputs, Subject
from parity.error import exact_error, same_form
from parity.tolerance import Tolerances


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Compare every output of every example, by row, in exact arithmetic."""

    def judge(example: Example) -> Finding:
        reference = subject.reference_outputs(example, "float64")
        return verdict(subject, reference, subject.exact_outputs(example), tolerances)

    return Run(judge)


def verdict(subject: Subject, reference: Outputs, port: Outputs, tolerances: Tolerances) -> Finding:
    """Judge what a port made of an example, both sides exact; raises OutputMismatch where they can't be compared."""
    same_form(reference, port)
    return judged(subject, "exact", exact_error(reference, port), tolerances)


check = Check("exact", "the same function?", start)
