"""A run for the terminal: a line a case, a block a failure, the tolerances, the verdict, what was not checked."""

import io
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parity.report.failure import failure
from parity.report.numbers import passing, share
from parity.results import STATUSES, Result, Results

GROUPS = ("rejects", "accepts")
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
VERDICTS = {
    0: ("all passed", "bold green"),
    1: ("FAILED", "bold red"),
    2: ("ERROR", "bold red"),
    130: ("interrupted", "bold yellow"),
}


def render(results: Results, *, width: int = 80, color: bool = False) -> str:
    """The whole report as text; words say what colours do, so nothing is lost without them."""
    console = console_of(color)
    print_table(console, cases_table(results.results))
    _failures(console, results.results, width)
    print_table(console, tolerance_table(results.results))
    print_as_is(console, Text("\n"), summary(results))
    if results.canary:
        print_as_is(console, Text(indented(f"canary: {results.canary}", width), style="dim"))
    _not_checked(console, results, width)
    return text_of(console)


def render_summary(results: Results, *, width: int = 80, color: bool = False) -> str:
    """What pytest's own report lacks: the table by case, what is blocked, the tolerances, what was not checked."""
    console = console_of(color)
    print_table(console, cases_table(results.results))
    _blocked(console, results.results, width)
    print_table(console, tolerance_table(results.results))
    _not_checked(console, results, width)
    return text_of(console)


def cases_table(results: Sequence[Result]) -> Table:
    """One line a case, one column a check: the verdict, and the share of its limit that the worst example used."""
    results = [result for result in results if result.check != "import"]  # a broken file is no case
    plain = list(dict.fromkeys(r.check for r in results if _group(r) not in GROUPS))
    groups = [group for group in GROUPS if any(_group(r) == group for r in results)]
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("case", no_wrap=True, overflow="fold")
    for name in (*plain, *groups):
        table.add_column(name, no_wrap=True)
    for case in dict.fromkeys(r.case for r in results):
        own = [r for r in results if r.case == case]
        cells = [_cell([r for r in own if r.check == check]) for check in plain]
        table.add_row(case, *cells, *(_counted([r for r in own if _group(r) == group]) for group in groups))
    return table


def tolerance_table(results: Sequence[Result]) -> Table:
    """By layer: the limit, the worst that was measured, the smallest limit that would pass, and how much is used."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("tolerance", no_wrap=True, overflow="fold")
    for name in ("check", "measure"):
        table.add_column(name, no_wrap=True)
    for name in ("limit", "worst", "would pass", "used"):
        table.add_column(name, no_wrap=True, justify="right")
    for result in results:
        if _group(result) in GROUPS or result.status == "blocked":
            continue
        for measure, value in result.measured.items():
            bound = result.limit if result.limit and result.limit.name == measure else None
            used = value / bound.value if bound else None
            row = (result.case, result.check, measure, f"{bound.value:g}" if bound else "-", f"{value:.3g}")
            over = "bold red" if used is not None and used > 1 else ""
            table.add_row(*row, f"{passing(value):g}", Text(share(used) or "-", style=over))
    return table


def summary(results: Results) -> Text:
    """Counts, seconds and the verdict, in a line."""
    counts = [f"{results.summary.get(status, 0)} {status}" for status in STATUSES if results.summary.get(status)]
    seconds = sum(result.seconds for result in results.results)
    verdict, colour = VERDICTS[results.exit_status]
    return Text.assemble(f"{', '.join(counts) or 'nothing ran'} in {seconds:.1f} s: ", (verdict, colour))


def _cell(results: Sequence[Result]) -> Text:
    if not results:
        return Text("-", style="dim")
    (result,) = results
    used = share(result.used) if result.status in ("passed", "failed") else ""
    return Text(f"{WORDS[result.status]} {used}".rstrip(), style=COLOURS[result.status])


def _counted(results: Sequence[Result]) -> Text:
    if not results:
        return Text("-", style="dim")
    gravest = min((result.status for result in results), key=GRAVEST.index)
    passed = sum(result.status == "passed" for result in results)
    word = "" if gravest == "passed" else f" {WORDS[gravest]}"
    return Text(f"{passed}/{len(results)}{word}", style=COLOURS[gravest])


def _failures(console: Console, results: Sequence[Result], width: int) -> None:
    for result in results:
        if result.status in ("failed", "error"):
            head, *rest = failure(result, width=width)
            print_as_is(console, Text("\n"), Text(head, style="bold red"), Text("\n".join(("", *rest))))
    _blocked(console, results, width)


def _blocked(console: Console, results: Sequence[Result], width: int) -> None:
    """One line a case and culprit."""
    blocked: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.status == "blocked":
            checks = blocked.setdefault((result.case, str(result.blocked_by)), [])
            checks.extend([_group(result)] if _group(result) not in checks else [])
    if blocked and console.file.tell():
        print_as_is(console)
    for (case, cause), checks in blocked.items():
        what = f"blocked by {cause}" if cause != case else "blocked: they say nothing while the case itself fails"
        print_as_is(console, Text(indented(f"{case} [{', '.join(checks)}]: {what}", width), style="yellow"))


def _not_checked(console: Console, results: Results, width: int) -> None:
    if results.not_checked:
        lines = [indented(f"  {line}", width) for line in results.not_checked]
        print_as_is(console, Text("\n".join(["not checked:", *lines]), style="dim"))


def indented(line: str, width: int) -> str:
    own = line[: len(line) - len(line.lstrip())]
    return textwrap.fill(
        line.strip(),
        width,
        initial_indent=own,
        subsequent_indent=own + "    ",
        break_long_words=False,
        break_on_hyphens=False,
    )


def _group(result: Result) -> str:
    return result.check.partition(":")[0] if result.check.startswith(GROUPS) else result.check


def console_of(color: bool) -> Console:
    """A console into a string; wide, since texts are wrapped here, and a cut cell would hide a number."""
    return Console(
        file=io.StringIO(),
        width=500,
        force_terminal=color,
        color_system="standard" if color else None,
        highlight=False,
        no_color=not color,
        legacy_windows=False,
    )


def print_as_is(console: Console, *texts: Text) -> None:
    """One line or more, not wrapped: a replay command must stay in one piece."""
    console.print(Text.assemble(*texts), soft_wrap=True)


def text_of(console: Console) -> str:
    """Everything printed to a console, without blanks at the ends of lines."""
    assert isinstance(console.file, io.StringIO)
    lines = console.file.getvalue().splitlines()
    return "\n".join(line.rstrip() for line in lines).strip("\n") + "\n"


def print_table(console: Console, table: Table) -> None:
    if table.row_count:
        console.print(*([] if console.file.tell() == 0 else [""]), table, sep="\n")
