"""Greedy tokens: equal ones pass, ties are counted, and a port's own error excuses nothing."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from parity.real.greedy import compare
from parity.results import Result

Array = npt.NDArray[Any]
STEPS = 3


def judged(exact: list[float], *, reference: list[float], port: list[float]) -> Result:
    """Two prompts of three steps; at step 1 of the last the logits are these, and all else is beyond doubt."""
    sure = np.tile(np.asarray([0.0, 0.0, 5.0, 0.0], np.float32), (2, STEPS, 1))
    sides = [sure.astype(np.float64), sure.copy(), sure.copy()]
    for side, logits in zip(sides, (exact, reference, port), strict=True):
        side[1, 1] = logits
    y, r, p = sides
    return compare("tiny/whole", r.argmax(-1), r, exact=y, port=p)


def test_equal_tokens_pass_whatever_the_logits() -> None:
    """Every one of them is counted; how far the logits are off is for other checks to say."""
    result = judged([1.0, 2.0, 0.0, 0.0], reference=[1.0, 2.1, 0.0, 0.0], port=[1.0, 9.0, 0.0, 0.0])
    assert (result.id, result.status, result.examples) == ("tiny/whole[checkpoint:greedy]", "passed", 6)
    assert result.message == "6 tokens of 2 prompts, 0 of them ties that fall the other way"
    assert (result.worst, result.limit, result.used) == (None, None, None)


def test_a_tie_within_both_errors_is_counted_and_passes() -> None:
    """Both sides are off by more than half the margin, so either could have fallen to either token."""
    result = judged([2.0, 2.01, 0.0, 0.0], reference=[2.0, 2.02, 0.0, 0.0], port=[2.02, 2.01, 0.0, 0.0])
    assert result.status == "passed"
    assert result.message == "6 tokens of 2 prompts, 1 of them ties that fall the other way"


def test_a_tie_is_also_one_where_the_reference_chose_against_the_truth() -> None:
    """The port chooses what is best in exact arithmetic, the reference its near twin."""
    result = judged([2.01, 2.0, 0.0, 0.0], reference=[2.0, 2.02, 0.0, 0.0], port=[2.03, 2.0, 0.0, 0.0])
    assert result.status == "passed"


@pytest.mark.parametrize(
    ("port", "error"),
    [([3.0, 2.01, 0.0, 0.0], "2"), ([2.02, 2.01, 0.0, -7.0], "14")],
    ids=["of_its_token", "elsewhere"],
)
def test_a_port_s_own_error_excuses_nothing(port: list[float], error: str) -> None:
    """The reference is sure of its token: the more the port is off, the worse, and not the better."""
    result = judged([2.0, 2.01, 0.0, 0.0], reference=[2.0, 2.011, 0.0, 0.0], port=port)
    assert result.status == "failed"
    assert result.message == (
        "prompt 1, step 1: the port chooses token 0, the reference 1; the exact margin of the two is 0.01, "
        f"twice the largest error 0.002 in the reference and {error} in the port; 1 of 6 tokens differ"
    )


def test_a_failure_names_where_and_what_all_three_had_there() -> None:
    """The logit of the token that the port chose, and that not one token may differ."""
    result = judged([1.0, 2.0, 0.0, 0.0], reference=[1.25, 2.0, 0.0, 0.0], port=[3.0, 2.0, 0.0, 0.0])
    assert result.worst is not None
    assert (result.worst.output, result.worst.index) == ("logits", (1, 1, 0))
    assert (result.worst.exact, result.worst.reference, result.worst.port) == (1.0, 1.25, 3.0)
    assert result.limit is not None
    assert (result.limit.name, result.limit.value, result.limit.where) == ("tokens", 0, "parity/real/greedy.py")


def test_a_tie_of_the_two_best_excuses_no_third_token() -> None:
    """The margin that counts is that of the two tokens in question."""
    result = judged([2.0, 2.001, 0.0, 0.0], reference=[2.0, 2.011, 0.0, 0.0], port=[2.0, 2.001, 0.0, 5.0])
    assert result.status == "failed"
    assert result.message is not None
    assert result.message.startswith("prompt 1, step 1: the port chooses token 3, the reference 1; the exact margin of")


def test_the_first_difference_is_told_and_all_are_counted() -> None:
    """By prompt, then by step."""
    scores = np.zeros((2, STEPS, 4), np.float32)
    scores[..., 1] = 1
    port = scores.copy()
    port[0, 2, 3] = port[1, 0, 2] = 2
    result = compare("tiny/whole", scores.argmax(-1), scores, exact=scores.astype(np.float64), port=port)
    assert result.message is not None
    assert result.message.startswith("prompt 0, step 2: the port chooses token 3, the reference 1; ")
    assert result.message.endswith("; 2 of 6 tokens differ")


def test_logits_that_are_no_numbers_are_no_tie() -> None:
    """NaN in the port is a difference, however close the reference's tokens were."""
    nan = float("nan")
    result = judged([2.0, 2.01, 0.0, 0.0], reference=[2.0, 2.02, 0.0, 0.0], port=[nan, 2.01, 0.0, 0.0])
    assert result.status == "failed"
