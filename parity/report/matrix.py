"""A run as a matrix: a row a case, a column a kind of check, a word and a number a cell."""

import dataclasses
from collections.abc import Sequence

from parity.report.numbers import share
from parity.results import Result, Status

COUNTED = ("rejects", "accepts")  # kinds of check of which a case has many: how many passed is said
KINDS = (*COUNTED, "rounded")  # kinds that share a column
WORDS = {"passed": "ok", "failed": "FAIL", "blocked": "blocked", "skipped": "skip", "error": "ERROR", "todo": "todo"}
GRAVEST: tuple[Status, ...] = ("error", "failed", "blocked", "todo", "skipped", "passed")
NOTHING = "-"


@dataclasses.dataclass(frozen=True)
class Cell:
    """What a case's checks of one kind came to. `status` is None where there are none.

    `used` is the largest share of a limit; None where nothing was held against one.
    """

    status: Status | None = None
    text: str = NOTHING
    used: float | None = None


@dataclasses.dataclass(frozen=True)
class Row:
    """A case: its gravest status, its cells in the order of the columns, its results."""

    case: str
    status: Status
    cells: tuple[Cell, ...]
    results: tuple[Result, ...]


@dataclasses.dataclass(frozen=True)
class Matrix:
    """All cases, with the columns that at least one of them has."""

    columns: tuple[str, ...]
    rows: tuple[Row, ...]


def matrix(results: Sequence[Result]) -> Matrix:
    """Cases in the order they ran; a broken file is no case."""
    results = [result for result in results if result.check != "import"]
    cases = dict.fromkeys(result.case for result in results)
    columns = tuple(sorted(dict.fromkeys(map(group_of, results)), key=lambda group: group in COUNTED))
    rows: list[Row] = []
    for case in cases:
        own = tuple(result for result in results if result.case == case)
        cells = tuple(_cell(column, [r for r in own if group_of(r) == column]) for column in columns)
        rows.append(Row(case, gravest(own), cells, own))
    return Matrix(columns, tuple(rows))


def group_of(result: Result) -> str:
    """The column that a result stands in."""
    kind = result.check.partition(":")[0]
    return kind if kind in KINDS else result.check


def gravest(results: Sequence[Result]) -> Status:
    """The status that decides for all."""
    found = {result.status for result in results}
    return next(status for status in GRAVEST if status in found)


def is_held(result: Result) -> bool:
    """Whether a result's measure was held against a bound that concerns the layer itself, and not a variant of it."""
    held = result.limit is not None and result.limit.name in result.measured
    return held and group_of(result) not in COUNTED and result.status != "blocked"


def _cell(group: str, results: Sequence[Result]) -> Cell:
    if not results:
        return Cell()
    status = gravest(results)
    if group in COUNTED:
        passed = sum(result.status == "passed" for result in results)
        word = "" if status == "passed" else f" {WORDS[status]}"
        return Cell(status, f"{passed}/{len(results)}{word}")
    shares = [result.used for result in results if result.status == status and result.used is not None]
    used = max(shares) if shares and status in ("passed", "failed") else None
    return Cell(status, f"{WORDS[status]} {share(used)}".rstrip(), used)
