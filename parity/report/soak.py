"""A soak for the terminal: a line a check, and every false alarm with the command that shows it again."""

import textwrap

from rich.table import Table
from rich.text import Text

from parity.measure.soak import Soak
from parity.report.numbers import share
from parity.report.terminal import console_of, print_as_is, text_of


def render(soak: Soak, *, width: int = 80, color: bool = False) -> str:
    """The table, the alarms, and the whole in a sentence."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("check", no_wrap=True)
    for name in ("runs", "examples", "alarms", "worst used"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("at", no_wrap=True)
    for line in soak.lines:
        at = f"{line.case} {line.measure}, seed {line.seed}" if line.used is not None else "-"
        alarms = Text(str(line.alarms), style="bold red" if line.alarms else "")
        table.add_row(line.check, str(line.runs), str(line.examples), alarms, share(line.used) or "-", at)
    console = console_of(color)
    console.print(table)
    for alarm in soak.alarms:
        head = f"{alarm.case} [{alarm.check}], seed {alarm.seed}, {alarm.status}: {alarm.message}"
        print_as_is(console, Text("\n"), Text(textwrap.fill(head, width, subsequent_indent="    "), style="bold red"))
        print_as_is(console, Text(f"  replay: {alarm.replay}") if alarm.replay else Text(""))
    seeds = f"{soak.first} to {soak.first + soak.seeds - 1}" if soak.seeds > 1 else str(soak.first)
    print_as_is(
        console,
        Text(f"\n{soak.examples} examples with seeds {seeds} in {soak.seconds:.0f} s: {_verdict(soak)}"),
    )
    return text_of(console)


def _verdict(soak: Soak) -> str:
    if not soak.complete:
        return "interrupted"
    return f"{len(soak.alarms)} false alarms, if the port is right" if soak.alarms else "no false alarm"
