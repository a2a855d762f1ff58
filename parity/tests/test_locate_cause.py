"""What a culprit is consistent with: every kind of repair on a tiny layer that has just that fault."""

import pytest

from parity.errors import ParityError
from parity.locating.run import locate_drawn
from parity.reference.build import of
from parity.reference.capture import capture
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


def test_a_plain_function_is_refused() -> None:
    """A failed case of one has no cause to look for, and says so, instead of ending the run."""
    function = of(lambda x: 2 * x, dtype="float32")
    with pytest.raises(ParityError, match="the reference is a plain function: it has no submodules to watch"):
        capture(function, {}, {}, lambda path, inputs, outputs: None)
