"""A session: what a selection means, and how a run goes, ends and is interrupted."""

import os
from collections.abc import Iterator
from pathlib import Path

import jax
import pytest

from parity import session
from parity.case import Case
from parity.errors import BadInput
from parity.port import cache
from parity.results import Result
from parity.tests import toy


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("PARITY_CACHE", str(tmp_path / "cache"))
    with toy.imports():
        yield


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return toy.write(tmp_path / "root")


def ids(selection: session.Selection) -> list[str]:
    return [f"{case.name}[{check}]" for case, check in selection.pairs]


def test_a_selection_is_bottom_up_with_the_checks_of_a_case_together(root: Path) -> None:
    """The leaf first, then what is made of it."""
    registry = session.load(root).registry
    assert ids(session.select(registry)) == [
        *(f"toy/scale[{c}]" for c in (*toy.CHECKS, "rejects:adds", "accepts:swaps")),
        *(f"toy/pair[{c}]" for c in toy.CHECKS),
    ]


def test_checks_are_selected_by_id_or_by_kind(root: Path) -> None:
    """`rejects` means all of them."""
    registry = session.load(root).registry
    assert ids(session.select(registry, ["scale"], ["rejects"])) == ["toy/scale[rejects:adds]"]
    assert ids(session.select(registry, ["toy"], ["rejects:adds", "exact"])) == [
        "toy/scale[exact]",
        "toy/scale[rejects:adds]",
        "toy/pair[exact]",
    ]


@pytest.mark.parametrize(
    ("names", "checks", "message"),
    [
        (["sclae"], [], "unknown case 'sclae'; did you mean 'scale' or 'toy/scale'?"),
        ([], ["exat"], "unknown check 'exat'; did you mean 'exact'?"),
        ([], ["rejects:add"], "unknown check 'rejects:add'; did you mean 'rejects:adds' or 'rejects'?"),
        (["pair"], ["rejects:adds"], "nothing was selected: toy/pair has no check rejects:adds"),
    ],
    ids=["layer", "check", "fault", "nothing"],
)
def test_a_wrong_name_is_told_with_the_nearest(root: Path, names: list[str], checks: list[str], message: str) -> None:
    """And so is a selection of nothing."""
    with pytest.raises(BadInput) as caught:
        session.select(session.load(root).registry, names, checks)
    assert str(caught.value) == message


def test_a_case_that_declares_neither_batch_nor_laws_is_said_to(root: Path) -> None:
    """`transforms` has less to ask of it, which must be seen."""
    path = root / "cases" / "toy" / "case_pair.py"
    path.write_text(path.read_text().replace('    batch={"x": 0},\n    laws={"rows": case_scale.rows},\n', ""))
    registry = session.load(root).registry
    line = "toy/pair declares no batch and no laws: `transforms` does not ask for them"
    assert line in session.select(registry, ["toy"]).not_checked
    assert line not in session.select(registry, ["toy"], ["exact"]).not_checked
    assert not any("toy/scale declares" in said for said in session.select(registry).not_checked)


def test_a_right_port_passes_and_what_was_not_checked_is_listed(root: Path) -> None:
    """Skips with their reason, refused fields, equivalents, checks and cases left out."""
    results = session.check("toy/pair", checks=["exact", "structure"], examples=4, root=root)
    assert [(r.id, r.status, r.examples) for r in results.results] == [
        ("toy/pair[structure]", "skipped", 0),
        ("toy/pair[exact]", "passed", 4),
    ]
    assert results.exit_status == 0
    assert results.not_checked == (
        "toy/pair[structure] was skipped: one check is enough here",
        "not selected: toy/scale",
        "not asked for: transfer (1), gradient (1), rounded (2), float32 (1), bfloat16 (1), "
        "float16 (1), eager (3), transforms (1)",
        "toy refuses the field `bias`: it has none",
    )
    assert {"torch", "jax", "flax", "cpus", "threads", "jax_backend"} <= set(results.environment)


def test_a_wrong_leaf_is_told_and_what_rests_on_it_is_marked(tmp_path: Path) -> None:
    """The pair is made of the leaf, and rests on its failure."""
    results = session.check(checks=["exact"], examples=4, root=toy.write(tmp_path / "wrong", wrong=True))
    assert [(r.case, r.status, r.blocked_by) for r in results.results] == [
        ("toy/scale", "failed", None),
        ("toy/pair", "blocked", "toy/scale"),
    ]
    replay = results.results[0].replay
    assert replay is not None
    assert replay.startswith("parity replay toy/scale --check exact --example ")


