"""What a culprit is consistent with: every kind of repair on a tiny layer that has just that fault."""

import pytest

from parity.locating.run import locate_drawn
from parity.tests import sight


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("window_with_its_edge", "`window` taken as "),
        ("sees_no_self", "a position, or the edge of a mask or a window, off by one"),
        ("phase_of_the_next", "`position_ids` off by one"),
        ("approximate", "`act` taken as 'gelu_pytorch_tanh' instead of 'gelu'"),
        ("exact_for_another", "`act` taken as 'relu' instead of 'gelu'"),
        ("in_pairs", "the rows of `key` and `query` not in pairs of each head of "),
    ],
)
def test_consistent(fault: str, said: str) -> None:
    """One sentence, which names what is wrong."""
    (culprit,) = locate_drawn(sight.workspace(), "sight", fault=f"{fault}@").culprits
    (cause,) = culprit.cause
    assert cause.startswith(f"consistent with {said}")


def test_right() -> None:
    """The layer without a fault parts from nothing."""
    assert locate_drawn(sight.workspace(), "sight").culprits == ()
