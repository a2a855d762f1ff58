"""The renderers: what a reader sees of a run, as text and as JSON."""

import json
import math
from pathlib import Path

import pytest

from parity.errors import BadInput
from parity.report import numbers, terminal
from parity.report.failure import failure
from parity.report.files import check_writable, write_whole
from parity.report.json import from_json, to_json
from parity.results import Limit, Result, Results, Worst

LIMIT = Limit(name="ratio", value=4, where="tolerances.yaml:3 (defaults)")
TOKEN = "A" * 300
FAILED = Result(
    case="toy/scale",
    check="float32",
    status="failed",
    examples=3,
    used=250000.0,
    seconds=1.5,
    worst=Worst(output="output", index=(0, 1), exact=0.1922363, reference=0.19223632, port=1.5409960, ulp=25191875),
    limit=LIMIT,
    measured={"ratio": 1e6, "rtol": 0.2},
    example={
        "config": {"size": 2, "eps": 1e-6},
        "form": {},
        "inputs": {"x": {"kind": "floats", "shape": [1, 1, 2], "seed": 3, "scale": 1e-3, "rows": "zeros"}},
        "weights": {"seed": 0, "regime": "scaled"},
    },
    replay=f"parity replay toy/scale --check float32 --example {TOKEN}",
)
PASSED = Result(
    case="toy/scale", check="exact", status="passed", used=3e-5, limit=LIMIT, measured={"ratio": 1.234}, seconds=0.5
)


def results(*found: Result, parts: dict[str, list[str]] | None = None) -> Results:
    return Results.of(found, parts=parts or {}, seed=7, environment={"cpus": 2}, not_checked=["toy/odd: not selected"])


def test_a_failure_tells_layer_values_limit_example_and_replay() -> None:
    """The lines of the style guide's worked example, in order; the command is in one piece."""
    assert failure(FAILED) == [
        "toy/scale [float32]: port is 1e+06 times as far from the truth as the reference",
        "    (allowed 4).",
        "  worst at (0, 1): exact 0.1922363, reference 0.19223632, port 1.540996",
        "      (25191875 ulp)",
        "  limit: ratio 4, tolerances.yaml:3 (defaults)",
        "  smallest example: size=2, eps=1e-06, x(1, 1, 2) of magnitude 0.001, rows:",
        "      zeros, weights scaled",
        f"  replay: parity replay toy/scale --check float32 --example {TOKEN}",
    ]


def test_a_message_of_many_problems_keeps_its_lines() -> None:
    """A weight map's problems stand one below the other."""
    message = "the weight map is not one-to-one:\n  `a` has no rule\n  `b` is never written"
    lines = failure(Result(case="toy/scale", check="transfer", status="failed", message=message))
    assert lines == [
        "toy/scale [transfer]: the weight map is not one-to-one:",
        "  `a` has no rule",
        "  `b` is never written",
    ]


def test_the_table_says_in_words_what_its_colours_say() -> None:
    """Every status has a word, and a passed check the share of its limit."""
    text = terminal.render(results(PASSED, FAILED))
    assert text.splitlines()[:2] == ["case       exact     float32", "toy/scale  ok 3e-05  FAIL 2e+05"]
    assert "\x1b" not in text
    assert "\x1b" in terminal.render(results(PASSED, FAILED), color=True)


def test_no_line_but_the_command_is_wider_than_the_terminal() -> None:
    """At 80 columns everything else fits."""
    wide = [line for line in terminal.render(results(PASSED, FAILED)).splitlines() if len(line) > 80]
    assert wide == [f"  replay: {FAILED.replay}"]


def test_faults_are_counted_and_what_rests_on_a_failure_is_told_in_a_line() -> None:
    """`rejects` 1 of 2; the checks above a failed part are told together."""
    leaf = Result(case="p/leaf", check="exact", status="failed", message="other values")
    above = [Result(case="p/whole", check=check, status="failed") for check in ("exact", "rejects:a", "rejects:b")]
    fine = Result(case="p/whole", check="rejects:c", status="passed")
    text = terminal.render(results(leaf, *above, fine, parts={"p/whole": ["p/leaf"]}))
    assert "p/whole [exact, rejects]: blocked by p/leaf\n" in text
    assert "1/3 blocked" in text


def test_long_names_leave_room_for_the_bounds() -> None:
    """The longest names of a case and of a check, and numbers of every length, in 80 columns."""
    long = PASSED.model_copy(
        update={"case": "llama/sequence_classification", "check": "rounded:bfloat16", "measured": {"ratio": 1.23e-15}}
    )
    assert max(map(len, terminal.render(results(long)).splitlines())) <= 80


def test_the_tolerance_table_shows_the_smallest_limit_that_would_pass() -> None:
    """Two digits, rounded up."""
    rows = [line.split() for line in terminal.render(results(PASSED)).splitlines()]
    assert rows[rows.index(["exact", "ratio", "4", "1.23", "1.3", "0.31"]) - 1] == ["toy/scale"]


def test_the_report_ends_with_the_verdict_and_what_was_not_checked() -> None:
    """The last lines are the summary and the list."""
    lines = terminal.render(results(PASSED, FAILED)).splitlines()
    assert lines[-3:] == ["1 passed, 1 failed in 2.0 s: FAILED", "not checked:", "  toy/odd: not selected"]


def test_json_has_the_schema_s_keys_and_comes_back_as_it_was() -> None:
    """`schema` is 1; inf survives as a word."""
    odd = PASSED.model_copy(update={"used": math.inf})
    before = results(FAILED, odd)
    node = json.loads(to_json(before))
    assert node["schema"] == 1
    assert node["summary"] == {"passed": 1, "failed": 1, "blocked": 0, "skipped": 0, "error": 0, "todo": 0}
    assert node["results"][1]["used"] == "Infinity"
    assert from_json(to_json(before)) == before


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    """A write that fails leaves the old text, and no draft."""
    path = tmp_path / "results.json"
    write_whole(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_whole(path, "new \ud800")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("results.json", "old")]


def test_a_file_that_could_not_be_written_is_refused_before_the_run(tmp_path: Path) -> None:
    """Its folder is missing, or it is a folder itself."""
    with pytest.raises(BadInput, match="there is no folder"):
        check_writable(tmp_path / "missing" / "results.json")
    with pytest.raises(BadInput, match="is a folder, not a file"):
        check_writable(tmp_path)


@pytest.mark.parametrize(
    ("used", "text"),
    [(None, ""), (0.0, "0.00"), (0.306, "0.31"), (4.3e-5, "4e-05"), (41.0, "41"), (9.4e5, "9e+05"), (math.inf, "inf")],
)
def test_a_share_has_as_few_digits_as_say_enough(used: float | None, text: str) -> None:
    """Two decimals, or one digit and a power of ten."""
    assert numbers.share(used) == text


@pytest.mark.parametrize("measured", [3.1e-15, 1.0, 0.999, 9.99, 1.21, 123.4, 2e-7])
def test_a_passing_limit_is_never_below_what_was_measured(measured: float) -> None:
    """And at most a tenth above."""
    assert measured <= numbers.passing(measured) <= measured * 1.1


def test_values_that_differ_look_different() -> None:
    """Digits are added until they do."""
    assert numbers.apart(0.1, 0.1 + 1e-12) == ["0.1", "0.100000000001"]
