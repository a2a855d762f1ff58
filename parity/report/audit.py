"""An audit for the terminal: a line a layer, then every survivor with its place and what is known of it."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from parity.measure.audited import VERDICTS, Audit, Layer, Survivor
from parity.report.terminal import console_of, indented, print_as_is, print_table, text_of

ENDINGS = {
    0: ("all caught or explained", "bold green"),
    1: ("SURVIVORS", "bold red"),
    2: ("ERROR", "bold red"),
    130: ("interrupted", "bold yellow"),
}


def render(audit: Audit, *, width: int = 80, color: bool = False) -> str:
    """The whole report as text."""
    console = console_of(color)
    print_table(console, _layers(audit))
    for layer in audit.layers:
        if layer.trouble:
            print_as_is(console, Text(f"\n{layer.case}: {layer.trouble}", style="bold red"))
        for path in layer.missed:
            print_as_is(console, Text(f"\n{layer.case}: no example shows parameter `{path}` perturbed", "bold red"))
        if layer.elsewhere:
            print_as_is(console, Text(f"\n{indented(_elsewhere(audit, layer), width)}"))
        if layer.closed:
            said = f"{layer.case}: {layer.closed} loops or branches got faults of their results only"
            print_as_is(console, Text(f"\n{said}"))
        for pattern in layer.stale:
            print_as_is(console, Text(f"\n{layer.case}: nothing survives any more as `{pattern}`", "bold red"))
        for verdict in VERDICTS:
            _survivors(console, layer, verdict, width)
    ending, colour = ENDINGS[audit.exit_status]
    print_as_is(console, Text("\n"), Text(indented(_summary(audit.total), width)))
    print_as_is(console, Text(ending, style=colour))
    return text_of(console)


def to_json(audit: Audit) -> str:
    """The whole audit as JSON, its keys as the schema has them."""
    return audit.model_dump_json(by_alias=True, indent=2) + "\n"


def _layers(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("layer", no_wrap=True)
    for name in ("faults", "caught", "late", "equiv", "expl", "unres", "score", "params", "s"):
        table.add_column(name, no_wrap=True, justify="right")
    for layer in (*audit.layers, *((audit.total,) if len(audit.layers) > 1 else ())):
        table.add_row(
            layer.case,
            *map(str, (layer.injected, layer.caught, layer.late, layer.count("equivalent"), layer.count("explained"))),
            Text(str(layer.count("unresolved")), style="bold red" if layer.found or layer.trouble else ""),
            _percent(layer),
            f"{layer.parameters - len(layer.missed)}/{layer.parameters}",
            f"{layer.seconds:.0f}",
        )
    return table


def _survivors(console: Console, layer: Layer, verdict: str, width: int) -> None:
    found = [survivor for survivor in layer.survivors if survivor.verdict == verdict]
    if not found:
        return
    style = "bold red" if verdict == "unresolved" else "bold"
    print_as_is(console, Text(f"\n{layer.case}, {verdict}:", style=style))
    groups: dict[tuple[str, str], list[Survivor]] = {}
    for survivor in found:
        groups.setdefault((survivor.where, survivor.reason or ""), []).append(survivor)
    for (where, reason), survivors in groups.items():
        said = "; ".join(dict.fromkeys(f"{s.primitive}: {s.description}" for s in survivors))
        lines = [f"  {where}  {said}", *([f"      {reason}"] if reason else [])]
        print_as_is(console, Text("\n".join(indented(line, width) for line in lines)))


def _elsewhere(audit: Audit, layer: Layer) -> str:
    """Which parts hold the faults of the operations that have none here, and whether this run injected them."""
    here = {other.case for other in audit.layers if not other.trouble}
    parts = [
        f"{name} ({count}{'' if name in here else ', not in this run'})" for name, count in layer.elsewhere.items()
    ]
    return f"{layer.case}: operations that get their faults in the part they stand in: {', '.join(parts)}"


def _percent(layer: Layer) -> str:
    return "-" if layer.score is None else f"{100 * layer.score:.2f} %"


def _summary(total: Layer) -> str:
    counts = ", ".join(f"{total.count(verdict)} {verdict}" for verdict in reversed(VERDICTS))
    seen = f"{total.parameters - len(total.missed)} of {total.parameters} parameters"
    return (
        f"{total.injected} faults: {total.caught} caught ({total.late} late), {counts}; {seen}; {total.seconds:.0f} s"
    )
