"""A run as one HTML file that needs nothing else: no network, no other file, and it reads without its script too."""

import base64
import dataclasses
import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from parity.measure.audited import Audit
from parity.report.depth import Culprit, Located
from parity.report.failure import fault, has_arbiter, worst
from parity.report.matrix import GRAVEST, WORDS, group_of, is_held, matrix
from parity.report.numbers import example_short, passing, plain, share
from parity.report.plots import curve, spreads
from parity.report.verdict import SYMBOLS, blocked, counts, verdict
from parity.results import Result, Results

LARGEST = 2_000_000  # bytes: what opens at once everywhere, and what a mail still takes
SHOWN = 100  # failures in full, where all of them would be too much
ROWS = 500  # layers, likewise
LONGEST = 4000  # characters of one message
HEAT = (0.001, 0.01, 0.1, 0.5)  # shares of a limit at which the shade of a square changes


def render(results: Results, *, located: Located | None = None, audit: Audit | None = None) -> str:
    """The whole report; shorter, and saying so, where it would be too large for one file.

    Args:
        results: of a run.
        located: where the whole model parts from its reference, if that was asked.
        audit: the faults that were injected at every operation, if they were.
    """
    for every, shown, rows in ((True, None, None), (False, SHOWN, None), (False, SHOWN, ROWS)):
        text = _rendered("report.html", results, located=located, audit=audit, every=every, shown=shown, rows=rows)
        if len(text.encode()) <= LARGEST:
            break
    return text


def fragment(results: Results) -> str:
    """The verdict, the table and the failures, for a notebook's output: no script, and a style of its own only."""
    return _rendered("fragment.html", results, shown=SHOWN)


def _rendered(
    template: str,
    results: Results,
    *,
    located: Located | None = None,
    audit: Audit | None = None,
    every: bool = True,
    shown: int | None = None,
    rows: int | None = None,
) -> str:
    """A template with all that it may show; of failures the first `shown`, of layers the gravest `rows`."""
    whole = matrix(results.results)
    kept = sorted(whole.rows, key=lambda row: GRAVEST.index(row.status))[:rows] if rows else whole.rows
    drawn = [result for row in kept for result in row.results]
    failed = [result for result in results.results if result.status in ("failed", "error")]
    rejects = [result.status == "passed" for result in results.results if group_of(result) == "rejects"]
    return page(
        template,
        found=results,
        results=results,
        verdict=verdict(results),
        counts=counts(results),
        matrix=dataclasses.replace(whole, rows=tuple(kept)),
        layers_left_out=len(whole.rows) - len(kept),
        failures=[_failure(result, located) for result in failed[:shown]],
        left_out=len(failed) - len(failed[:shown]),
        blocked=blocked(results.results),
        held=[_held(result) for result in drawn if is_held(result)],
        spreads=spreads(drawn),
        located=located,
        curve=curve(located) if located else None,
        rejects=(sum(rejects), len(rejects)),
        audit=audit,
        every=every,
    )


def page(template: str, **values: Any) -> str:
    """A template with its values, all text in them escaped, and with the one style and the one script."""
    own: dict[str, Any] = {"policy": _policy(), "style": _asset("report.css"), "script": _asset("report.js")}
    return _templates().get_template(template).render(**values, **own)


@functools.cache
def _templates() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("parity.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    globals_: dict[str, Any] = environment.globals
    globals_.update(words=WORDS, symbols=SYMBOLS)
    environment.filters.update(share=share, plain=plain, shade=_shade, brief=_brief, sortable=_sortable)
    return environment


@functools.cache
def _asset(name: str) -> Markup:
    """A style or a script of our own, as it stands in the page: not escaped."""
    loader = _templates().loader
    assert loader is not None
    return Markup(loader.get_source(_templates(), name)[0])


@functools.cache
def _policy() -> str:
    """What the page may load: nothing; what it may run: the one script and the one style that stand in it."""
    style, script = (hashlib.sha256(_asset(name).encode()).digest() for name in ("report.css", "report.js"))
    return "; ".join(
        (
            "default-src 'none'",
            f"style-src 'sha256-{base64.b64encode(style).decode()}'",
            f"script-src 'sha256-{base64.b64encode(script).decode()}'",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _failure(result: Result, located: Located | None) -> Mapping[str, Any]:
    """What a failure's block says, a text a part; None where there is nothing to say."""
    head, *more = _brief(fault(result)).split("\n")
    culprits: Sequence[Culprit] = [c for c in located.culprits if c.case == result.case] if located else []
    return {
        "result": result,
        "head": head,
        "more": [line.strip() for line in more],
        "worst": worst(result.worst, exact=has_arbiter(result)).removeprefix("worst ") if result.worst else None,
        "example": example_short(result.example) if result.example else None,
        "causes": list(dict.fromkeys(cause for culprit in culprits for cause in culprit.cause)),
    }


def _held(result: Result) -> Mapping[str, Any]:
    """A line of the table of tolerances."""
    assert result.limit is not None
    measured = result.measured[result.limit.name]
    room = result.limit.value / measured if measured else math.inf
    return {"result": result, "worst": measured, "passing": passing(measured), "room": room,
            "used": math.inf if math.isnan(measured) else measured / result.limit.value}  # fmt: skip


def _shade(used: float | None) -> str:
    """The class of a square: how much of its limit was used, in five steps."""
    return "h" if used is None else f"h{sum(used >= step for step in HEAT)}"


def _sortable(value: float | None) -> str:
    """A number as the page's script reads it; inf and NaN stand behind all others."""
    return "" if value is None else repr(float(value)) if math.isfinite(value) else "1e999"


def _brief(text: str | None) -> str:
    text = text or ""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]} … ({len(text) - LONGEST} characters more)"
