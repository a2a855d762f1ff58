"""A port's speed: both sides do the same jobs in turns, and it is told as a table, JSON and a picture."""

import contextlib
import dataclasses
import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from parity.case import Suite, Workload
from parity.cli import main
from parity.errors import BadInput
from parity.measure import speed
from parity.measure.speed import LEAST, Side, Speed, Timed
from parity.report.speed import picture, render
from parity.tests import gain, toy

PLACE = {"torch": "2", "jax": "0", "flax": "0", "cpus": 2}
SUITE = """\
import os
import sys
import time

import parity


def sleeping(seconds):
    return lambda: lambda: time.sleep(seconds)


def told_to():
    print("what a job prints is no answer")
    return lambda: time.sleep(float(os.environ.get("TOY_SECONDS", "0.05")))


def failing():
    return lambda: sys.exit("no more memory")


suite = parity.Suite(
    name="toy", references=(), whole="toy/pair", config=dict, architectures=("toy",),
    workloads={
        "step": parity.Workload(
            port=sleeping(0.001), references={"eager": sleeping(0.02), "compiled": sleeping(0.01)}, tokens=4, reads=1000
        ),
        "depth": parity.Workload(port=sleeping(0.001)),
        "told": parity.Workload(port=told_to, references={"eager": told_to}, environment={"TOY_SECONDS": "0.001"}),
        "failing": parity.Workload(port=failing),
    },
)
"""


def side(name: str, each: float) -> Side:
    return Side(name=name, first=10 * each, each=each, times=5)


def timed(name: str, *, tokens: int = 0, reads: int = 0, references: tuple[Side, ...] = ()) -> Timed:
    return Timed(name=name, tokens=tokens, reads=reads, port=side("port", 0.010), references=references)


@pytest.fixture
def measured() -> Speed:
    both = (side("eager", 0.040), side("torch.compile", 0.025))
    rows = (timed("training step, 4 x 128", tokens=1, reads=2 * 10**8, references=both), timed("a step, 30 layers"))
    return Speed(environment=PLACE, bandwidth=5e10, rows=rows)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = toy.write(tmp_path / "root")
    (root / "cases" / "toy" / "suite.py").write_text(SUITE)
    monkeypatch.chdir(root)
    monkeypatch.setattr(speed, "bandwidth", lambda **options: 1e9)
    with toy.imports():
        yield root


def test_the_fastest_reference_counts(measured: Speed) -> None:
    """The factor is over it; the share is what has to be read over what could be; without a reference, neither."""
    first, second = measured.rows
    assert first.reference == side("torch.compile", 0.025)
    assert first.factor == pytest.approx(2.5)
    assert measured.share(first) == pytest.approx(0.4)
    assert (second.reference, second.factor, measured.share(second)) == (None, None, None)


