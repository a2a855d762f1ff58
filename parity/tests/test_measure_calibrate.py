"""Calibration: what clean runs measure, what follows from it, and what is never written."""

import dataclasses
import datetime
import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

import parity
from parity import tolerance
from parity.cli import main
from parity.measure import clean, entries
from parity.measure.bounds import Proposal, propose
from parity.measure.calibrate import Calibration, calibrate, select
from parity.measure.clean import measure
from parity.report import calibration as report
from parity.results import Limit
from parity.session import Hooks, Workspace, load
from parity.tests import gain, toy

Call = Callable[..., tuple[int, str, str]]
DATE = datetime.date(2026, 11, 25)
VERSIONS = {"torch": "2.13.0", "jax": "0.10", "flax": "0.12.8", "transformers": "5.23.0"}
COMMENTED = """\
# what judges
defaults:
  exact: {rtol: 1.0e-10}  # everywhere
  float32: {ratio: 4}
layers:  # by layer
  # the leaf
  toy/scale:
    float32: {ratio: 3.5}  # by hand
"""


@pytest.fixture(autouse=True)
def two_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is counted here does not move when a check is added."""
    monkeypatch.setattr(clean, "MEASURES", {name: clean.MEASURES[name] for name in ("exact", "float32")})


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Call]:
    """Run the command line in a folder with the toy port; its exit status, stdout and stderr."""
    root = toy.write(tmp_path / "root")
    (root / "tolerances.yaml").write_text(COMMENTED)
    monkeypatch.chdir(root)
    monkeypatch.setenv("PARITY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.delenv("FORCE_COLOR", raising=False)

    def called(*arguments: str) -> tuple[int, str, str]:
        status = main(arguments)
        out, err = capsys.readouterr()
        return status, out, err

    with toy.imports():
        yield called


def workspace(*cases: parity.Case, layers: Mapping[str, Any] | None = None, **defaults: Any) -> Workspace:
    """These cases, with bounds of their own: case -> check -> measure -> value."""
    bounds = {
        case: {
            check: {name: Limit(name=name, value=value, where="here") for name, value in own.items()}
            for check, own in checks.items()
        }
        for case, checks in (layers or {}).items()
    }
    return Workspace(gain.registry(*cases), dataclasses.replace(gain.tolerances(**defaults), layers=bounds))


def calibrated(space: Workspace, *, loosen: bool = False) -> Calibration:
    """A small calibration of every case."""
    return calibrate(space, space.registry.bottom_up(), examples=12, seeds=2, loosen=loosen)


def proposals(found: Calibration) -> dict[str, Proposal]:
    """By check and measure."""
    return {f"{p.check}.{p.measure}": p for layer in found.layers for p in layer.proposals}


def proposed(worst: float, old: float | None, *, measure: str = "rtol", loosen: bool = False) -> tuple[str, Any]:
    """The verdict and the bound of a float32 measure."""
    limit = None if old is None else Limit(name=measure, value=old, where="here")
    found = propose("toy/gain", "float32", measure, worst=worst, old=limit, default=None, loosen=loosen)
    return found.verdict, found.new


def test_the_rule() -> None:
    """Eight times the worst rtol, twice the worst ratio, rounded up to two digits."""
    assert proposed(1.01e-6, None) == ("new", 8.1e-6)
    assert proposed(1.01e-6, 1e-5) == ("tighter", 8.1e-6)
    assert proposed(1.01e-6, 8.1e-6) == ("same", 8.1e-6)
    assert proposed(1.01e-6, 2.1e-6) == ("kept", 2.1e-6)
    assert proposed(1.01e-6, 2.0e-6) == ("refused", 2.0e-6)
    assert proposed(1.01e-6, 2.0e-6, loosen=True) == ("looser", 8.1e-6)
    assert proposed(1.26, 4.0, measure="ratio") == ("tighter", 2.6)
    assert proposed(0.2, 4.0, measure="ratio") == ("tighter", 2.0)
    assert proposed(3.9, 4.0, measure="ratio") == ("kept", 4.0)
    assert proposed(4.1, 4.0, measure="ratio") == ("refused", 4.0)


def test_a_bound_has_a_least_value() -> None:
    """Nothing measured is no reason for a bound of nothing: eight roundings, or a thousandth of the default."""
    assert proposed(0.0, None) == ("new", 4.8e-7)
    default = Limit(name="rtol", value=1e-10, where="here")
    found = propose("toy/gain", "exact", "rtol", worst=0.0, old=default, default=default)
    assert (found.verdict, found.new) == ("tighter", 1e-13)


def test_exact_arithmetic_has_more_room() -> None:
    """Its bound is a thousand times the worst, and never above the default without leave."""
    default = Limit(name="rtol", value=1e-10, where="here")

    def exact(worst: float) -> tuple[str, Any]:
        found = propose("toy/gain", "exact", "rtol", worst=worst, old=default, default=default)
        return found.verdict, found.new

    assert exact(6.1e-15) == ("tighter", 6.1e-12)
    assert exact(2.8e-12) == ("kept", 1e-10)
    assert exact(1.1e-11) == ("refused", 1e-10)


def test_what_judges_nothing_is_not_proposed() -> None:
    """An rtol of 0.1 or more, a value that is no number, a measure that no rule knows."""
    assert proposed(0.02, None) == ("none", None)
    assert proposed(0.06, 0.09, loosen=True) == ("refused", 0.09)
    assert proposed(float("nan"), 1e-5, loosen=True) == ("refused", 1e-5)
    assert proposed(float("inf"), None) == ("refused", None)
    assert proposed(0.3, 1.0, measure="share") == ("kept", 1.0)
    assert proposed(0.3, None, measure="share") == ("none", None)


def test_clean_runs_are_measured_by_the_checks_themselves() -> None:
    """Every check that has bounds, the port and its variants, over several seeds; the worst is the check's own."""
    swapped = parity.same(gain.gained, ("x * scale + bias", "bias + scale * x"), why="a b = b a")
    case = gain.case(equivalents={"swapped": swapped})
    found = measure(workspace(case), case, examples=20, seeds=range(2), hooks=Hooks())
    assert [(m.check, m.seeds, m.examples, m.trouble) for m in found] == [
        ("exact", 2, 42, None),
        ("float32", 2, 42, None),
    ]
    float32 = found[1].measures["rtol"]
    assert 0 <= float32.median <= float32.p99 <= float32.worst < 2.0**-20
    assert float32.worst > 0
    assert float32.replay.startswith("parity replay toy/gain --check float32 --example ")
    worst = gain.runner(case, examples=20).run(case, "float32").measured["rtol"]
    assert worst <= float32.worst


