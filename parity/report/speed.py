"""A port's speed beside its reference's: as a table, and as a picture (SVG)."""

import io

from rich.text import Text

from parity.measure.speed import Speed, Timed
from parity.report.bench import table_of
from parity.report.terminal import console_of, print_as_is, text_of


def render(speed: Speed, *, color: bool = False) -> str:
    """Milliseconds a job of both sides, tokens a second, the factor, and the share of the memory's bandwidth."""
    console = console_of(color)
    table = table_of("job", "port", "ref", "by", "times", "tok/s", "memory", "first", left=1)
    for row in speed.rows:
        reference, factor, share = row.reference, row.factor, speed.share(row)
        table.add_row(
            row.name,
            f"{1e3 * row.port.each:.1f}",
            f"{1e3 * reference.each:.1f}" if reference else "-",
            reference.name if reference else "-",
            f"{factor:.2f}" if factor else "-",
            f"{row.tokens / row.port.each:.0f}" if row.tokens else "-",
            f"{share:.0%}" if share else "-",
            f"{row.port.first:.1f}",
        )
    console.print(table)
    print_as_is(console)
    place = speed.environment
    given = {f"{name}={value}": None for row in speed.rows for name, value in row.environment.items()}
    for line in (
        "port, ref: milliseconds a job. times: how many times as fast as the fastest",
        "reference, which is named. first: seconds of the port's first call, with what it",
        f"compiles. memory: the share of {speed.bandwidth / 1e9:.1f} GB/s, which all threads read here.",
        f"torch {place['torch']}, jax {place['jax']}, flax {place['flax']}, {place['cpus']} cores.",
        *(f"port of {_jobs(speed, variable)}: {variable}" for variable in given),
    ):
        print_as_is(console, Text(line, style="dim"))
    return text_of(console)


def _jobs(speed: Speed, variable: str) -> str:
    named = [row.name for row in speed.rows if variable in {f"{k}={v}" for k, v in row.environment.items()}]
    return "all jobs" if len(named) == len(speed.rows) else "; ".join(named)


def picture(speed: Speed) -> str:
    """Bars: how many times as fast as each reference the port is, job by job."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    rows = [row for row in speed.rows if row.references]
    names = list(dict.fromkeys(side.name for row in rows for side in row.references))
    colours = dict(zip(names, ("#1f5fa8", "#c98a2b", "#5b8c5a"), strict=False))
    figure = Figure(figsize=(8, 0.6 * max(len(rows), 1) + 1.2), layout="constrained")
    axes = figure.add_subplot()
    height = 0.8 / max(len(names), 1)
    for number, name in enumerate(names):
        found = [(place, _factor(row, name)) for place, row in enumerate(reversed(rows))]
        shown = [(place + 0.4 - height * (number + 0.5), factor) for place, factor in found if factor]
        bars = axes.barh(
            [place for place, _ in shown],
            [factor for _, factor in shown],
            height * 0.9,
            label=name,
            color=colours[name],
        )
        axes.bar_label(bars, [f"{factor:.2f}" for _, factor in shown], padding=3, fontsize=8)
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.name for row in reversed(rows)], fontsize=8)
    axes.set_xlabel("times as fast as the reference run by ...")
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    text = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "parity", "svg.fonttype": "none"}):
        figure.savefig(text, format="svg", metadata={"Date": None})
    return text.getvalue()


def _factor(row: Timed, name: str) -> float | None:
    return next((side.each / row.port.each for side in row.references if side.name == name), None)
