"""The command line: what it prints, its exit status, and that nobody's mistake ends in a traceback."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parity import run as checks
from parity.cli import main
from parity.run import check_ids
from parity.tests import gain, toy

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Run the command line in the folder `root`; its exit status, stdout and stderr."""
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path / "root")
    monkeypatch.setenv("PARITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def called(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    with toy.imports():
        yield called


@pytest.fixture
def root() -> Path:
    return Path.cwd()


def test_cases_are_listed_bottom_up(call: Call, root: Path) -> None:
    """Counts of checks, faults and equivalents, parts and file."""
    toy.write(root)
    status, out, _ = call("list")
    rows = [line.split() for line in out.splitlines()]
    own = len(check_ids(gain.case()))
    assert status == 0
    assert rows[0] == ["case", "checks", "faults", "equivalents", "parts", "file"]
    assert rows[1] == ["toy/scale", str(own + 2), "1", "1", "-", "case_scale.py"]
    assert rows[2] == ["toy/pair", str(own), "0", "0", "scale", "case_pair.py"]


def test_a_right_port_passes_everything(call: Call, root: Path) -> None:
    """Status 0, a line a case, the verdict; nothing on stderr."""
    toy.write(root)
    status, out, err = call("check", "toy", "--examples", "3")
    lines = out.splitlines()
    assert (status, err) == (0, "")
    columns = [name for line in lines if line.startswith("case ") for name in line.split()[1:]]
    assert columns == [
        *dict.fromkeys(check.replace("rounded:", "rounded ").split()[0] for check in toy.CHECKS),
        "rejects",
        "accepts",
    ]
    assert [line.split()[0] for line in lines[1:3]] == ["toy/scale", "toy/pair"]
    assert any(
        line.startswith(f"{2 * len(toy.CHECKS) + 1} passed, 1 skipped in ") and line.endswith(": all passed")
        for line in lines
    )


def test_json_alone_stands_on_stdout(call: Call, root: Path) -> None:
    """The table goes to stderr; one seed means one set of verdicts."""
    toy.write(root)

    def found() -> Any:
        status, out, err = call("check", "scale", "--examples", "3", "--json", "-")
        assert status == 0
        assert err.startswith("case ")
        node = json.loads(out)
        assert node["schema"] == 1
        return [{**result, "seconds": 0} for result in node["results"]]

    assert found() == found()


def test_a_failure_s_replay_command_reproduces_it(call: Call, root: Path) -> None:
    """Copied from the report as it is, it fails at the same layer with the same values."""
    toy.write(root, wrong=True)
    status, out, _ = call("check", "toy", "--check", "exact", "--examples", "3", "--json", "found.json")
    command = next(line for line in out.splitlines() if line.startswith("  replay: "))
    assert status == 1
    assert "\ntoy/pair [exact]: blocked by toy/scale\n" in out
    worst = json.loads((root / "found.json").read_text())["results"][0]["worst"]
    status, out, _ = call(*command.removeprefix("  replay: parity ").split())
    assert status == 1
    assert "  config: size=2\n" in out
    assert "\nFAIL toy/scale [exact]: port differs from the reference by " in out
    assert f"worst at {tuple(worst['index'])}: reference " in out


def test_a_replay_of_a_right_port_is_told_as_right(call: Call, root: Path) -> None:
    """For another check, and by a part of the case's name."""
    toy.write(root)
    example = _an_example(root)
    status, out, err = call("replay", "scale", "--example", example, "--check", "float32")
    assert (status, err) == (0, "")
    assert "\nok: " in out
    assert call("replay", "scale", "--example", example, "--check", "rejects:adds")[0] == 1


def test_a_run_s_reports_are_written_and_can_be_made_again(call: Call, root: Path) -> None:
    """By `check`, and from the JSON alone by `report`: the same files."""
    toy.write(root, wrong=True)
    files = ("--json", "run.json", "--html", "run.html", "--markdown", "run.md")
    status, out, _ = call("check", "toy", "--check", "exact", "--examples", "3", *files)
    assert status == 1
    text = (root / "run.html").read_text()
    assert "1 layer fails (toy/scale); 1 layer rests on that (toy/pair)" in text
    assert call("report", "run.json", "--html", "again.html", "--markdown", "again.md") == (1, out, "")
    assert (root / "again.html").read_text() == text
    assert (root / "again.md").read_text() == (root / "run.md").read_text()


def test_a_diff_of_two_runs_fails_where_something_newly_fails(call: Call, root: Path) -> None:
    """Status 1, with the layer that it rests on; the other way round 0. JSON alone on stdout."""
    toy.write(root)
    ask = ("check", "toy", "--check", "exact", "--examples", "3", "--json")
    assert call(*ask, "old.json")[0] == 0
    (root / "cases/toy/port.py").write_text(toy.PORT.replace(*toy.WRONG))
    with toy.imports():
        assert call(*ask, "new.json")[0] == 1
    status, out, _ = call("diff", "old.json", "new.json", "--markdown", "diff.md")
    assert status == 1
    assert "  toy/scale[exact]: passed -> failed\n  toy/pair[exact]: passed -> blocked by toy/scale\n" in out
    assert "nothing in the environment moved: the port broke" in " ".join(out.split())
    assert (root / "diff.md").read_text().startswith("## ❌ 1 check newly fails and 1 rest on that")
    status, out, err = call("diff", "new.json", "old.json", "--json", "-")
    assert (status, json.loads(out)["verdict"]) == (0, "nothing newly fails")
    assert err.startswith("nothing newly fails\n")


def test_the_schema_of_a_results_file_is_printed(call: Call) -> None:
    """As JSON, outside any root."""
    status, out, err = call("schema")
    assert (status, err) == (0, "")
    assert json.loads(out)["properties"]["results"]["type"] == "array"


def _an_example(root: Path) -> str:
    from parity import session

    registry = session.load(root).registry
    drawn: list[str] = []
    checks.draw.run(checks.draw.examples(registry["toy/scale"]), lambda e: drawn.append(e.token), examples=1, seed=0)
    return drawn[0]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "Missing command."),
        ("chekc", "No such command 'chekc'. Did you mean 'check'?"),
        ("check --examples none", "Invalid value for '--examples': "),
        ("check --examples 0", "Invalid value for '--examples': "),
        ("check sclae", "unknown case 'sclae'; did you mean 'scale' or 'toy/scale'?"),
        ("check --check exat", "unknown check 'exat'; did you mean 'exact'?"),
        ("check pair --check rejects:adds", "nothing was selected: toy/pair has no check rejects:adds"),
        ("check --json missing/results.json", "missing/results.json: there is no folder missing"),
        ("check --json cases", "cases is a folder, not a file"),
        ("check --html missing/a.html", "missing/a.html: there is no folder missing"),
        ("check --markdown cases", "cases is a folder, not a file"),
        ("diff cases cases", "cases: there is no results.json in this folder"),
        ("diff missing cases", "missing: No such file or directory"),
        ("report tolerances.yaml", "tolerances.yaml: not JSON, or cut off: line 1"),
        ("replay scale", "Missing option '--example'."),
        ("replay scale --example x", "--example is not a replay token: "),
        ("replay toy --example e30", "--example is not a replay token: KeyError: 'config'"),
    ],
    ids=[
        "none",
        "command",
        "word",
        "zero",
        "name",
        "check",
        "nothing",
        "missing",
        "folder",
        "html",
        "markdown",
        "without",
        "gone",
        "yaml",
        "option",
        "token",
        "empty",
    ],
)
def test_wrong_use_is_one_line_and_status_2(call: Call, root: Path, arguments: str, told: str) -> None:
    """On stderr, and nothing is written."""
    toy.write(root)
    before = sorted(path.name for path in root.iterdir())
    status, out, err = call(*arguments.split())
    assert (status, out) == (2, "")
    assert err.startswith(f"parity: error: {told}")
    assert err.count("\n") == 1
    assert sorted(path.name for path in root.iterdir()) == before