def test_the_ratio_that_is_kept_is_the_smallest_that_passes() -> None:
    """With it as the bound every example passes; its second look included, of which a single look knows nothing."""
    case = gain.case()
    (_, found) = measure(workspace(case), case, examples=60, seeds=[3], hooks=Hooks())
    worst = found.measures["ratio"].worst
    runner = gain.runner(case, examples=60, seed=3)
    runner.tolerances = gain.tolerances(float32={"ratio": max(worst, 2.0)})
    assert runner.run(case, "float32").status == "passed"


def test_a_result_holds_the_smallest_bound_that_would_pass() -> None:
    """In JSON too: with it as the bound the same run passes, a little below it fails."""

    class Off(gain.Port):
        def __call__(self, x: Any) -> Any:
            return super().__call__(x) + 1e-8

    case = gain.case(port=lambda config, dtype, rngs: Off(config["width"], dtype))
    runner = gain.runner(case)
    runner.tolerances = gain.tolerances(exact={"rtol": 1e-2})
    measured = json.loads(runner.run(case, "exact").model_dump_json())["measured"]["rtol"]
    for share, status in ((1.0, "passed"), (0.999, "failed")):
        runner.tolerances = gain.tolerances(exact={"rtol": measured * share})
        assert runner.run(case, "exact").status == status


def test_one_seed_means_one_calibration() -> None:
    """The same numbers again, and the worst of more examples is never smaller."""
    first, second = (calibrated(workspace(gain.case())) for _ in range(2))
    assert first == second
    assert first.exit_status == 0
    assert {name: p.verdict for name, p in proposals(first).items()} == {
        "exact.rtol": "tighter",
        "float32.ratio": "tighter",
        "float32.rtol": "new",
    }


