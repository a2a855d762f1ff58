"""A search as HTML, as Markdown, and read back: the verdict first, both lines, nothing that a text makes of itself."""

import json
import re
from pathlib import Path

import pytest

from parity.errors import BadInput
from parity.located import Culprit, Located, Operation, Place
from parity.report import located, markdown
from parity.report.json import read_located
from parity.tests import made_results as made

OPERATION = Operation(
    primitive="mul",
    port_file="cases/x/port/norm.py",
    port_line=3,
    port_source=f"y = x * 2  # {made.HOSTILE}",
    reference_file="a/b.py",
    reference_line=7,
    reference_source="y = x * 3",
)


def found(*, places: int = 5, path: str = "layers.3") -> Located:
    """A search with a culprit at a path, after some places."""
    culprit = Culprit(
        path=path, case="x/layer", reason="fails", operation=OPERATION, cause=(f"consistent with {made.HOSTILE}",)
    )
    around = [
        Place(path=f"layers.{n}", case="x/layer", layer=n, own=0.1, own_error=1e-15, inherited=1e-9)
        for n in range(places)
    ]
    bad = Place(path=path, case="x/layer", layer=3, own=float("inf"), own_error=0.5, inherited=None, status="failed")
    return Located(
        port="x",
        inputs=made.HOSTILE,
        environment={"torch": "2.13.0"},
        places=(*around, bad),
        culprits=(culprit,),
        not_checked=(f"a thing {made.HOSTILE}",),
    )


def test_a_page_says_who_why_and_where() -> None:
    """The verdict is its first heading; both lines, the suggested cause, the curve and the notes are in it."""
    text = located.html(found())
    heads = re.findall(r"<h[12][^>]*>(.*?)</h[12]>", text)
    assert heads[0].endswith("x: they part at 1 place")
    assert heads[1:] == ["Where the whole model parts", "Environment", "Not checked"]
    for said in ("cases/x/port/norm.py:3", "a/b.py:7", "consistent with", "a thing", "<polyline", "All 6 places"):
        assert said in text


def test_no_text_of_a_search_becomes_markup() -> None:
    """What is hostile is escaped, wherever it stands."""
    text = located.html(found(path=made.HOSTILE))
    assert "<img" not in text
    assert text.count("<script>") == 1
    bare = re.sub("`+[^\n]*`+", "", located.markdown(found(path=made.HOSTILE)))
    assert "<img" not in bare.replace("\\<img", "")


def test_a_clean_search_says_so() -> None:
    """No divergence, in the heading and in the text."""
    clean = Located(port="x", places=found().places[:2])
    assert "x: no divergence found" in located.html(clean)
    assert located.markdown(clean).startswith("## ✅ x: no divergence found\n")


def test_a_deep_search_stays_under_60_kb() -> None:
    """The culprit and what was not checked stay; places are left out, and counted."""
    text = located.markdown(found(places=3000))
    assert len(text.encode()) <= markdown.LARGEST
    assert "**layers.3**" in text
    assert "more places; the JSON and the HTML report have all" in text
    assert text.rstrip().splitlines()[-1].startswith("- a thing")


def test_a_search_is_read_back(tmp_path: Path) -> None:
    """As it was written, infinite shares too."""
    file = tmp_path / "located.json"
    file.write_text(found().model_dump_json(by_alias=True))
    assert read_located(file) == found()


@pytest.mark.parametrize(
    ("change", "said"), [({"schema": 9}, "schema 9"), ({"port": 1}, "port: "), ({"odd": 1}, "odd: ")]
)
def test_a_broken_file_is_one_line(tmp_path: Path, change: dict[str, object], said: str) -> None:
    """Another schema, another type, a key that there is not."""
    file = tmp_path / "located.json"
    file.write_text(json.dumps({**json.loads(found().model_dump_json(by_alias=True)), **change}))
    with pytest.raises(BadInput, match=said):
        read_located(file)
