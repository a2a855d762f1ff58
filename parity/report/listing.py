"""The cases of a root, bottom-up."""

from rich.table import Table
from rich.text import Text

from parity.registry import Registry
from parity.report.terminal import console_of, print_as_is, text_of


def render(registry: Registry) -> str:
    """A line a case: what it is made of, how many checks, faults and equivalents it has, where it is written."""
    from parity.run import check_ids

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    table.add_column("case", no_wrap=True)
    for name in ("checks", "faults", "equivalents"):
        table.add_column(name, no_wrap=True, justify="right")
    table.add_column("parts", overflow="fold", max_width=15)
    table.add_column("file", no_wrap=True, overflow="fold")
    cases = registry.bottom_up()
    for case in cases:
        port = f"{case.port_name}/"
        parts = ", ".join(dict.fromkeys(part.removeprefix(port) for part in case.parts.values())) or "-"
        counts = (len(check_ids(case)), len(case.faults), len(case.equivalents))
        table.add_row(case.name, *map(str, counts), parts, registry.files[case.name].removeprefix(f"cases/{port}"))
    console = console_of(color=False)
    console.print(table)
    total = f"{len(cases)} cases, {sum(len(case.faults) for case in cases)} faults, "
    total += f"{sum(len(case.equivalents) for case in cases)} equivalents, files under {registry.root / 'cases'}"
    print_as_is(console, Text(total))
    return text_of(console)
