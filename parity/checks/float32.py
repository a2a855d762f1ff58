"""`float32`: computed as accurately as the reference? On the real XLA path, with exact as arbiter."""

from parity.case import Example
from parity.checks.finding import Check, Finding, Run, judged
from parity.checks.subject import Subject
from parity.error import measure
from parity.tolerance import Tolerances


def start(subject: Subject, tolerances: Tolerances) -> Run:
    """Compare both sides' distances from the truth; the port may be a small factor farther than the reference.

    In the few elements of a small example a reference can be lucky. So before a port is blamed, the reference's own
    program is measured under random rounding, and the port is held against what that program typically loses.
    """

    def judge(example: Example) -> Finding:
        exact = subject.reference_outputs(example, "float64")
        reference = subject.reference_outputs(example, "float32")
        port = subject.working_outputs(example, "float32")
        finding = judged(subject, "float32", measure(reference, port, exact=exact), tolerances)
        if finding.passed:
            return finding
        spread = subject.spread(example, "float32")
        return judged(subject, "float32", measure(reference, port, exact=exact, spread=spread), tolerances)

    return Run(judge)


check = Check("float32", "as accurate as the reference?", start, compiles=True)
