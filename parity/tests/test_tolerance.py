"""tolerances.yaml: every mistake is told with its line, and no bound judges nothing."""

import math
from pathlib import Path

import pytest

from parity.error import Error
from parity.errors import BadInput
from parity.results import Limit
from parity.tolerance import MEASURES, Tolerances, read

ROOT = Path(__file__).parents[2]
CASES = ("toy/gain", "toy/norm", "toy/whole")
DEFAULTS = "defaults:\n  exact: {rtol: 1.0e-10}\n  float32: {ratio: 4}\n"


def written(folder: Path, text: str) -> Tolerances:
    """Write a file and read it."""
    (folder / "tolerances.yaml").write_text(text)
    return read(folder, CASES)


def told(folder: Path, text: str) -> str:
    """Return what is said of a broken file."""
    with pytest.raises(BadInput) as error:
        written(folder, text)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_defaults_and_layers(tmp_path: Path) -> None:
    """A layer's own bound replaces the default of that measure, and leaves the others; each knows its line."""
    tolerances = written(tmp_path, f"{DEFAULTS}layers:\n  toy/gain:\n    float32: {{ratio: 2, rtol: 2.0e-7}}\n")
    default = Limit(name="ratio", value=4.0, where="tolerances.yaml:3 (defaults)")
    assert tolerances.bounds("toy/norm", "float32") == (default,)
    assert tolerances.bounds("toy/gain", "float32") == (
        Limit(name="ratio", value=2.0, where="tolerances.yaml:6 (layers)"),
        Limit(name="rtol", value=2e-7, where="tolerances.yaml:6 (layers)"),
    )
    assert tolerances.bounds("toy/gain", "exact") == tolerances.bounds("toy/norm", "exact")


def test_judged_by_the_nearest_bound(tmp_path: Path) -> None:
    """`used` is the larger share of two bounds, the limit is the one that was nearest; the bound itself is within."""
    tolerances = written(tmp_path, f"{DEFAULTS}layers:\n  toy/gain:\n    float32: {{ratio: 2, rtol: 1.0e-6}}\n")
    verdict = tolerances.judge("toy/gain", "float32", Error({"ratio": 1.0, "rtol": 0.9e-6}))
    assert (verdict.used, verdict.limit.name, verdict.passed) == (pytest.approx(0.9), "rtol", True)
    assert tolerances.judge("toy/gain", "float32", Error({"ratio": 2.0, "rtol": 0.0})).passed
    assert not tolerances.judge("toy/gain", "float32", Error({"ratio": 2.0000001, "rtol": 0.0})).passed
    assert not tolerances.judge("toy/gain", "float32", Error({"ratio": 0.0, "rtol": 1.1e-6})).passed
    assert tolerances.judge("toy/norm", "float32", Error({"ratio": 3.0, "rtol": 1.0})).passed


def test_nan_and_inf_are_never_within_a_bound(tmp_path: Path) -> None:
    """NaN compares false with everything, and is rejected all the same."""
    tolerances = written(tmp_path, DEFAULTS)
    for value in (math.nan, math.inf):
        verdict = tolerances.judge("toy/gain", "exact", Error({"rtol": value}))
        assert not verdict.passed
        assert verdict.used == math.inf


def test_a_looser_bound_with_a_reason_is_used(tmp_path: Path) -> None:
    """A layer may be looser than its default where it says why."""
    layer = 'layers:\n  toy/gain:\n    exact: {rtol: 1.0e-6, why: "bakes its table in float32"}\n'
    tolerances = written(tmp_path, DEFAULTS + layer)
    assert tolerances.judge("toy/gain", "exact", Error({"rtol": 0.9e-6})).passed
    assert not tolerances.judge("toy/norm", "exact", Error({"rtol": 0.9e-6})).passed


def test_a_looser_bound_without_a_reason(tmp_path: Path) -> None:
    """Both values are told, and where the default stands; an empty reason is none, and nor is a number."""
    message = (
        "tolerances.yaml:6: exact.rtol 1e-06 is looser than its default 1e-10 (tolerances.yaml:2 (defaults)) "
        "and has no `why`"
    )
    for why in ("", ', why: ""', ', why: "  "', ", why: 3", ", why: null", ", why: []"):
        text = f"{DEFAULTS}layers:\n  toy/gain:\n    exact: {{rtol: 1.0e-6{why}}}\n"
        assert told(tmp_path, text) == message
    written(tmp_path, f"{DEFAULTS}layers:\n  toy/gain:\n    exact: {{rtol: 1.0e-10}}\n")


