"""A calibration for the terminal: the bound that stands, the one proposed and what was measured, side by side."""

import textwrap

from rich.table import Table
from rich.text import Text

from parity.measure.calibrate import Calibration
from parity.report.terminal import console_of, print_as_is, text_of

COLOURS = {"refused": "bold red", "looser": "yellow", "tighter": "green", "new": "green", "none": "dim"}
RULE = (
    "A bound is the worst of all clean examples times 2 (ratio; at least 2), 8 (rtol) or 1000 (rtol of exact "
    "arithmetic), rounded up to two digits. One that stands is kept while the worst times 1, 2 or 10 is within it."
)


def render(calibration: Calibration, *, width: int = 80, color: bool = False, written: bool = False) -> str:
    """A line a measure, the reasons of what was refused, and whether the file was written."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in ("case", "check", "measure"):
        table.add_column(name, no_wrap=True)
    for name in ("old", "new", "worst", "99 %", "median"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("", no_wrap=True)
    for layer in calibration.layers:
        for proposal in layer.proposals:
            spread = layer.measured.measures[proposal.measure]
            numbers = (proposal.old, proposal.new, spread.worst, spread.p99, spread.median)
            row = (proposal.case, proposal.check, proposal.measure, *map(_short, numbers))
            table.add_row(*row, Text(proposal.verdict, style=COLOURS.get(proposal.verdict, "")))
    console = console_of(color)
    console.print(table)
    print_as_is(console)
    lines = [RULE, *_reasons(calibration), _verdict(calibration, written=written)]
    for line in lines:
        print_as_is(console, Text(textwrap.fill(line, width, subsequent_indent="    ", break_long_words=False)))
    return text_of(console)


def _reasons(calibration: Calibration) -> list[str]:
    reasons = {
        f"{proposal.case}[{proposal.check}] {proposal.verdict}: {proposal.reason}": None
        for layer in calibration.layers
        for proposal in layer.proposals
        if proposal.reason
    }
    troubles = [
        f"{layer.measured.case}[{layer.measured.check}] refused: {layer.measured.trouble}"
        for layer in calibration.layers
        if layer.measured.trouble
    ]
    return list(dict.fromkeys([*troubles, *reasons]))


def _verdict(calibration: Calibration, *, written: bool) -> str:
    refused = sum(layer.refused for layer in calibration.layers)
    examples = sum(layer.measured.examples for layer in calibration.layers)
    ended = "written to tolerances.yaml" if written else "nothing was written: --write writes tolerances.yaml"
    return f"{len(calibration.layers)} entries over {examples} examples, {refused} refused; {ended}."


def _short(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"