def test_without_a_root_the_missing_file_is_named(call: Call) -> None:
    """Before anything heavy is imported."""
    status, _, err = call("check")
    assert status == 2
    assert err.startswith("parity: error: no tolerances.yaml in ")


def test_broken_tolerances_are_told_with_their_line(call: Call, root: Path) -> None:
    """An unknown check, under the last line."""
    toy.write(root)
    (root / "tolerances.yaml").write_text(toy.TOLERANCES.replace("layers: {}", "layers:\n  toy/scale: {exat: {}}"))
    status, _, err = call("check")
    line = toy.TOLERANCES.splitlines().index("layers: {}") + 2
    assert (status, err) == (2, f"parity: error: tolerances.yaml:{line}: unknown check 'exat'; did you mean 'exact'?\n")


def test_a_case_file_that_raises_is_named_and_the_others_run(call: Call, root: Path) -> None:
    """Status 2, which outranks 1."""
    toy.write(root, broken=True, wrong=True)
    status, out, _ = call("check", "--check", "exact", "--examples", "2")
    assert status == 2
    assert "cases/toy/case_raises [import]: cases/toy/case_raises.py:3: AttributeError:" in out
    assert "toy/scale [exact]: port differs" in out
    assert call("list")[0] == 2


def test_an_interrupt_ends_with_the_table_so_far(call: Call, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Status 130, and what was found before."""
    toy.write(root)
    before = checks.Runner.run

    def run(self: checks.Runner, case: Any, check: str, **rest: Any) -> Any:
        if check == "float32":
            raise KeyboardInterrupt
        return before(self, case, check, **rest)

    monkeypatch.setattr(checks.Runner, "run", run)
    status, out, _ = call("check", "scale", "--check", "exact", "--check", "float32", "--examples", "2")
    assert status == 130
    assert out.splitlines()[1].startswith("toy/scale  ok ")
    assert ": interrupted\n" in out


def test_version_and_help_load_neither_torch_nor_jax() -> None:
    """In a process of their own, whatever the folder."""
    code = (
        "import sys; from parity.cli import main; statuses = main(['--version']), main(['--help']); "
        "print(statuses, sorted({'torch', 'jax', 'transformers', 'hypothesis'} & set(sys.modules)))"
    )
    here = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], cwd=here, capture_output=True, text=True, check=True)
    assert done.stdout.startswith("parity ")
    assert done.stdout.endswith("(0, 0) []\n")


def test_a_reader_that_has_seen_enough_is_no_finding(
    call: Call, root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`parity list | head`: status 0, and nothing on stderr."""
    toy.write(root)
    reader, writer = os.pipe()
    os.close(reader)
    with contextlib.suppress(BrokenPipeError), open(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        assert main(["list"]) == 0
    assert capsys.readouterr().err == ""


def test_a_search_is_written_and_shown_beside_a_run(call: Call, root: Path) -> None:
    """`locate` names the faulty part in every format; `report --located` shows it with the results."""
    toy.write(root)
    files = [str(root / f"located.{kind}") for kind in ("json", "html", "md")]
    json_, html, text = files
    status, out, _ = call("locate", "pair", "--fault", "adds@b", "--json", json_, "--html", html, "--markdown", text)
    assert status == 1
    assert "b, toy/scale" in out
    assert all("they part at 1 place" in Path(file).read_text() for file in (html, text))
    assert call("check", "scale", "--check", "exact", "--examples", "2", "--json", str(root / "run.json"))[0] == 0
    status, out, _ = call("report", str(root / "run.json"), "--located", json_, "--html", html, "--markdown", text)
    assert status == 0
    assert "they part at 1 place" in out
    assert all("Where the whole model parts" in Path(file).read_text() for file in (html, text))


def test_a_search_that_is_no_file_is_one_line(call: Call, root: Path) -> None:
    """Results are not a search."""
    toy.write(root)
    assert call("check", "scale", "--check", "exact", "--examples", "2", "--json", str(root / "run.json"))[0] == 0
    status, out, err = call("report", str(root / "run.json"), "--located", str(root / "run.json"))
    assert (status, out) == (2, "")
    assert err.count("\n") == 1


def test_a_failure_says_what_it_is_consistent_with(call: Call, root: Path) -> None:
    """A port that adds 1 to its scale is told so, on the terminal and in JSON."""
    folder = toy.write(root) / "cases" / "toy"
    (folder / "port.py").write_text(toy.PORT.replace("x * self.scale", "x * (self.scale + 1)"))
    status, out, _ = call("check", "scale", "--check", "exact", "--examples", "3", "--json", str(root / "run.json"))
    said = "consistent with 1 being added to `scale`"
    assert status == 1
    assert said in out
    (result,) = json.loads((root / "run.json").read_text())["results"]
    assert result["message"].splitlines()[1] == said
    assert result["message"].startswith("port differs from the reference by ")