def test_beyond_what_was_calibrated_the_defaults_judge(tmp_path: Path) -> None:
    """A layer's own bound counts where it is looser than a default, for a reason; an rtol without one does not."""
    tolerances = written(
        tmp_path,
        f"{DEFAULTS}layers:\n  toy/gain:\n    float32: {{ratio: 2, rtol: 2.0e-7}}\n"
        '  toy/norm:\n    exact: {rtol: 1.0e-6, why: "bakes its table in float32"}\n',
    ).beyond()
    assert [(bound.name, bound.value) for bound in tolerances.bounds("toy/gain", "float32")] == [("ratio", 4.0)]
    assert [(bound.name, bound.value) for bound in tolerances.bounds("toy/norm", "exact")] == [("rtol", 1e-6)]


BROKEN = {
    "scalar": ("3\n", "tolerances.yaml:1: the file must be a mapping of names, not int '3'"),
    "list": ("- 1\n- 2\n", "tolerances.yaml:1: the file must be a mapping of names, not CommentedSeq '[1, 2]'"),
    "key_of_the_file": (
        f"{DEFAULTS}layer: {{}}\n",
        "tolerances.yaml:4: unknown key 'layer'; known: defaults, layers",
    ),
    "numbers_for_names": (
        f"{DEFAULTS}layers:\n  1: {{}}\n",
        "tolerances.yaml:4: layers must be a mapping of names, not CommentedMap '{1: {}}'",
    ),
    "defaults_are_a_list": (
        "defaults: [exact]\n",
        "tolerances.yaml:1: defaults must be a mapping of names, not CommentedSeq \"['exact']\"",
    ),
    "unknown_default": (
        "defaults:\n  exakt: {rtol: 1.0e-10}\n",
        "tolerances.yaml:2: unknown check 'exakt'; did you mean 'exact'?",
    ),
    "unknown_check": (
        f"{DEFAULTS}layers:\n  toy/gain:\n\n    # a comment\n    loss: {{rtol: 1.0e-10}}\n",
        f"tolerances.yaml:8: unknown check 'loss'; known: {', '.join(sorted(MEASURES))}",
    ),
    "unknown_case": (
        f"{DEFAULTS}layers:\n  toy/gian:\n    exact: {{rtol: 1.0e-11}}\n",
        "tolerances.yaml:5: unknown case 'toy/gian'; did you mean 'toy/gain' or 'toy/norm'?",
    ),
    "unknown_measure": (
        "defaults:\n  exact: {rtol: 1.0e-10, ratio: 3}\n",
        "tolerances.yaml:2: unknown key of exact 'ratio'; known: rtol, why, measured",
    ),
    "unknown_measured": (
        "defaults:\n  exact:\n    rtol: 1.0e-10\n    measured:\n      worst: 3\n",
        "tolerances.yaml:5: unknown key of measured 'worst'; "
        "known: rtol, examples, seeds, versions, date, fingerprint",
    ),
    "measured_is_a_number": (
        "defaults:\n  exact:\n    rtol: 1.0e-10\n    measured: 3.5\n",
        "tolerances.yaml:4: measured must be a mapping of names, not ScalarFloat '3.5'",
    ),
    "layer_without_checks": (
        f"{DEFAULTS}layers:\n  toy/gain:\n",
        "tolerances.yaml:5: toy/gain must be a mapping of names, not nothing",
    ),
    "check_without_bounds": (
        f"{DEFAULTS}layers:\n  toy/gain:\n    exact: 1.0e-10\n",
        "tolerances.yaml:6: exact must be a mapping of names, not ScalarFloat '1e-10'",
    ),
    "judges_nothing": (
        "defaults:\n  exact: {rtol: 0.1}\n",
        "tolerances.yaml:2: exact.rtol is 0.1; 0.1 or more judges nothing",
    ),
    "judges_nothing_with_a_reason": (
        f'{DEFAULTS}layers:\n  toy/gain:\n    float32: {{rtol: 0.5, why: "it is far"}}\n',
        "tolerances.yaml:6: float32.rtol is 0.5; 0.1 or more judges nothing",
    ),
    "text_for_a_number": (
        'defaults:\n  exact: {rtol: "1e-10"}\n',
        "tolerances.yaml:2: exact.rtol must be a number above 0, not '1e-10'",
    ),
    "truth_for_a_number": (
        "defaults:\n  exact: {rtol: true}\n",
        "tolerances.yaml:2: exact.rtol must be a number above 0, not True",
    ),
    "zero": ("defaults:\n  exact: {rtol: 0}\n", "tolerances.yaml:2: exact.rtol must be a number above 0, not 0"),
    "negative": (
        "defaults:\n  float32: {ratio: -4.0}\n",
        "tolerances.yaml:2: float32.ratio must be a number above 0, not -4.0",
    ),
    "nan": (
        "defaults:\n  float32: {ratio: .nan}\n",
        "tolerances.yaml:2: float32.ratio must be a number above 0, not nan",
    ),
    "infinite": (
        "defaults:\n  float32: {ratio: .inf}\n",
        "tolerances.yaml:2: float32.ratio must be a number above 0, not inf",
    ),
    "null": (
        "defaults:\n  float32: {ratio: }\n",
        "tolerances.yaml:2: float32.ratio must be a number above 0, not None",
    ),
    "duplicate_check": (
        "defaults:\n  exact: {rtol: 1.0e-10}\n  exact: {rtol: 1.0e-9}\n",
        "tolerances.yaml:3: not YAML: found duplicate key \"exact\" with value \"{'rtol': 1e-09}\" "
        "(original value: \"{'rtol': 1e-10}\")",
    ),
    "duplicate_case": (
        f"{DEFAULTS}layers:\n  toy/gain: {{}}\n  toy/norm: {{}}\n  toy/gain: {{}}\n",
        "tolerances.yaml:7: not YAML: found duplicate key \"toy/gain\" with value \"{}\" (original value: \"{}\")",
    ),
    "unclosed": (
        "defaults:\n  exact: {rtol: 1.0e-10\nlayers: {}\n",
        "tolerances.yaml:3: not YAML: expected ',' or '}', but got ':'",
    ),
    "tab": (
        "defaults:\n\texact: {rtol: 1}\n",
        "tolerances.yaml:2: not YAML: found character '\\t' that cannot start any token",
    ),
    "two_documents": (
        f"{DEFAULTS}---\nlayers: {{}}\n",
        "tolerances.yaml:4: not YAML: but found another document",
    ),
}  # fmt: skip


