"""The pytest plugin, by running pytest: ids, selection, order, failures as blocks, reports, workers."""

import fnmatch
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import parity.run  # loads torch and jax before `pytester` notes what is loaded: they can't be loaded twice
from parity import canary
from parity.checks import exact
from parity.checks.finding import Finding
from parity.faults import Injected
from parity.tests import toy

pytest_plugins = ["pytester"]
REPOSITORY = Path(__file__).parents[2]
SCALE = [f"toy/scale[{c}]" for c in (*toy.CHECKS, "rejects:adds", "accepts:swaps")]
PAIR = [f"toy/pair[{c}]" for c in toy.CHECKS]
assert parity.run


@pytest.fixture
def root(pytester: pytest.Pytester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("PARITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("PYTEST_ADDOPTS", raising=False)
    with toy.imports():
        yield toy.write(pytester.path)


@pytest.fixture
def wrong(root: Path) -> Path:
    port = root / "cases" / "toy" / "port.py"
    port.write_text(toy.PORT.replace(*toy.WRONG))
    return root


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    return pytester.runpytest_inprocess("-p", "parity.plugin", "-p", "no:randomly", "--parity-examples=2", *arguments)


def items(result: pytest.RunResult) -> list[str]:
    return [line.partition("::")[2] for line in result.outlines if line.startswith("cases/") and "::" in line]


def test_ids_name_file_layer_and_check_bottom_up(pytester: pytest.Pytester, root: Path) -> None:
    """The pair's file comes first by name, its checks last."""
    result = run(pytester, "--collect-only", "-q")
    assert items(result) == [*SCALE, *PAIR]
    assert "cases/toy/case_scale.py::toy/scale[float32]" in result.outlines


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-k", "scale"), SCALE),
        (("-k", "pair and exact"), ["toy/pair[exact]"]),
        (("cases/toy/case_pair.py",), PAIR),
        (("cases/toy/case_scale.py::toy/scale[exact]",), ["toy/scale[exact]"]),
        (("cases/toy/case_scale.py::toy/scale",), SCALE),
    ],
    ids=["layer", "both", "file", "one", "all"],
)
def test_items_are_selected_as_any_test_is(
    pytester: pytest.Pytester, root: Path, arguments: tuple[str, ...], expected: list[str]
) -> None:
    """By -k, by file, by id."""
    assert items(run(pytester, "--collect-only", "-q", *arguments)) == expected


def test_a_selection_of_nothing_keeps_pytest_s_status(pytester: pytest.Pytester, root: Path) -> None:
    """5: no tests collected."""
    assert run(pytester, "-k", "nothing").ret == pytest.ExitCode.NO_TESTS_COLLECTED


def test_a_right_port_passes_and_its_tolerances_are_shown(pytester: pytest.Pytester, root: Path) -> None:
    """The table by layer and the tolerances stand at the end; a skipped check is a skipped test."""
    result = run(pytester, "-rs")
    result.assert_outcomes(passed=2 * len(toy.CHECKS) + 1, skipped=1)
    result.stdout.fnmatch_lines(["*= parity =*", "case *transfer*", "tolerance *would pass*", "not checked:"])
    result.stdout.fnmatch_lines(["SKIPPED [[]1[]] cases/toy/case_pair.py:1: one check is enough here"])


def test_a_failure_reads_as_on_the_terminal_without_a_traceback(pytester: pytest.Pytester, wrong: Path) -> None:
    """And what rests on it is marked when results are merged."""
    result = run(pytester, "-k", "exact", "--parity-report", "reports/here")
    result.assert_outcomes(failed=2)
    text = result.stdout.str()
    assert "toy/scale [exact]: port differs from the reference by " in text
    assert "\n  replay: parity replay toy/scale --check exact --example " in text
    assert "Traceback" not in text
    assert ".py:" not in text.partition("= FAILURES =")[2].partition("= parity =")[0]
    result.stdout.fnmatch_lines(["toy/pair [[]exact[]]: blocked by toy/scale"])
    node = json.loads((wrong / "reports" / "here" / "results.json").read_text())
    assert [(r["case"], r["status"], r["blocked_by"]) for r in node["results"]] == [
        ("toy/scale", "failed", None),
        ("toy/pair", "blocked", "toy/scale"),
    ]


def test_a_report_folder_holds_three_files_of_one_run(pytester: pytest.Pytester, root: Path) -> None:
    """JSON, HTML and Markdown: the same verdict and the same map of the port in each."""
    run(pytester, "-k", "scale and exact", "--parity-report", "reports").assert_outcomes(passed=1)
    folder = root / "reports"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "report.md", "results.json"]
    node = json.loads((folder / "results.json").read_text())
    assert [component["case"] for component in node["components"]] == ["toy/scale", "toy/pair"]
    assert len(node["results"][0]["spread"]) == 7
    assert "</span> toy: all passed</h1>" in (folder / "report.html").read_text()
    assert (folder / "report.md").read_text().startswith("## ✅ toy: all passed\n")


def test_x_stops_at_the_first_failure(pytester: pytest.Pytester, wrong: Path) -> None:
    """The leaf's; nothing above it runs."""
    run(pytester, "-k", "exact", "-x").assert_outcomes(failed=1)


