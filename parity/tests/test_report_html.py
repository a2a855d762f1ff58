"""The HTML report as text: what it says, in which order, that it needs nothing else, and that it takes no orders."""

import math
import re
from html.parser import HTMLParser

import pytest

from parity.measure.audited import Audit, Layer
from parity.report import html
from parity.results import Result
from parity.tests import made_results as made


class Page(HTMLParser):
    """A page's tags with their attributes, and the text that it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.shown: list[str] = []
        self._inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        self.shown += [] if self._inside in ("style", "script") else [data]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.shown).split())


def test_the_verdict_comes_first_and_what_was_not_checked_last() -> None:
    """The page's first words are what the run came to."""
    text = Page(html.render(made.results())).text
    start = "! toy: 1 layer can't be judged (toy/last); 1 layer fails (toy/scale); 1 layer rests on that (toy/pair)"
    assert text.partition("Skip to the table of layers")[2].strip().startswith(start)
    order = ["Failures", "Layers", "Heat strip", "Distributions", "Tolerances", "Faults", "Every check", "Components"]
    heads = re.findall(r"<h2[^>]*>(.*?)</h2>", html.render(made.results()))
    assert heads == [*order, "Environment", "Not checked"]


def test_a_failure_has_all_that_is_needed_to_go_on() -> None:
    """Both values, the limit and where it is set, the example, the command in one piece."""
    text = Page(html.render(made.results())).text
    for said in (
        "port is 1e+06 times as far from the truth as the reference (allowed 4).",
        "at (0, 1): exact 0.1922363, reference 0.19223632, port 1.540996 (25191875 ulp)",
        "ratio 4, tolerances.yaml:3 (defaults)",
        "size=2, eps=1e-06, x(1, 1, 2) of magnitude 0.001, weights scaled",
        str(made.FAILED.replay),
        "toy/pair [float32]: blocked by toy/scale",
    ):
        assert said in text


def test_no_text_of_a_run_becomes_markup() -> None:
    """Hostile messages, names and notes are shown, and nothing of them is a tag."""
    hostile = Result(case=made.HOSTILE, check=made.HOSTILE, status="failed", message=made.HOSTILE)
    for text in (html.render(made.results(hostile, made.CRASHED)), html.fragment(made.results(hostile))):
        page = Page(text)
        assert [tag for tag, _ in page.tags if tag == "img"] == []
        assert sum(tag == "script" for tag, _ in page.tags) <= 1
        assert all(not name.startswith("on") for _, attributes in page.tags for name in attributes)
        assert "<img src=x onerror=alert(1)>" in page.text


def test_the_page_may_load_nothing_and_names_nothing_to_load() -> None:
    """A policy forbids all but the script and the style that stand in it; no address is in any attribute."""
    page = Page(html.render(made.results(), located=made.located()))
    policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
    assert policy is not None
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    for tag, attributes in page.tags:
        assert tag not in ("link", "iframe", "object", "base", "form")
        assert "src" not in attributes
        assert "style" not in attributes
        assert (attributes.get("href") or "#").startswith("#")


def test_every_table_names_its_columns_and_every_picture_says_what_it_shows() -> None:
    """Headers have a scope, tables a caption, pictures a label."""
    page = Page(html.render(made.results(), located=made.located()))
    count = {tag: sum(each == tag for each, _ in page.tags) for tag in ("table", "caption")}
    assert count["table"] == count["caption"] > 0
    assert all("scope" in attributes for tag, attributes in page.tags if tag == "th")
    pictures = [a for tag, a in page.tags if tag == "svg" and a.get("aria-hidden") != "true"]
    assert pictures
    assert all(picture["role"] == "img" and picture["aria-label"] for picture in pictures)
    targets = {str(a["id"]) for _, a in page.tags if "id" in a}
    assert {str(a["href"])[1:] for tag, a in page.tags if tag == "a"} <= targets


def test_depth_names_the_culprit_with_both_lines_and_a_suggested_cause() -> None:
    """And the failure of that case names the cause too."""
    text = Page(html.render(made.results(), located=made.located())).text
    assert "layers.1 [toy/scale] it fails on the reference's inputs" in text
    assert "cases/toy/port.py:10: x * self.scale * 1.001" in text
    assert "reference.py:7: x * self.weight" in text
    assert text.count("consistent with a factor of 1.001") == 2


def test_an_audit_shows_its_score() -> None:
    """By layer, and for all."""
    audit = Audit(layers=(Layer(case="toy/scale", injected=12, caught=12),))
    assert "toy/scale 12 12 0 0 0 100.00 %" in Page(html.render(made.results(), audit=audit)).text


@pytest.mark.parametrize("number", [60, 3000])
def test_a_large_run_still_is_one_file_that_opens(number: int) -> None:
    """Under 2 MB; what is left out is counted."""
    many = [made.FAILED.model_copy(update={"case": f"toy/layer{i}", "message": "x" * 900}) for i in range(number)]
    text = html.render(made.results(*many))
    assert len(text.encode()) <= html.LARGEST
    assert (f"{number - html.SHOWN} more failures are left out here" in text) == (number == 3000)
    assert (f"{number - html.ROWS} more layers are left out" in text) == (number == 3000)


def test_nan_and_inf_are_beyond_every_limit() -> None:
    """And sort behind all numbers."""
    odd = {"spread": (), "worst": None, "used": math.inf}
    found = [made.FAILED.model_copy(update={**odd, "measured": {"ratio": value}}) for value in (math.nan, math.inf)]
    for one in found:
        text = html.render(made.results(one))
        assert 'data-value="1e999">inf ✗</td>' in text
        assert 'data-value="inf"' not in text
        assert 'data-value="nan"' not in text


def test_a_run_of_nothing_says_so() -> None:
    """No table, no picture, no division by nothing."""
    nothing = made.results().model_copy(update={"results": (), "components": (), "summary": {}})
    assert "! nothing ran" in Page(html.render(nothing)).text
