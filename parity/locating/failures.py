"""What failures of a run's `exact` checks are consistent with: the search for a cause, in each failed case alone."""

from collections.abc import Mapping

from parity.locating.run import locate_drawn
from parity.results import Results
from parity.session import Workspace

MOST = 3  # failures that are explained: a port with more has other troubles first
EXAMPLES = 3  # drawn, until one shows the failure


def causes(workspace: Workspace, results: Results) -> Mapping[str, tuple[str, ...]]:
    """By the id of a failed result, what it is consistent with, where that is anything.

    The examples are the run's diverse ones and not the smallest that fails: on one head of width 1 too much passes.
    """
    asked = [result for result in results.results if result.check == "exact" and result.status == "failed"]
    found: dict[str, tuple[str, ...]] = {}
    for result in [] if results.interrupted else asked[:MOST]:
        try:
            located = locate_drawn(workspace, result.case, seed=results.seed, count=EXAMPLES)
        except Exception:  # a case that can't be walked alone, as one that decodes; its failure is told already
            continue
        own = [culprit for culprit in located.culprits if not culprit.path]
        if said := tuple(dict.fromkeys(cause for culprit in own for cause in culprit.cause)):
            found[result.id] = said
    return found