def test_a_broken_case_file_is_one_failure_with_its_line(pytester: pytest.Pytester, root: Path) -> None:
    """The others are collected and run, and broken files come first."""
    (root / "cases" / "toy" / "case_raises.py").write_text("import parity\n\nparity.nothing\n")
    result = run(pytester, "-k", "exact or raises")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*case_raises.py:3: AttributeError:*"])


def test_broken_tolerances_are_told_once_with_their_line(pytester: pytest.Pytester, root: Path) -> None:
    """As one collection error, not one a file."""
    (root / "tolerances.yaml").write_text("defaults: {exat: {}}\n")
    result = run(pytester)
    assert result.ret == pytest.ExitCode.INTERRUPTED
    result.assert_outcomes(errors=1)
    assert "parity: error: tolerances.yaml:1: unknown check 'exat'" in result.stdout.str()


def test_a_user_s_own_tests_keep_their_places(pytester: pytest.Pytester, root: Path) -> None:
    """Only cases are put in order."""
    (root / "test_own.py").write_text("def test_one(): pass\ndef test_two(): pass\n")
    lines = run(pytester, "--collect-only", "-q", "-k", "exact or own", "test_own.py", "cases").outlines
    assert [line for line in lines if "::" in line] == [
        "test_own.py::test_one",
        "test_own.py::test_two",
        "cases/toy/case_scale.py::toy/scale[exact]",
        "cases/toy/case_pair.py::toy/pair[exact]",
    ]


def test_a_report_folder_that_cannot_be_made_is_wrong_use(pytester: pytest.Pytester, root: Path) -> None:
    """One line, before anything runs."""
    (root / "file").touch()
    result = run(pytester, "--parity-report", "file/reports")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: --parity-report *file/reports: *"])


def test_an_unrelated_run_loads_neither_torch_nor_jax(tmp_path: Path) -> None:
    """In a process of its own."""
    (tmp_path / "test_unrelated.py").write_text(
        "import sys\ndef test_it():\n    assert not {'torch', 'jax', 'transformers', 'pydantic'} & set(sys.modules)\n"
    )
    assert _process(tmp_path, "-p", "no:hypothesispytest").returncode == 0


def test_workers_give_the_results_of_one_process(pytester: pytest.Pytester, wrong: Path) -> None:
    """Under -n 2: the same results in the same order, marked as they are when merged; a case stays on one worker."""
    pytest.importorskip("xdist")
    run(pytester, "-k", "exact or swaps", "--parity-report", "one")
    done = _process(wrong, "-n", "2", "-v", "-k", "exact or swaps", "--parity-examples=2", "--parity-report", "two")
    one, two = (_results(wrong / name / "results.json") for name in ("one", "two"))
    assert one["results"] == two["results"]
    assert one["not_checked"] == two["not_checked"]
    assert one["environment"] == two["environment"]
    assert one["components"] == two["components"] != []
    assert "blocked" in {result["status"] for result in two["results"]}
    workers = {
        (line.split("]")[0], line.partition("::")[2].partition("[")[0])
        for line in done.stdout.splitlines()
        if line.startswith("[gw") and "::" in line
    }
    assert len(workers) == 2


def test_the_report_says_which_fault_the_run_rejected(pytester: pytest.Pytester, root: Path) -> None:
    """As `parity check` does."""
    run(pytester, "-k", "scale and exact", "--parity-report", "here").assert_outcomes(passed=1)
    said = _results(root / "here" / "results.json")["canary"]
    assert fnmatch.fnmatchcase(said, "toy/scale, * at cases/toy/port.py:*: rejected")


@pytest.mark.parametrize(
    ("where", "name", "instead", "told"),
    [
        (exact, "verdict", lambda *args: Finding(passed=True), "the exact check lets it pass"),
        (Injected, "changes", lambda self, evaluation: None, "no fault in it moves any output"),
    ],
    ids=["passes", "off"],
)
def test_a_run_that_does_not_reject_its_own_fault_fails(
    pytester: pytest.Pytester,
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: Any,
    name: str,
    instead: Any,
    told: str,
) -> None:
    """Whether the judge lets the canary pass, or it is switched off; once, at the first check that runs."""
    monkeypatch.setattr(where, name, instead)
    result = run(pytester, "-k", "exact or float32", "--parity-report", "here")
    result.assert_outcomes(passed=3, failed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    message = f"the run's own fault was not rejected, so its verdicts mean nothing: *{told}"
    assert "\ntoy/scale [canary]: the run's own fault was not rejected" in result.stdout.str()
    (dead,) = (r for r in _results(root / "here" / "results.json")["results"] if r["check"] == "canary")
    assert (dead["case"], dead["status"]) == ("toy/scale", "failed")
    assert fnmatch.fnmatchcase(dead["message"], message)


def test_a_run_that_had_no_fault_of_its_own_says_so(
    pytester: pytest.Pytester, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Among what was not checked."""
    monkeypatch.setattr(canary, "sing", lambda *args: None)
    run(pytester, "-k", "scale and exact", "--parity-report", "here").assert_outcomes(passed=1)
    assert canary.SILENT in _results(root / "here" / "results.json")["not_checked"]


def _process(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-p", "parity.plugin", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def _results(path: Path) -> Any:
    node = json.loads(path.read_text())
    return {**node, "results": [{**result, "seconds": 0} for result in node["results"]]}
