"""What moved between two runs, for the terminal and as Markdown."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from parity.diff import NOISE, SMALL, Diff, Turned
from parity.report.markdown import LARGEST, escaped, fitting
from parity.report.numbers import share
from parity.report.terminal import console_of, indented, print_as_is, text_of

RULE = f"the worst is more than {NOISE:g} times what it was, and more than {SMALL:.0%} of its limit"
Sections = Iterator[tuple[str, str, Sequence[str]]]


def render(found: Diff, *, width: int = 80, color: bool = False) -> str:
    """The verdict, then a section a kind of change; words say what colours do."""
    console = console_of(color)
    print_as_is(console, Text(indented(found.verdict, width), style="bold red" if found.failing else "bold green"))
    for title, colour, lines in _sections(found):
        print_as_is(console, Text(f"\n{title}:", style=f"bold {colour}".strip()))
        for line in lines:
            print_as_is(console, Text(indented(f"  {line}", width)))
    return text_of(console)


def markdown(found: Diff) -> str:
    """The same for a pull request, under 60 kB."""
    lines = [f"## {'❌' if found.failing else '✅'} {escaped(found.verdict)}", ""]
    for title, _, changes in _sections(found):
        lines += [f"### {escaped(title)}", "", *(f"- {escaped(change)}" for change in changes), ""]
    return "\n".join(fitting(lines, LARGEST - 1, "lines")) + "\n"


def to_json(found: Diff) -> str:
    """The whole of it as JSON."""
    return found.model_dump_json(by_alias=True, indent=2) + "\n"


def _sections(found: Diff) -> Sections:
    """Title, colour and lines of whatever there is."""
    every: Sections = iter(
        (
            ("newly failing", "red", _grouped(found.failing)),
            ("newly passing", "green", _grouped(found.passing)),
            ("no longer checked", "yellow", list(found.gone)),
            ("new, and not failing", "", list(found.new)),
            (
                "bounds moved",
                "yellow",
                [
                    f"{b.case}[{b.check}] {b.measure}: {b.before:g} -> {b.after:g}, "
                    f"{'looser' if b.after > b.before else 'tighter'} ({b.where})"
                    for b in found.bounds
                ],
            ),
            (
                f"errors that grew ({RULE})",
                "yellow",
                [
                    f"{g.case}[{g.check}] {g.measure}: {g.before:.3g} -> {g.after:.3g}, {share(g.used)} of its limit"
                    for g in found.grown
                ],
            ),
            ("environment", "", [f"{m.name}: {m.before or '-'} -> {m.after or '-'}" for m in found.environment]),
            ("other examples", "", [f"seed {found.seeds[0]} -> {found.seeds[1]}"] if found.seeds else []),
        )
    )
    return (section for section in every if section[2])


def _grouped(turned: Sequence[Turned]) -> list[str]:
    """A line a case and change, but for a failure that says why it is one."""
    groups: dict[tuple[str, str], list[str]] = {}
    for one in turned:
        now = f"{one.after} by {one.blocked_by}" if one.blocked_by else one.after
        why = f": {one.message}" if one.message and one.after in ("failed", "error") else ""
        groups.setdefault((one.case, f"{one.before or 'not there'} -> {now}{why}"), []).append(one.check)
    return [f"{case}[{', '.join(checks)}]: {change}" for (case, change), checks in groups.items()]