def test_a_looser_bound_is_refused() -> None:
    """The bound that stands is exceeded by the port: that is a finding, and no reason to move it."""
    tight = workspace(gain.case(), layers={"toy/gain": {"float32": {"rtol": 1e-9}}})
    refused = proposals(found := calibrated(tight))["float32.rtol"]
    assert (refused.verdict, refused.new) == ("refused", 1e-9)
    assert refused.reason.endswith("is looser than 1e-09: --loosen --why TEXT allows it")
    assert found.exit_status == 1
    loosened = proposals(found := calibrated(tight, loosen=True))["float32.rtol"]
    assert loosened.verdict == "looser"
    assert loosened.new is not None
    assert 1e-9 < loosened.new < 1e-5
    assert found.exit_status == 0


def test_no_bound_lets_a_fault_through() -> None:
    """A fault below rounding survives the bounds that rounding asks for; all of that check are refused."""
    subtle = parity.edit(gain.gained, ("x * scale", "x * (scale + 1e-12)"), checks=("float32",))
    found = calibrated(workspace(gain.case(faults={"subtle": subtle})))
    by_name = proposals(found)
    assert found.exit_status == 1
    assert by_name["exact.rtol"].verdict == "tighter"
    for name in ("float32.ratio", "float32.rtol"):
        assert (by_name[name].verdict, by_name[name].new) == ("refused", by_name[name].old)
        assert by_name[name].reason == "the fault subtle survives"


def test_a_bound_that_still_rejects_the_faults_is_proposed() -> None:
    """A bound that a fault is far above."""
    faults = {"adds": parity.edit(gain.gained, ("+ bias", "+ bias + 1e-2"), checks=("float32",))}
    assert calibrated(workspace(gain.case(faults=faults))).exit_status == 0


def test_a_port_that_is_wrong_is_not_calibrated() -> None:
    """Other shapes than the reference's: refused with what is wrong and a replay, nothing else is measured."""
    wrong = gain.case(port=lambda config, dtype, rngs: gain.Port(config["width"] + 1, dtype))
    found = calibrated(workspace(wrong))
    assert found.layers[0].measured.trouble is not None
    assert "parity replay toy/gain --check exact" in found.layers[0].measured.trouble
    assert found.exit_status == 1


def test_a_variant_that_no_longer_applies_is_told() -> None:
    """It was declared the same function, and can't be measured."""
    gone = parity.same(gain.gained, ("x ** scale", "x"), why="it was here once")
    found = calibrated(workspace(gain.case(equivalents={"gone": gone})))
    assert "gone: the edit of `gained` no longer applies" in str(found.layers[0].measured.trouble)
    assert found.exit_status == 1


def test_the_entries_are_written_with_comments_kept(call: Call) -> None:
    """Bounds, what was measured, and where; the file is valid again and judges by them."""
    status, out, err = call("calibrate", "toy", "--examples", "8", "--seeds", "1", "--write")
    assert (status, err) == (0, "")
    assert "4 entries over" in out
    text = Path("tolerances.yaml").read_text()
    for comment in ("# what judges", "# everywhere", "# by layer", "# the leaf", "# by hand"):
        assert comment in text
    root = load()
    measured = root.tolerances.measured["toy/scale"]["float32"]
    assert set(measured) == {"ratio", "rtol", "examples", "seeds", "fingerprint", "versions", "date"}
    assert set(measured["versions"]) == set(entries.VERSIONS)
    assert {bound.name: bound.value for bound in root.tolerances.bounds("toy/scale", "float32")} == {
        "ratio": 2.0,
        "rtol": pytest.approx(8 * measured["rtol"], rel=0.1, abs=4.8e-7),
    }


def test_nothing_is_written_unless_asked_for(call: Call) -> None:
    """The proposal is shown beside what stands and what was measured, within 80 columns; JSON has it too."""
    status, out, _ = call("calibrate", "toy", "scale", "--examples", "4", "--seeds", "1", "--json", "found.json")
    assert status == 0
    assert Path("tolerances.yaml").read_text() == COMMENTED
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["case", "check", "measure", "old", "new", "worst", "99", "%", "median"]
    assert rows[2][:5] == ["toy/scale", "float32", "ratio", "3.5", "2"]
    assert rows[2][-1] == "tighter"
    assert max(len(line) for line in out.splitlines()) <= 80
    assert "nothing was written: --write writes tolerances.yaml" in " ".join(out.split())
    layers = json.loads(Path("found.json").read_text())["layers"]
    assert [layer["measured"]["check"] for layer in layers] == ["exact", "float32"]
    assert layers[0]["measured"]["measures"]["rtol"]["worst"] == 0.0


