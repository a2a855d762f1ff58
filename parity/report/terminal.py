"""A run for the terminal: a line a case, a block a failure, the tolerances, the verdict, what was not checked."""

import io
import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parity.report.failure import failure
from parity.report.tables import cases_tables, tolerance_table
from parity.report.verdict import blocked, counts
from parity.results import Result, Results

VERDICTS = {
    0: ("all passed", "bold green"),
    1: ("FAILED", "bold red"),
    2: ("ERROR", "bold red"),
    130: ("interrupted", "bold yellow"),
}


def render(results: Results, *, width: int = 80, color: bool = False) -> str:
    """The whole report as text; words say what colours do, so nothing is lost without them."""
    console = console_of(color)
    for table in cases_tables(results.results, width):
        print_table(console, table)
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
    for table in cases_tables(results.results, width):
        print_table(console, table)
    _blocked(console, results.results, width)
    print_table(console, tolerance_table(results.results))
    _not_checked(console, results, width)
    return text_of(console)


def summary(results: Results) -> Text:
    """Counts, seconds and the verdict, in a line."""
    verdict, colour = VERDICTS[results.exit_status]
    return Text.assemble(f"{counts(results)}: ", (verdict, colour))


def _failures(console: Console, results: Sequence[Result], width: int) -> None:
    for result in results:
        if result.status in ("failed", "error"):
            head, *rest = failure(result, width=width)
            print_as_is(console, Text("\n"), Text(head, style="bold red"), Text("\n".join(("", *rest))))
    _blocked(console, results, width)


def _blocked(console: Console, results: Sequence[Result], width: int) -> None:
    """One line a case and culprit."""
    found = blocked(results)
    if found and console.file.tell():
        print_as_is(console)
    for one in found:
        line = f"{one.case} [{', '.join(one.checks)}]: {one.why}"
        print_as_is(console, Text(indented(line, width), style="yellow"))


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
