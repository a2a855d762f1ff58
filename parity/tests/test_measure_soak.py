"""Soaking: examples shared among seeds, and every false alarm with its seed and its replay."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from parity.cli import main
from parity.measure import soak as soaking
from parity.measure.soak import asked, soak
from parity.report import soak as report
from parity.session import Hooks, load
from parity.tests import toy
from parity.tolerance import MEASURES

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True)
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted here does not move when a check is added."""
    monkeypatch.setattr(soaking, "MEASURES", {name: MEASURES[name] for name in ("exact", "float32")})


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Run the command line in an empty folder; its exit status, stdout and stderr."""
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


def test_examples_are_shared_among_seeds_layers_and_checks(call: Call) -> None:
    """As many as were asked for in all, rounded up; variants are not among them."""
    toy.write(Path.cwd())
    given = asked(load(), ["toy"], [], examples=50, seeds=range(7, 9))
    assert {check for _, check in given.selection.pairs} == {"exact", "float32"}
    assert (given.runs, given.examples) == (8, 7)


def test_every_check_that_has_bounds_is_asked(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """The casts too, which calibration has no rule for; and nothing that runs only where it is asked for."""
    monkeypatch.setattr(soaking, "MEASURES", MEASURES)
    toy.write(Path.cwd())
    given = asked(load(), ["toy"], [], examples=1, seeds=[0])
    bounded = {"exact", "gradient", "rounded:bfloat16", "rounded:float16", "float32", "bfloat16", "transforms"}
    assert {check for _, check in given.selection.pairs} == bounded


def test_a_right_port_raises_no_alarm(call: Call) -> None:
    """The table says what was run and how much of the nearest limit was used, and where."""
    toy.write(Path.cwd())
    status, out, _ = call("soak", "toy", "--examples", "16", "--seeds", "2", "--json", "found.json")
    assert status == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["check", "runs", "examples", "alarms", "worst", "used", "at"]
    assert rows[1][:4] == ["exact", "4", "8", "0"]
    assert rows[2][:4] == ["float32", "4", "8", "0"]
    assert "16 examples with seeds 100 to 101" in out
    assert out.endswith("no false alarm\n")
    found = json.loads(Path("found.json").read_text())
    assert (found["examples"], found["alarms"], found["complete"]) == (16, [], True)


def test_an_alarm_is_told_with_its_seed_and_replay(call: Call) -> None:
    """Here the port is wrong; the other seeds and checks still run."""
    toy.write(Path.cwd(), wrong=True)
    status, out, _ = call("soak", "scale", "--check", "exact", "--examples", "4", "--seeds", "2", "--first", "5")
    assert status == 1
    assert "toy/scale [exact], seed 5, failed: " in out
    assert "toy/scale [exact], seed 6, failed: " in out
    assert out.count("  replay: parity replay toy/scale --check exact --example ") == 2
    assert out.endswith("2 false alarms, if the port is right\n")


def test_an_interrupt_keeps_what_was_found(call: Call) -> None:
    """And says that it is not all."""
    toy.write(Path.cwd())
    seen: list[str] = []

    def on_start(case: object, check: str) -> None:
        seen.append(check)
        if len(seen) == 2:
            raise KeyboardInterrupt

    workspace = load()
    given = asked(workspace, ["scale"], ["exact"], examples=9, seeds=range(3))
    found = soak(workspace, given, hooks=Hooks(on_start=on_start))
    assert (found.complete, found.exit_status, found.examples) == (False, 130, 3)
    assert report.render(found).endswith("interrupted\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tyo"], "unknown case 'tyo'"),
        (["toy", "--check", "exat"], "unknown check 'exat'; did you mean 'exact'?"),
        (["toy", "--json", "nowhere/f.json"], "nowhere/f.json: there is no folder nowhere"),
    ],
    ids=["port", "check", "folder"],
)
def test_wrong_use_is_one_line(call: Call, arguments: list[str], message: str) -> None:
    """Exit status 2."""
    toy.write(Path.cwd())
    status, out, err = call("soak", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"parity: error: {message}")
