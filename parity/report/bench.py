"""A bench as a table, and as a picture (SVG)."""

import io

from rich.table import Table
from rich.text import Text

from parity.measure.bench import PARTS, Bench
from parity.report.terminal import console_of, print_as_is, text_of

STREAMS = {"pool": "a run's pool", "fresh": "no configuration repeats"}


def render(bench: Bench, *, color: bool = False) -> str:
    """Examples a second of both, the factors between them, and milliseconds an example by part."""
    console = console_of(color)
    table = table_of("case", "stream", "harness/s", "plain/s", "factor", "own draws", "warm/s", "warm/bare")
    for row in bench.rows:
        table.add_row(
            row.case,
            row.stream,
            f"{row.examples / row.harness:.1f}",
            f"{row.examples / row.plain:.2f}",
            f"{row.factor:.0f}",
            f"{bench.over_own(row):.0f}",
            f"{row.examples / row.warm:.0f}",
            f"{row.over_bare:.1f}",
        )
    console.print(table)
    print_as_is(console)
    parts = table_of("ms an example", "stream", *PARTS)
    for row in bench.rows:
        parts.add_row(row.case, row.stream, *(f"{1e3 * row.parts[name] / row.examples:.2f}" for name in PARTS))
    console.print(parts)
    print_as_is(console)
    for line in _notes(bench):
        print_as_is(console, Text(line, style="dim"))
    return text_of(console)


def picture(bench: Bench) -> str:
    """Bars of examples a second, on a logarithmic axis: harness and plain loop, a pair for each case and stream."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 0.55 * len(bench.rows) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(bench.rows))[::-1]
    for shift, name, colour in ((0.2, "parity", "#1f5fa8"), (-0.2, "plain loop", "#c98a2b")):
        rates = [row.examples / (row.harness if name == "parity" else row.plain) for row in bench.rows]
        bars = axes.barh([place + shift for place in places], rates, 0.38, label=name, color=colour)
        axes.bar_label(bars, [f"{rate:.3g}" for rate in rates], padding=3, fontsize=8)
    axes.set_yticks(list(places), [f"{row.case}\n{STREAMS[row.stream]}" for row in bench.rows], fontsize=8)
    axes.set_xscale("log")
    axes.set_xlabel("examples a second in the exact check, from nothing built")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "parity", "svg.fonttype": "none"}):  # one picture for one bench, text as text
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _notes(bench: Bench) -> list[str]:
    ran = sum(row.plain_run for row in bench.rows)
    alarms = sum(row.plain_alarms for row in bench.rows)
    place = bench.environment
    sizes = {row.stream: row.examples for row in bench.rows}
    return [
        f"{sizes['pool']} examples of a run's pool; {sizes['fresh']} where no configuration repeats. `factor`: on the "
        "same stream. `own draws`: against the plain loop where it draws as it would, and nothing repeats.",
        f"plain: {ran} examples were run, some of each configuration; it called {alarms} of them wrong (rtol 1e-4, "
        "atol 1e-5).",
        f"torch {place['torch']}, jax {place['jax']}, flax {place['flax']}, Python {place['python']}, "
        f"{place['cpus']} cores; one torch thread in the harness, the default in the plain loop.",
    ]


def table_of(*names: str, left: int = 2) -> Table:
    """A table of numbers; the first columns, `left` of them, are words."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for number, name in enumerate(names):
        table.add_column(name, no_wrap=True, justify="left" if number < left else "right")
    return table