def test_the_same_again_changes_nothing(call: Call) -> None:
    """Not a byte, whatever the date; another seed count is another measurement, and leaves bounds that hold."""
    call("calibrate", "toy", "--examples", "6", "--seeds", "1", "--write")
    before = Path("tolerances.yaml").read_text()
    call("calibrate", "toy", "--examples", "6", "--seeds", "1", "--write")
    assert Path("tolerances.yaml").read_text() == before
    call("calibrate", "toy", "--examples", "6", "--seeds", "2", "--write")
    assert Path("tolerances.yaml").read_text() != before


def test_a_refused_entry_is_left_as_it_is(call: Call) -> None:
    """Exit status 1, the reason, and the others are written; a reason given loosens it and stands in the file."""
    text = COMMENTED.replace("toy/scale", "toy/pair").replace("{ratio: 3.5}", "{ratio: 3.5, rtol: 1.0e-9}")
    Path("tolerances.yaml").write_text(text)
    port = Path("cases/toy/port.py")
    port.write_text(port.read_text().replace("return self.b(self.a(x))", "return self.b(self.a(x)) + x - x"))
    quick = ("calibrate", "toy", "pair", "--examples", "4", "--seeds", "1", "--write")
    status, out, _ = call(*quick)
    assert status == 1
    assert re.search(r"toy/pair\[float32\] refused: \S+e-07 is looser than 1e-09: --loosen", " ".join(out.split()))
    kept = Path("tolerances.yaml").read_text()
    assert "float32: {ratio: 3.5, rtol: 1.0e-9}  # by hand" in kept
    assert "    exact:\n      rtol: " in kept
    status, _, _ = call(*quick, "--loosen", "--why", "1e-9 was a guess")
    assert status == 0
    root = load()
    assert 1e-7 < root.tolerances.layers["toy/pair"]["float32"]["rtol"].value < 2e-6
    assert "why: 1e-9 was a guess" in Path("tolerances.yaml").read_text()


def test_an_interrupt_leaves_the_file_whole(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """While measuring, and while writing: the old file or the new one, and no draft beside it."""

    def interrupted(*arguments: Any, **keywords: Any) -> Any:
        raise KeyboardInterrupt

    before = sorted(Path().iterdir())
    for place in ("parity.measure.calibrate.measure", "parity.report.files.os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(place, interrupted)
            status, _, _ = call("calibrate", "toy", "scale", "--examples", "2", "--seeds", "1", "--write")
        assert status == 130
        assert Path("tolerances.yaml").read_text() == COMMENTED
        assert [path for path in sorted(Path().iterdir()) if path not in before] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["tyo"], "unknown port 'tyo'; did you mean 'toy'?"),
        (["toy", "sclae"], "toy has no case 'sclae'; did you mean 'scale' or 'toy/scale'?"),
        (["toy", "--loosen"], "--loosen and --why TEXT go together: a bound is loosened for a reason, or not at all"),
        (
            ["toy", "--why", "so"],
            "--loosen and --why TEXT go together: a bound is loosened for a reason, or not at all",
        ),
        (["toy", "--loosen", "--why", " "], "--loosen and --why TEXT go together"),
        (["toy", "--json", "nowhere/found.json"], "nowhere/found.json: there is no folder nowhere"),
        (["toy", "--examples", "0"], "Invalid value for '--examples': "),
    ],
    ids=["port", "layer", "no_reason", "reason_alone", "blank_reason", "folder", "none"],
)
def test_wrong_use_is_one_line(call: Call, arguments: list[str], message: str) -> None:
    """Exit status 2, and nothing is measured."""
    status, out, err = call("calibrate", *arguments)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"parity: error: {message}")


