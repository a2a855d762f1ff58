"""Where a port and its reference part, as one HTML file that needs nothing else, and as Markdown."""

from parity.located import Located
from parity.report import html as pages
from parity.report import markdown as texts
from parity.report.locate import asked, title
from parity.report.plots import curve
from parity.report.verdict import SYMBOLS


def html(found: Located) -> str:
    """The whole search as a page: verdict, culprits, error through depth, every place, what was not checked."""
    status = "failed" if found.culprits else "passed"
    return pages.page(
        "located.html",
        found=found,
        located=found,
        curve=curve(found),
        verdict={"status": status, "symbol": SYMBOLS[status], "text": title(found)},
        asked=asked(found),
    )


def to_json(found: Located) -> str:
    """The search as JSON text; see `parity.located` for what it holds."""
    return found.model_dump_json(by_alias=True, indent=2) + "\n"


def markdown(found: Located) -> str:
    """The same for a pull request, under 60 kB: the culprits whole, of the places as many as fit."""
    head = [f"## {texts.ICONS['failed' if found.culprits else 'passed']} {texts.escaped(title(found))}"]
    blocks = (
        ([*head, "", f"{texts.escaped(asked(found))}."], "lines"),
        (texts.depth(found), "lines"),
        (_places(found), "places"),
        (texts.environment(found.environment), "lines"),
    )
    return texts.joined(blocks, texts.not_checked(found.not_checked))


def _places(found: Located) -> list[str]:
    """A row a place, in order of execution."""
    rows = [
        [
            texts.escaped(f"{place.path or '(the whole)'}{f' #{place.call}' if place.call else ''}"),
            texts.escaped(place.case or "-"),
            place.status,
            *("-" if x is None else f"{x:.1e}" for x in (place.own_error, place.inherited, place.own)),
        ]
        for place in found.places
    ]
    heads = ["place", "case", "status", "own error", "inherited", "used"]
    return texts.folded("Error through depth", texts.table(heads, rows, numbers=3))
