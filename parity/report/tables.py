"""The tables of a run: a line a case, and a line a bound."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from parity.report.matrix import Cell, Matrix, is_held, matrix
from parity.report.numbers import passing, share
from parity.results import Result

COLOURS = {
    "passed": "green",
    "failed": "bold red",
    "error": "bold red",
    "blocked": "yellow",
    "skipped": "dim",
    "todo": "dim",
    None: "dim",
}
GAP = 2


def cases_tables(results: Sequence[Result], width: int) -> list[Table]:
    """One line a case, one column a check: the verdict, and the share of its limit that the worst example used.

    As many tables as the columns need; each is within `width` where a column can be.
    """
    found = matrix(results)
    return [_table(found, part) for part in _parts(found, width)]


def tolerance_table(results: Sequence[Result]) -> Table:
    """By layer and check: the bound that was nearest, the worst that was measured, and the smallest that would pass.

    A layer has a line of its own, since its name and its checks' side by side leave no room for numbers in 80 columns.
    """
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in ("tolerance", "measure"):
        table.add_column(name, no_wrap=True, overflow="fold")
    for name in ("limit", "worst", "would pass", "used"):
        table.add_column(name, no_wrap=True, justify="right")
    before = ""
    for result in filter(is_held, results):
        limit = result.limit
        assert limit is not None
        worst = result.measured[limit.name]
        used = worst / limit.value
        if result.case != before:
            table.add_row(result.case)
        table.add_row(
            f"  {result.check}",
            limit.name,
            f"{limit.value:g}",
            f"{worst:.3g}",
            f"{passing(worst):g}",
            Text(share(used), style="bold red" if used > 1 else ""),
        )
        before = result.case
    return table


def _parts(found: Matrix, width: int) -> list[list[int]]:
    """Columns by number, in as many rows of columns as their widths need."""
    first = max(map(len, ("case", *(row.case for row in found.rows))))
    parts: list[list[int]] = [[]]
    used = first
    for number, name in enumerate(found.columns):
        needed = GAP + max(len(name), *(len(row.cells[number].text) for row in found.rows))
        if parts[-1] and used + needed > width:
            parts.append([])
            used = first
        parts[-1].append(number)
        used += needed
    return parts


def _table(found: Matrix, part: Sequence[int]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in ("case", *(found.columns[number] for number in part)):
        table.add_column(name, no_wrap=True, overflow="fold")
    for row in found.rows:
        table.add_row(row.case, *(_styled(row.cells[number]) for number in part))
    return table


def _styled(cell: Cell) -> Text:
    return Text(cell.text, style=COLOURS[cell.status])