def test_each_side_is_started_once_and_has_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first time is kept apart, since that is when a side compiles; then a job is done twice a turn."""
    done: list[str] = []
    started: list[tuple[str, str, Mapping[str, str]]] = []

    @contextlib.contextmanager
    def start(
        root: Path, port: str, job: str, side: str, environment: Mapping[str, str]
    ) -> Iterator[Callable[[], float]]:
        started.append((job, side, environment))
        yield lambda: done.append(side) or float(len(done))
        done.append(f"{side} ended")

    monkeypatch.setattr(speed, "bandwidth", lambda **options: 1e9)
    monkeypatch.setattr(speed, "SECONDS", 0.0)
    never: Callable[[], Callable[[], None]] = lambda: pytest.fail("made in this process")  # noqa: E731
    workload = Workload(port=never, references={"eager": never}, tokens=3, environment={"PAGES": "large"})
    told: list[str] = []
    registry = gain.registry(gain.case())
    found = speed.measure(registry, "toy", {"job": workload}, progress=told.append, start=start)
    assert started == [("job", "port", {"PAGES": "large"}), ("job", "eager", {})]
    assert done == ["port", "eager"] + ["port", "port", "eager", "eager"] * LEAST + ["eager ended", "port ended"]
    (row,) = found.rows
    assert (row.port, row.references) == (
        Side(name="port", first=1.0, each=8.0, times=LEAST),
        (Side(name="eager", first=2.0, each=10.0, times=LEAST),),
    )
    assert (told, row.tokens, row.environment, found.bandwidth) == (["job"], 3, {"PAGES": "large"}, 1e9)


def test_jobs_are_those_of_the_suite() -> None:
    """All, or the named ones; what there is not is told with what is near."""
    workloads = {name: Workload(port=lambda: lambda: None) for name in ("prefill", "decode")}
    suite = Suite(name="toy", references=(), whole="toy/gain", config=dict, architectures=("toy",), workloads=workloads)
    registry = dataclasses.replace(gain.registry(gain.case()), suites={"toy": suite})
    assert list(speed.chosen(registry, "toy", ())) == ["prefill", "decode"]
    assert list(speed.chosen(registry, "toy", ["decode"])) == ["decode"]
    with pytest.raises(BadInput, match="toy has no job 'decoding'; did you mean"):
        speed.chosen(registry, "toy", ["decoding"])


def test_it_reads_within_eighty_columns(measured: Speed) -> None:
    """Both sides in milliseconds, and a dash for what is not known."""
    text = render(measured)
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == [
        "training",
        "step,",
        "4",
        "x",
        "128",
        "10.0",
        "25.0",
        "torch.compile",
        "2.50",
        "100",
        "40%",
        "0.1",
    ]
    assert lines[2].split() == ["a", "step,", "30", "layers", "10.0", "-", "-", "-", "-", "-", "0.1"]
    assert "the share of 50.0 GB/s" in text


def test_the_picture_has_a_bar_for_each_reference(measured: Speed) -> None:
    """Well-formed, with both factors on their bars, and the same each time it is drawn."""
    drawn = picture(measured)
    texts = [node.text for node in ElementTree.fromstring(drawn).iter() if node.text]
    assert {"4.00", "2.50", "eager", "torch.compile", "training step, 4 x 128"} <= set(texts)
    assert "a step, 30 layers" not in texts
    assert drawn == picture(measured)


def test_a_port_is_timed_by_name(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Slow references are slower: the factor, the tokens and the share come from what was timed."""
    assert main(["bench", "--port", "toy", "step", "--json", "-", "--picture", "speed.svg"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["rows"]
    assert [side["name"] for side in (row["port"], *row["references"])] == ["port", "eager", "compiled"]
    assert row["port"]["each"] < row["references"][1]["each"] < row["references"][0]["each"]
    assert (row["tokens"], row["reads"]) == (4, 1000)
    assert (folder / "speed.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--port", "toys"], "unknown port 'toys'; did you mean"),
        (["--port", "toy", "steps"], "toy has no job 'steps'; did you mean"),
        (["--port", "toy", "--picture", "none/here.svg"], "none/here.svg: there is no folder none"),
    ],
    ids=["port", "job", "place"],
)
def test_wrong_use_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    """Status 2, and nothing is timed."""
    assert main(["bench", *arguments]) == 2
    assert capsys.readouterr().err.startswith(f"parity: error: {told}")


def test_a_port_without_jobs_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is nothing to time, which is no empty table."""
    root = toy.write(tmp_path / "root")
    monkeypatch.chdir(root)
    with toy.imports():
        assert main(["bench", "--port", "toy"]) == 2


def test_only_the_port_is_given_its_environment(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table names it; what a job prints disturbs nothing."""
    assert main(["bench", "--port", "toy", "told", "--json", "told.json"]) == 0
    (row,) = json.loads(Path("told.json").read_text())["rows"]
    assert row["port"]["each"] < 0.05 <= row["references"][0]["each"]
    assert row["environment"] == {"TOY_SECONDS": "0.001"}
    assert "port of all jobs: TOY_SECONDS=0.001" in capsys.readouterr().out


def test_a_side_that_ends_is_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its last words, and status 2; nothing is written."""
    assert main(["bench", "--port", "toy", "failing", "--json", "none.json"]) == 2
    assert "toy, failing, port: its process ended with status 1: no more memory" in capsys.readouterr().err
    assert not Path("none.json").exists()