def test_a_file_that_cannot_be_written_is_told_first(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before minutes are spent on measuring."""
    monkeypatch.setattr("parity.report.files.os.access", lambda path, mode: False)
    status, _, err = call("calibrate", "toy", "--write")
    assert status == 2
    assert err.endswith("tolerances.yaml: not writable\n")


def test_a_port_with_a_broken_file_is_not_calibrated(tmp_path: Path) -> None:
    """Its bounds would be those of what is left of it."""
    with toy.imports(), pytest.raises(parity.BadInput, match=r"case_raises\.py:3: .*: a port is calibrated when all"):
        select(load(toy.write(tmp_path / "broken", broken=True)).registry, "toy")


def test_an_entry_in_braces_and_a_file_of_defaults() -> None:
    """Both take entries; a number is a number for YAML 1.1 too, and the same date twice is no alias."""
    found = calibrated(workspace(gain.case()))
    for layers in ("layers: {}\n", "layers:\n", "", "layers: {toy/gain: {exact: {rtol: 1.0e-11}}}\n"):
        text = f"defaults:\n  exact: {{rtol: 1.0e-10}}\n  float32: {{ratio: 4}}\n{layers}"
        made = entries.rewritten(text, found, versions=VERSIONS, date=DATE)
        entry = YAML(typ="safe").load(made)["layers"]["toy/gain"]["exact"]
        assert (entry["rtol"], entry["measured"]["date"], entry["measured"]["seeds"]) == (1e-13, DATE, 2)
        assert "rtol: 1.0e-13" in made
        assert "&" not in made
        assert "jax: '0.10'" in made


def test_the_table_says_the_rule_and_the_reason() -> None:
    """And how many were refused."""
    tight = workspace(gain.case(), layers={"toy/gain": {"float32": {"rtol": 1e-9}}})
    text = " ".join(report.render(calibrated(tight)).split())
    assert "times 2 (ratio; at least 2), 8 (rtol) or 1000" in text
    assert "toy/gain[float32] refused:" in text
    assert "2 entries over 48 examples, 1 refused; nothing was written" in text


def test_bounds_measured_on_other_code_are_told(call: Call) -> None:
    """A run lists them under what was not checked, with the command that mends it."""
    call("calibrate", "toy", "scale", "--examples", "2", "--seeds", "1", "--write")
    told = "the bounds of toy/scale[float32, exact] were measured on other code: parity calibrate toy scale --write"

    def checked() -> str:
        with toy.imports():
            _, out, _ = call("check", "scale", "--check", "exact", "--examples", "2")
        return " ".join(out.split())

    assert "measured on other code" not in checked()
    port = Path("cases/toy/port.py")
    port.write_text(port.read_text() + "\n\nLATER = 1\n")
    assert told in checked()
    call("calibrate", "toy", "scale", "--examples", "2", "--seeds", "1", "--write")
    assert "measured on other code" not in checked()


def test_stale_compares_fingerprints() -> None:
    """Only those of cases that are given; an entry without one is stale too."""
    measured = {"a/x": {"exact": {"fingerprint": "1"}, "float32": {"fingerprint": "2"}}, "a/y": {"exact": {}}}
    tolerances = tolerance.Tolerances({}, {}, measured)
    assert tolerance.stale(tolerances, {"a/x": "1"}) == (("a/x", "float32"),)
    assert tolerance.stale(tolerances, {"a/x": "2", "a/y": "3"}) == (("a/x", "exact"), ("a/y", "exact"))


def test_a_variant_is_not_measured_where_it_is_excused() -> None:
    """Its values there are not the port's, and a bound that they fit would let anything through."""
    other = parity.edit(gain.gained, ("+ bias", "- bias"))
    variant = parity.Variant(
        patch=other.patch, why="declared so", excused={"exact": "not in truth", "float32": "nor here"}
    )
    excused = gain.case(equivalents={"other": variant})
    bare = gain.case(equivalents={"other": dataclasses.replace(variant, excused={})})
    assert _worst_of(excused) < 1e-12 < _worst_of(bare)


def _worst_of(case: parity.Case) -> float:
    found = measure(workspace(case), case, examples=20, seeds=[0], hooks=Hooks())
    return found[0].measures["rtol"].worst
