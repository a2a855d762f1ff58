"""The bench: both streams of each layer are measured on both sides, and told as a table, JSON and a picture."""

import json
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from parity.cli import main
from parity.measure.bench import PARTS, Bench, bench
from parity.report.bench import picture, render
from parity.session import Workspace
from parity.tests import gain, toy


@pytest.fixture(scope="module")
def measured() -> Bench:
    case = gain.case()
    workspace = Workspace(gain.registry(case), gain.tolerances())
    return bench(workspace, [case], overrides={case.name: {"width": 5}}, examples=12, fresh=3)


def test_each_stream_is_measured_on_both_sides(measured: Bench) -> None:
    """Times are positive, and the plain loop ran some examples of every configuration and called none wrong."""
    pool, fresh = measured.rows
    assert (pool.stream, fresh.stream) == ("pool", "fresh")
    assert pool.examples == 12
    for row in measured.rows:
        assert min(row.harness, row.warm, row.bare, row.plain) > 0
        assert row.plain_alarms == 0
        assert row.factor == row.plain / row.harness
    assert pool.plain_run == 2 * 3  # two forms of the one width that is left, a first example and two later ones
    assert fresh.plain_run == 1


def test_the_parts_add_up_to_about_the_whole(measured: Bench) -> None:
    """Everything that the harness does has a name; a second pass differs by noise, and by what runs once a process."""
    for row in measured.rows:
        assert set(row.parts) == set(PARTS)
        assert 0.05 * row.harness < sum(row.parts.values()) < 5 * row.harness


def test_it_reads_within_eighty_columns(measured: Bench) -> None:
    """A line a stream in each of two tables, and what it was measured on."""
    text = render(measured)
    assert max(map(len, text.splitlines()[:3])) <= 80
    assert text.count("toy/gain") == 2 * len(measured.rows)
    assert "one torch thread" in text


def test_the_picture_is_svg_with_every_bar_named(measured: Bench) -> None:
    """Well-formed, of this bench, and the same each time it is drawn."""
    root = ElementTree.fromstring(picture(measured))
    assert root.tag.endswith("svg")
    assert sum("toy/gain" in (node.text or "") for node in root.iter()) == 2
    assert picture(measured) == picture(measured)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    root = toy.write(tmp_path / "root")
    monkeypatch.chdir(root)
    with toy.imports():
        yield root


def test_json_and_picture_are_written(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """JSON alone on stdout with `-`, the picture in its file."""
    status = main(["bench", "scale", "--examples", "4", "--fresh", "2", "--json", "-", "--picture", "bench.svg"])
    out = capsys.readouterr().out
    assert status == 0
    assert [row["case"] for row in json.loads(out)["rows"]] == ["toy/scale", "toy/scale"]
    assert (folder / "bench.svg").read_text().startswith("<?xml")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["bench", "scales"], "unknown case 'scales'; did you mean"),
        (["bench", "--json", "none/here.json"], "none/here.json: there is no folder none"),
    ],
    ids=["name", "place"],
)
def test_wrong_use_is_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    """Status 2, and nothing is measured."""
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith(f"parity: error: {told}")