@pytest.mark.parametrize("mistake", BROKEN)
def test_mistake_is_told_with_its_line(tmp_path: Path, mistake: str) -> None:
    """One line: the file, the line, what is wrong with both values, and what would be right."""
    text, message = BROKEN[mistake]
    assert told(tmp_path, text) == message


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "defaults:\nlayers:\n", "{}\n", "defaults: {}\n"])
def test_empty_file_has_no_bounds(tmp_path: Path, text: str) -> None:
    """It is no mistake until something is judged; then it is told that the bound is missing."""
    tolerances = written(tmp_path, text)
    assert tolerances.bounds("toy/gain", "exact") == ()
    with pytest.raises(BadInput) as error:
        tolerances.judge("toy/gain", "exact", Error({"rtol": 0.0}))
    assert str(error.value) == (
        "tolerances.yaml has no bound for the check 'exact' of toy/gain: add one under defaults"
    )


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    """A file that is not UTF-8, or has control characters, is no YAML."""
    (tmp_path / "tolerances.yaml").write_bytes(b"defaults:\n  \xff\xfe: 1\n")
    with pytest.raises(BadInput, match=r"^tolerances\.yaml: not YAML: 'utf-8' codec can't decode byte 0xff"):
        read(tmp_path, CASES)
    assert told(tmp_path, "defaults: \x00\n").startswith("tolerances.yaml: not YAML: ")


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder in its place, or nothing at all, is told with the path."""
    with pytest.raises(BadInput) as error:
        read(tmp_path, CASES)
    assert str(error.value) == f"{tmp_path / 'tolerances.yaml'}: No such file or directory"
    (tmp_path / "tolerances.yaml").mkdir()
    with pytest.raises(BadInput, match="Is a directory"):
        read(tmp_path, CASES)


def test_entries_of_a_port_that_could_not_be_loaded(tmp_path: Path) -> None:
    """With a broken case file, a case that is not there may be one that is broken; of other ports it is not."""
    text = f"{DEFAULTS}layers:\n  other/gain:\n    exact: {{rtol: 1.0e-11}}\n"
    assert told(tmp_path, text) == "tolerances.yaml:5: unknown case 'other/gain'; did you mean 'toy/gain'?"
    assert read(tmp_path, CASES, ["other"]).bounds("other/gain", "exact")[0].value == 1e-11
    with pytest.raises(BadInput):
        read(tmp_path, CASES, ["else"])


def test_measured_and_comments_are_let_be(tmp_path: Path) -> None:
    """What calibration writes beside a bound is read over."""
    tolerances = written(
        tmp_path,
        f"# why\n{DEFAULTS}layers:\n  toy/gain:  # soon\n    float32: {{ratio: 2, measured: {{ratio: 1.3, "
        "rtol: 1.1e-7, examples: 20000, seeds: 3, versions: {jax: 0.10}, date: 2026-11-22, fingerprint: 5f2c}}\n",
    )
    assert [bound.value for bound in tolerances.bounds("toy/gain", "float32")] == [2.0]


def test_the_projects_own_file_is_sound() -> None:
    """The defaults that are committed: exact at 1e-10, float32 within four times the reference's error."""
    cases = {f"llama/{path.stem.removeprefix('case_')}" for path in (ROOT / "cases" / "llama").glob("case_*.py")}
    tolerances = read(ROOT, cases)
    assert tolerances.judge("any/layer", "exact", Error({"rtol": 1e-11})).passed
    assert not tolerances.judge("any/layer", "exact", Error({"rtol": 2e-10})).passed
    assert not tolerances.judge("any/layer", "float32", Error({"ratio": 4.1})).passed
