"""The gate: open for a right port, and shut by whatever was answered with no; what its reports say."""

# Torch, jax and flax leave most of what is used here untyped.
# pyright: basic

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import parity
from parity import gate as gates
from parity.cli import main
from parity.gated import Field, Gate, Question
from parity.report import gate as report
from parity.session import Workspace
from parity.tests import gain, toy
from parity.tests.gated import audit, calibrated, registry


def test_a_right_port_is_let_through() -> None:
    """Every question is asked, in order, and answered with yes; so says the screen."""
    asked = gates.Asked(audit=audit(), examples=4)
    found = gates.gate(calibrated(), "toy", asked)
    assert [(q.name, q.answer, q.why_not) for q in found.questions] == [(name, "yes", ()) for name in gates.QUESTIONS]
    assert (found.is_open, found.exit_status) == (True, 0)
    assert "the gate of toy is open: 7 questions answered with yes" in report.render(found)


def test_stop_first_leaves_the_rest_unasked() -> None:
    """Coverage comes first, and nothing is run after it said no; what was not asked keeps a gate shut too."""
    workspace = Workspace(registry("toy/gain"), gain.tolerances())
    found = gates.gate(workspace, "toy", gates.Asked(stop_first=True))
    assert [q.answer for q in found.questions] == ["no", *["not asked"] * 6]
    assert found.exit_status == 1
    assert "SHUT: coverage; not asked: tolerances" in report.render(found, width=200)


def test_unknown_port_is_refused() -> None:
    """In one line, with the nearest name."""
    with pytest.raises(parity.BadInput, match="unknown port 'tyo'; did you mean 'toy'"):
        gates.gate(calibrated(), "tyo")


def shut(*names: str, **fields: Any) -> Gate:
    """A gate that some questions keep shut."""
    questions = [
        Question(
            name=name, asks="is it?", answer="no" if name in names else "yes", why_not=fields.get("why_not", ("x",))
        )
        for name in gates.QUESTIONS
    ]
    return Gate(port="toy", questions=tuple(questions))


def test_screen_says_the_worst_first_and_is_one_screen() -> None:
    """A wrong port before an unmeasured bound; five reasons a question, a replay command in one piece."""
    command = f"parity replay toy/gain --example {'A' * 200}"
    reasons = (f"it fails\n  replay: {command}", *(f"reason {number}" for number in range(9)))
    lines = report.render(shut("tolerances", "checks", why_not=reasons)).splitlines()
    assert lines.index("checks: is it?") < lines.index("tolerances: is it?")
    assert lines.count(f"    replay: {command}") == 2
    assert lines.count("  and 5 more: --json and --markdown have all") == 2
    assert "the gate of toy is SHUT: checks, tolerances" in lines
    assert len(lines) < 30


def test_markdown_has_everything_as_text() -> None:
    """All reasons, in a fence that none of them can end; no markup of a name's gets through."""
    found = shut("checks", why_not=("a ``` and <b>", *(f"reason {number}" for number in range(9))))
    field = Field(field="a|<b>", verdict="ignored", change="1 -> 2", said="stands still", moved=1, tried=1)
    text = report.markdown(found.model_copy(update={"fields": (field,)}))
    assert text.startswith("## ❌ the gate of toy is SHUT: checks\n")
    assert "````text\na ``` and <b>\nreason 0" in text
    assert "reason 8" in text
    assert "| a\\|\\<b\\> | ignored | 1 -\\> 2 | stands still | 1 of 1 |" in text


def test_markdown_is_small_enough() -> None:
    """Under 60 kB, however much is wrong."""
    text = report.markdown(shut("checks", "fields", "coverage", why_not=("x" * 100,) * 3000))
    assert len(text.encode()) < 60_000
    assert "more lines of reasons" in text


def test_json_is_the_whole_gate() -> None:
    """And reads back as it was."""
    found = shut("checks")
    node = json.loads(report.to_json(found))
    assert node["schema"] == 1
    assert Gate.model_validate(node) == found


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A port on disk that declares its reference model."""
    monkeypatch.setenv("PARITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "120")
    with toy.imports():
        folder = toy.write(tmp_path / "root")
        port = folder / "cases" / "toy"
        for name in ("scale", "pair"):
            path = port / f"case_{name}.py"
            mark = f'name="toy/{name}",'
            path.write_text(path.read_text().replace(mark, f"{mark}\n    covers=(Reference,),"))
        head = "from cases.toy import case_pair\n"
        suite = toy.SUITE.replace("references=()", "references=(case_pair.Reference,)")
        (port / "suite.py").write_text(head + suite)
        monkeypatch.chdir(folder)
        yield folder


def test_from_a_new_port_to_an_open_gate(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Shut while nothing is calibrated, open then, and shut again by a bound that somebody loosens."""
    assert main(["check", "toy", "--examples", "4", "--json", "results.json"]) == 0
    assert main(["audit", "toy", "--examples", "4", "--json", "audit.json"]) == 0
    given = ["gate", "toy", "--results", "results.json", "--audit", "audit.json"]
    assert main([*given, "--json", "gate.json", "--markdown", "gate.md"]) == 1
    node = json.loads((root / "gate.json").read_text())
    assert {q["name"]: q["answer"] for q in node["questions"] if q["answer"] != "yes"} == {"tolerances": "no"}
    assert (root / "gate.md").read_text().startswith("## ❌ the gate of toy is SHUT: tolerances")
    assert main(["calibrate", "toy", "--examples", "20", "--seeds", "1", "--write"]) == 0
    capsys.readouterr()
    assert main(given) == 0
    assert "the gate of toy is open" in capsys.readouterr().out
    text = (root / "tolerances.yaml").read_text()
    (root / "tolerances.yaml").write_text(text.replace("      ratio: 2\n", "      ratio: 3.9\n", 1))
    assert main([*given, "-x"]) == 1
    assert "allows ratio 3.9 (tolerances.yaml:" in capsys.readouterr().out


def test_results_of_another_port_are_no_answer(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file that is not there is one line and status 2."""
    assert main(["gate", "toy", "--results", "none.json"]) == 2
    assert capsys.readouterr().err == "parity: error: none.json: No such file or directory\n"
