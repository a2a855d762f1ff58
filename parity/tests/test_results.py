"""The results model: what is merged, what is marked as resting on a failed part, and the exit status."""

import pytest

from parity.results import Result, Results, Status


def result(case: str, check: str = "exact", status: Status = "passed") -> Result:
    return Result(case=case, check=check, status=status)


def merged(*results: Result, parts: dict[str, list[str]] | None = None) -> Results:
    return Results.of(results, parts=parts or {}, seed=0, environment={})


def test_a_failure_above_a_failed_part_names_the_deepest_one() -> None:
    """The whole rests on the middle, which rests on the leaf: the leaf is told."""
    parts = {"p/whole": ["p/middle"], "p/middle": ["p/leaf"], "p/leaf": []}
    found = merged(*(result(case, status="failed") for case in parts), parts=parts).results
    assert [(r.status, r.blocked_by) for r in found] == [
        ("blocked", "p/leaf"),
        ("blocked", "p/leaf"),
        ("failed", None),
    ]


def test_a_part_that_was_not_selected_explains_nothing() -> None:
    """Without a result for the part, the failure is the layer's own."""
    found = merged(result("p/whole", status="failed"), parts={"p/whole": ["p/leaf"]}).results
    assert found[0].status == "failed"


def test_a_pass_above_a_failed_part_stays_a_pass() -> None:
    """Only failures rest on others."""
    found = merged(result("p/leaf", status="failed"), result("p/whole"), parts={"p/whole": ["p/leaf"]}).results
    assert [r.status for r in found] == ["failed", "passed"]


def test_variants_say_nothing_of_a_layer_that_fails_itself() -> None:
    """Its rejects and accepts rest on the layer's own failure."""
    found = merged(result("p/leaf", status="failed"), result("p/leaf", "accepts:a", "failed")).results
    assert [(r.status, r.blocked_by) for r in found] == [("failed", None), ("blocked", "p/leaf")]


@pytest.mark.parametrize(
    ("statuses", "expected"),
    [(("passed", "skipped"), 0), (("passed", "failed"), 1), (("failed", "error"), 2), ((), 2)],
)
def test_the_exit_status_is_that_of_the_gravest(statuses: tuple[Status, ...], expected: int) -> None:
    """0 passed, 1 a finding, 2 something could not be judged, or nothing was."""
    assert merged(*(result(f"p/{n}", status=status) for n, status in enumerate(statuses))).exit_status == expected


def test_an_interrupted_run_has_the_status_of_an_interrupt() -> None:
    """130, whatever was found before."""
    assert merged(result("p/leaf")).model_copy(update={"interrupted": True}).exit_status == 130