def test_the_run_stops_at_the_first_failure_if_asked_to(tmp_path: Path) -> None:
    """The rest is listed as not run."""
    root = toy.write(tmp_path / "wrong", wrong=True)
    results = session.check(checks=["exact", "float32"], examples=2, stop_first=True, root=root)
    assert [r.id for r in results.results] == ["toy/scale[exact]"]
    assert results.not_checked[0] == "3 checks were not run: stopped at the first failure"


def test_an_interrupt_keeps_what_was_found_so_far(root: Path) -> None:
    """Ctrl-C in the second check: the first one's result stays."""
    workspace = session.load(root)
    selection = session.select(workspace.registry, ["scale"], ["exact", "float32"])
    seen: list[Result] = []

    def on_start(case: Case, check: str) -> None:
        if check == "float32":
            raise KeyboardInterrupt

    hooks = session.Hooks(on_start=on_start, on_result=seen.append)
    results = session.run(workspace, selection, session.settings(examples=2), hooks=hooks)
    assert [r.id for r in results.results] == [r.id for r in seen] == ["toy/scale[exact]"]
    assert results.interrupted
    assert results.exit_status == 130
    assert results.not_checked[0] == "1 checks were not run: interrupted"


def test_past_the_time_limit_nothing_more_is_started(root: Path) -> None:
    """What is left is skipped, and says so."""
    results = session.check("scale", checks=["exact"], time_limit=0.0, root=root)
    assert [(r.status, r.message) for r in results.results] == [("skipped", "the time limit was reached before")]


def test_a_broken_file_is_an_error_and_the_others_still_run(tmp_path: Path) -> None:
    """The line is named; a selection that does not mean the file only lists it."""
    root = toy.write(tmp_path / "broken", broken=True)
    results = session.check(checks=["exact"], examples=2, root=root)
    told = "cases/toy/case_raises.py:3: AttributeError: module 'parity' has no attribute 'nothing'"
    assert [(r.case, r.status) for r in results.results] == [
        ("cases/toy/case_raises", "error"),
        ("toy/scale", "passed"),
        ("toy/pair", "passed"),
    ]
    assert results.results[0].message == told
    assert results.exit_status == 2
    registry = session.load(root).registry
    assert f"{told}: could not be loaded" in session.select(registry, ["toy/scale"]).not_checked
    assert [b.line for b in session.select(registry, ["raises"]).broken] == [3]


def test_progress_is_told_example_by_example(root: Path) -> None:
    """Up to the number asked for."""
    workspace = session.load(root)
    told: list[tuple[int, int]] = []
    hooks = session.Hooks(on_progress=lambda done, asked: told.append((done, asked)))
    selection = session.select(workspace.registry, ["scale"], ["exact"])
    session.run(workspace, selection, session.settings(examples=3), hooks=hooks)
    assert told == [(1, 3), (2, 3), (3, 3)]


def test_compilations_are_kept_on_disk_and_settings_restored(tmp_path: Path) -> None:
    """Whatever their time; outside, nothing is written."""
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = [getattr(jax.config, name) for name in names]
    with cache.persistent(tmp_path / "xla"):
        jax.jit(lambda x: x * 3 + 0.123)(jax.numpy.ones(5)).block_until_ready()
    kept = len(list((tmp_path / "xla").iterdir()))
    jax.jit(lambda x: x * 3 + 0.456)(jax.numpy.ones(5)).block_until_ready()
    assert kept > 0
    assert len(list((tmp_path / "xla").iterdir())) == kept
    assert [getattr(jax.config, name) for name in names] == before


def test_the_kept_compilations_stay_within_bounds(tmp_path: Path) -> None:
    """The longest unused go first."""
    for number in range(4):
        (tmp_path / str(number)).write_bytes(b"x" * 10)
        os.utime(tmp_path / str(number), (number, number))
    cache._prune(tmp_path, largest=25)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "3"]


def test_a_folder_that_cannot_be_made_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And the run goes on without."""
    (tmp_path / "file").touch()
    for _ in range(2):
        with cache.persistent(tmp_path / "file" / "cache"):
            pass
    assert capsys.readouterr().err == f"parity: compilations are not kept: {tmp_path}/file/cache: Not a directory\n"
