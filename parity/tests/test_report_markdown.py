"""The Markdown report, read as GitHub reads it: one table, failures, nothing that a text makes of itself."""

import re
from html.parser import HTMLParser

import pytest
from markdown_it import MarkdownIt

from parity.report import markdown
from parity.results import Result
from parity.tests import made_results as made


class Words(HTMLParser):
    """What a page says, without its tags."""

    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def rendered(text: str) -> str:
    return MarkdownIt("commonmark").enable("table").enable("strikethrough").render(text)


def shown(text: str) -> str:
    """The words of a rendered text, without markup and the marks that hold calls apart."""
    page = Words()
    page.feed(rendered(text))
    return " ".join("".join(page.words).replace("\u200b", "").split())


def test_the_verdict_comes_first_and_what_was_not_checked_last() -> None:
    """A heading with a symbol and words; the list of what was left out ends it."""
    lines = markdown.render(made.results()).splitlines()
    assert lines[0].startswith("## ❌ toy: 1 layer can't be judged (toy/last); 1 layer fails (toy/scale); ")
    assert lines[-2] == "- toy/odd: not selected"
    assert "### Not checked" in lines


def test_the_table_has_a_row_a_layer_and_a_column_a_check() -> None:
    """As the terminal's, with a symbol before each word."""
    lines = markdown.render(made.results(made.PASSED, made.FAILED)).splitlines()
    assert "| case | exact | float32 |" in lines
    assert "| toy/scale | ✅ ok 3e-05 | ❌ FAIL 2e+05 |" in lines


def test_a_failure_s_command_stands_in_one_piece() -> None:
    """In a block of its own, not wrapped."""
    assert f"  replay: {made.FAILED.replay}" in markdown.render(made.results()).splitlines()


def test_no_text_of_a_run_becomes_markup() -> None:
    """What is hostile is shown as it is; nobody is called, nothing is linked."""
    hostile = Result(case=made.HOSTILE, check=made.HOSTILE, status="failed", message=made.HOSTILE)
    text = markdown.render(made.results(hostile))
    bare = re.sub("^```text\n.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)  # a block calls nobody
    assert not re.search(r"<(img|script|a|em|del|code)\b", rendered(bare))
    assert made.HOSTILE in shown(text)
    assert "@team" not in bare
    assert "#1" not in bare


@pytest.mark.parametrize("text", ["a`b", "``", "~~~", "x|y", "\x1b[31mred", "two\nlines", "<b>", "www.a.b", "\\"])
def test_escaped_text_is_shown_as_it_is(text: str) -> None:
    """But for control characters and line ends."""
    plain = " ".join("".join(c for c in text.replace("\n", " ") if c.isprintable()).split())
    assert shown(f"- {markdown.escaped(text)}") == plain
    assert shown(f"- {markdown.code(text)}") == plain


def test_a_large_run_stays_under_60_kb_and_says_what_it_leaves_out() -> None:
    """With every fence and fold closed, and its end in place."""
    many = [made.FAILED.model_copy(update={"case": f"toy/layer{i}"}) for i in range(500)]
    notes = tuple(f"note {i} {'x' * 200}" for i in range(500))
    text = markdown.render(made.results(*many).model_copy(update={"not_checked": notes}))
    assert len(text.encode()) < markdown.LARGEST
    assert "more lines about failures; the JSON and the HTML report have all." in text
    assert "### Not checked" in text
    assert len(re.findall("^```", text, re.MULTILINE)) % 2 == 0
    assert text.count("<details>") == text.count("</details>")


def test_depth_names_the_culprit() -> None:
    """With the line of the port and the suggested cause."""
    text = shown(markdown.render(made.results(), located=made.located()))
    assert "layers.1: it fails on the reference's inputs" in text
    assert "cases/toy/port.py:10: x * self.scale * 1.001" in text
    assert "consistent with a factor of 1.001" in text
