"""An audit for the terminal: a line a layer, then every survivor with its place and what is known of it."""

from rich.table import Table
from rich.text import Text

from parity.measure.audited import Audit, Layer, Survivor
from parity.report.terminal import console_of, indented, print_as_is, print_table, text_of

VERDICTS = {
    0: ("every fault that is none of these was caught", "bold green"),
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
        for verdict in ("unresolved", "equivalent"):
            _survivors(console, layer, verdict, width)
    verdict, colour = VERDICTS[audit.exit_status]
    print_as_is(console, Text("\n"), Text(_summary(audit.total)), Text(verdict, style=colour))
    return text_of(console)


def to_json(audit: Audit) -> str:
    """The whole audit as JSON, its keys as the schema has them."""
    return audit.model_dump_json(by_alias=True, indent=2) + "\n"


def _layers(audit: Audit) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("layer", no_wrap=True)
    for name in ("faults", "caught", "late", "equivalent", "unresolved", "score", "params", "s"):
        table.add_column(name, no_wrap=True, justify="right")
    rows = [*audit.layers, *([audit.total] if len(audit.layers) > 1 else [])]
    for layer in rows:
        counts = (layer.injected, layer.caught, layer.late, layer.equivalent)
        bad = "bold red" if layer.unresolved or layer.missed or layer.trouble else ""
        table.add_row(
            layer.case,
            *map(str, counts),
            Text(str(layer.unresolved), style=bad),
            _percent(layer),
            f"{layer.parameters - len(layer.missed)}/{layer.parameters}",
            f"{layer.seconds:.0f}",
        )
    return table


def _survivors(console: object, layer: Layer, verdict: str, width: int) -> None:
    found = [survivor for survivor in layer.survivors if survivor.verdict == verdict]
    if found:
        style = "bold red" if verdict == "unresolved" else "bold"
        print_as_is(console, Text(f"\n{layer.case}, {verdict}:", style=style))  # pyright: ignore
    groups: dict[tuple[str, str], list[Survivor]] = {}
    for survivor in found:
        groups.setdefault((survivor.where, survivor.reason or ""), []).append(survivor)
    for (where, reason), survivors in groups.items():
        said = "; ".join(dict.fromkeys(f"{s.primitive}: {s.description}" for s in survivors))
        lines = [f"  {where}  {said}", *([f"      {reason}"] if reason else [])]
        print_as_is(console, Text("\n".join(indented(line, width) for line in lines)))  # pyright: ignore


def _percent(layer: Layer) -> str:
    return "-" if layer.score is None else f"{100 * layer.score:.2f} %"


def _summary(total: Layer) -> str:
    counts = f"{total.injected} faults, {total.caught} caught ({total.late} late), {total.equivalent} equivalent, "
    counts += f"{total.unresolved} unresolved; {total.parameters - len(total.missed)} of {total.parameters} parameters"
    return f"{counts} in {total.seconds:.0f} s: "
