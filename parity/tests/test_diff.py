"""Two runs side by side: what counts as moved, what as noise, and who is said to have moved."""

import pytest

from parity.diff import NOISE, diff
from parity.report import diff as report
from parity.results import Limit, Result, Status
from parity.tests.made_results import HOSTILE, LIMIT, results

ENVIRONMENT = results().environment


def result(check: str = "float32", status: Status = "passed", *, ratio: float = 1.0, **rest: object) -> Result:
    made = Result(case="toy/scale", check=check, status=status, limit=LIMIT, measured={"ratio": ratio})
    return made.model_copy(update=rest)


def test_two_equal_runs_have_moved_nothing() -> None:
    """Status 0, and one line."""
    found = diff(results(result()), results(result()))
    assert found.exit_status == 0
    assert report.render(found) == "nothing newly fails\n"


def test_what_newly_fails_is_told_with_what_rests_on_it() -> None:
    """Status 1; a new check that fails counts, one that failed before does not."""
    old = results(result(), result("exact"), result("gradient", "failed"))
    new = results(
        result(status="failed", message="other values"),
        result("exact", "failed"),
        result("gradient", "failed"),
        result("bfloat16", "failed"),
        result("accepts:other", "failed"),
    )
    found = diff(old, new)
    assert found.exit_status == 1
    assert [turned.check for turned in found.failing] == ["float32", "exact", "bfloat16", "accepts:other"]
    text = report.render(found)
    assert "  toy/scale[float32]: passed -> failed: other values\n" in text
    assert "  toy/scale[accepts:other]: not there -> blocked by toy/scale\n" in text


def test_what_newly_passes_and_what_is_gone_are_told_and_are_no_failure() -> None:
    """Status 0."""
    found = diff(results(result(status="failed"), result("exact")), results(result()))
    assert found.exit_status == 0
    assert report.render(found).split("\n\n") == [
        "nothing newly fails",
        "newly passing:\n  toy/scale[float32]: failed -> passed",
        "no longer checked:\n  toy/scale[exact]\n",
    ]


def test_a_bound_that_moved_is_told_as_looser_or_tighter() -> None:
    """With the line that sets it now."""
    looser = Limit(name="ratio", value=8, where="tolerances.yaml:9 (layers)")
    found = diff(results(result()), results(result(limit=looser)))
    assert "toy/scale[float32] ratio: 4 -> 8, looser (tolerances.yaml:9 (layers))" in report.render(found)


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [(0.5, 0.5 * NOISE, False), (0.5, 0.51 * NOISE, True), (1e-9, 0.03, False), (0.0, 0.05, True)],
    ids=["noise", "more", "small", "from nothing"],
)
def test_an_error_has_grown_where_it_is_more_than_noise(before: float, after: float, told: bool) -> None:
    """More than NOISE times what it was, and more than a hundredth of its limit (4)."""
    found = diff(results(result(ratio=before)), results(result(ratio=after)))
    assert [grown.after for grown in found.grown] == ([after] if told else [])
    assert found.exit_status == 0


def test_nan_has_grown() -> None:
    """Whatever it was."""
    assert diff(results(result()), results(result(ratio=float("nan")))).grown[0].used == float("inf")


@pytest.mark.parametrize(
    ("check", "environment", "told"),
    [
        ("float32", {}, "nothing in the environment moved: the port broke, or its cases did"),
        ("float32", {"jax": "0.11"}, "jax 0.10.2 -> 0.11 moved: consistent with that"),
        ("exact", {"jax": "0.11"}, "in ideal arithmetic, which jax 0.10.2 -> 0.11 has no part in: the port broke"),
        ("exact", {"torch": "2.14"}, "torch 2.13.0 -> 2.14 moved: the reference may be another one"),
        ("exact", {"cpus": 4}, "in ideal arithmetic, which cpus has no part in: the port broke"),
        ("float32", {"threads": {"torch": 2}}, "and threads.torch moved: consistent with that"),
    ],
)
def test_a_dependency_that_moved_is_told_from_a_port_that_broke(
    check: str, environment: dict[str, object], told: str
) -> None:
    """By what differs in the environment, and by whether a backend has a part in the checks that fail."""
    found = diff(
        results(result(check)),
        results(result(check, "failed")).model_copy(update={"environment": {**ENVIRONMENT, **environment}}),
    )
    assert found.verdict.endswith(told)
    assert found.verdict.startswith("1 check newly fails, ")


def test_other_seeds_blame_nobody() -> None:
    """Other examples were drawn."""
    found = diff(results(result()), results(result(status="failed"), seed=1))
    assert found.verdict.endswith("the seed is another one and so are the examples: run one seed on both to tell why")
    assert "seed 0 -> 1" in report.render(found)


def test_a_moved_environment_is_listed_though_nothing_fails() -> None:
    """Packages and the machine alike, one line each."""
    found = diff(results(result()), results(result(), jax="0.11", gpu="none"))
    assert found.verdict == "nothing newly fails; jax 0.10.2 -> 0.11, gpu None -> none moved"
    assert "environment:\n  jax: 0.10.2 -> 0.11\n  gpu: - -> none\n" in report.render(found)


def test_markdown_escapes_what_a_run_says() -> None:
    """Nothing of a message is markup."""
    found = diff(results(result()), results(result(status="failed", message=HOSTILE)))
    text = report.markdown(found)
    assert text.startswith("## ❌ 1 check newly fails")
    assert "<img" not in text.replace("\\<", "")
