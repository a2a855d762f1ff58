"""The tables of a run: a line a case, and a line a bound."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from parity.report.numbers import passing, share
from parity.results import Result

COUNTED = ("rejects", "accepts")  # kinds of check of which a case has many: how many passed is said
KINDS = (*COUNTED, "rounded")  # kinds that share a column
WORDS = {"passed": "ok", "failed": "FAIL", "blocked": "blocked", "skipped": "skip", "error": "ERROR", "todo": "todo"}
COLOURS = {
    "passed": "green",
    "failed": "bold red",
    "error": "bold red",
    "blocked": "yellow",
    "skipped": "dim",
    "todo": "dim",
}
GRAVEST = ("error", "failed", "blocked", "todo", "skipped", "passed")
GAP = 2


def cases_tables(results: Sequence[Result], width: int) -> list[Table]:
    """One line a case, one column a check: the verdict, and the share of its limit that the worst example used.

    As many tables as the columns need; each is within `width` where a column can be.
    """
    results = [result for result in results if result.check != "import"]  # a broken file is no case
    cases = list(dict.fromkeys(result.case for result in results))
    groups = dict.fromkeys(group_of(result) for result in results)
    columns: dict[str, list[Text]] = {}
    for group in sorted(groups, key=lambda group: group in COUNTED):
        members = [[r for r in results if r.case == case and group_of(r) == group] for case in cases]
        columns[group] = [_counted(own) if group in COUNTED else _cell(own) for own in members]
    return [_table(cases, {name: columns[name] for name in part}) for part in _parts(cases, columns, width)]


def tolerance_table(results: Sequence[Result]) -> Table:
    """By layer and check: the bound that was nearest, the worst that was measured, and the smallest that would pass."""
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in ("tolerance", "check", "measure"):
        table.add_column(name, no_wrap=True, overflow="fold")
    for name in ("limit", "worst", "would pass", "used"):
        table.add_column(name, no_wrap=True, justify="right")
    before = ""
    for result in results:
        limit = result.limit
        if (
            group_of(result) in COUNTED
            or result.status == "blocked"
            or limit is None
            or limit.name not in result.measured
        ):
            continue
        worst = result.measured[limit.name]
        used = worst / limit.value
        table.add_row(
            result.case if result.case != before else "",
            result.check,
            limit.name,
            f"{limit.value:g}",
            f"{worst:.3g}",
            f"{passing(worst):g}",
            Text(share(used), style="bold red" if used > 1 else ""),
        )
        before = result.case
    return table


def group_of(result: Result) -> str:
    """The column that a result stands in."""
    kind = result.check.partition(":")[0]
    return kind if kind in KINDS else result.check


def _parts(cases: Sequence[str], columns: dict[str, list[Text]], width: int) -> list[list[str]]:
    """Column names, in as many rows of columns as their widths need."""
    first = max(map(len, ("case", *cases)))
    parts: list[list[str]] = [[]]
    used = first
    for name, cells in columns.items():
        needed = GAP + max(len(name), *(cell.cell_len for cell in cells))
        if parts[-1] and used + needed > width:
            parts.append([])
            used = first
        parts[-1].append(name)
        used += needed
    return parts


def _table(cases: Sequence[str], columns: dict[str, list[Text]]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold")
    for name in ("case", *columns):
        table.add_column(name, no_wrap=True, overflow="fold")
    for number, case in enumerate(cases):
        table.add_row(case, *(cells[number] for cells in columns.values()))
    return table


def _cell(results: Sequence[Result]) -> Text:
    if not results:
        return Text("-", style="dim")
    status = min((result.status for result in results), key=GRAVEST.index)
    shares = [result.used for result in results if result.status == status and result.used is not None]
    used = share(max(shares)) if shares and status in ("passed", "failed") else ""
    return Text(f"{WORDS[status]} {used}".rstrip(), style=COLOURS[status])


def _counted(results: Sequence[Result]) -> Text:
    if not results:
        return Text("-", style="dim")
    gravest = min((result.status for result in results), key=GRAVEST.index)
    passed = sum(result.status == "passed" for result in results)
    word = "" if gravest == "passed" else f" {WORDS[gravest]}"
    return Text(f"{passed}/{len(results)}{word}", style=COLOURS[gravest])
