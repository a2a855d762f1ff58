"""A gate for a terminal, for Markdown and as JSON: open, or why not, the worst first."""

from collections.abc import Iterator, Sequence

from rich.text import Text

from parity.gated import BAD, Gate, Question
from parity.report.markdown import LARGEST, escaped, fenced, fitting, table
from parity.report.numbers import plain
from parity.report.terminal import console_of, indented, print_as_is, text_of

SHOWN = 5  # reasons of one question on a terminal, so that all of them stay on one screen
SYMBOLS = {"yes": "✓", "no": "✗", "not asked": "·"}
COLOURS = {"yes": "green", "no": "bold red", "not asked": "yellow"}
ICONS = {"yes": "✅", "no": "❌", "not asked": "⚪"}
ROOM = 20_000  # bytes that the reasons and the fields may each take: what stands behind them must fit too
# The worst first: a port that is wrong, then what may hide that it is, then what was not shown.
WORST = ("checks", "fields", "declared faults", "injected faults", "coverage", "located", "tolerances")


def render(gate: Gate, *, width: int = 80, color: bool = False) -> str:
    """A line a question; then why not, the worst first; the verdict last, where a terminal leaves the eye."""
    console = console_of(color)
    name = max((len(question.name) for question in gate.questions), default=0)
    for question in gate.questions:
        said = question.said or question.asks
        line = indented(f"{SYMBOLS[question.answer]} {question.name:{name}}  {said}", width)
        print_as_is(console, Text(line, style=COLOURS[question.answer]))
    for question in shut(gate):
        print_as_is(console, Text(f"\n{question.name}: {question.asks}", style="bold"))
        for line in _reasons(question.why_not[:SHOWN], width):
            print_as_is(console, Text(line))
        if len(question.why_not) > SHOWN:
            print_as_is(console, Text(f"  and {len(question.why_not) - SHOWN} more: --json and --markdown have all"))
    style = "bold green" if gate.is_open else "bold red"
    print_as_is(console, Text("\n"), Text(verdict(gate), style=style))
    notes = [indented(f"  {note}", width) for note in not_checked(gate)]
    if notes:
        print_as_is(console, Text("\n".join(["not checked:", *notes]), style="dim"))
    return text_of(console)


def to_json(gate: Gate) -> str:
    """The whole gate as JSON, its keys as the schema has them."""
    return gate.model_dump_json(by_alias=True, indent=2) + "\n"


def markdown(gate: Gate) -> str:
    """The same for a pull request or a step summary: under 60 kB, and nothing in it is taken for markup."""
    rows = [
        [f"{ICONS[q.answer]} {escaped(q.name)}", escaped(q.asks), escaped(q.said or q.answer)] for q in gate.questions
    ]
    lines = [f"## {ICONS['yes' if gate.is_open else 'no']} {escaped(verdict(gate))}", ""]
    lines += [*table(["question", "asks", "found"], rows), ""]
    reasons: list[str] = []
    for question in shut(gate):
        inner = [line for reason in question.why_not for line in reason.splitlines()]
        reasons += [f"### {escaped(question.name)}: why not", "", *fenced(inner), ""]
    lines += fitting(reasons, ROOM, "lines of reasons")
    lines += fitting(_fields(gate), ROOM, "fields")
    lines += ["### Not checked", "", *(f"- {escaped(note)}" for note in not_checked(gate)), ""]
    environment = ", ".join(f"{name} {plain(value)}" for name, value in gate.environment.items())
    lines += [escaped(environment)]
    return "\n".join(fitting(lines, LARGEST, "lines")) + "\n"


def verdict(gate: Gate) -> str:
    """Open, or shut and by what, in a sentence."""
    if gate.interrupted:
        return f"the gate of {gate.port} was interrupted"
    if gate.is_open:
        return f"the gate of {gate.port} is open: {len(gate.questions)} questions answered with yes"
    shut_by = [question.name for question in shut(gate)]
    left = [question.name for question in gate.questions if question.answer == "not asked"]
    asked = f"; not asked: {', '.join(left)}" if left else ""
    return f"the gate of {gate.port} is SHUT: {', '.join(shut_by)}{asked}"


def shut(gate: Gate) -> list[Question]:
    """The questions that were answered with no, the worst first."""
    found = [question for question in gate.questions if question.answer == "no"]
    return sorted(found, key=lambda question: WORST.index(question.name) if question.name in WORST else -1)


def not_checked(gate: Gate) -> Iterator[str]:
    """What a reader should know though it keeps no gate shut, a line each."""
    for question in gate.questions:
        yield from (f"{question.name}: {note}" for note in question.notes)


def _reasons(reasons: Sequence[str], width: int) -> Iterator[str]:
    """Reasons in lines; a command stays in one piece."""
    for reason in reasons:
        head, *commands = reason.splitlines()
        yield indented(f"  {head}", width)
        yield from (f"  {command}" for command in commands)


def _fields(gate: Gate) -> list[str]:
    order = sorted(gate.fields, key=lambda field: field.verdict not in BAD)
    rows = [
        [
            *(escaped(f"{text}") for text in (field.field, field.verdict, field.change, field.said)),
            f"{field.moved} of {field.tried}",
        ]
        for field in order
    ]
    lines = table(["field", "verdict", "change", "", "moved"], rows, numbers=1)
    return (
        [f"<details><summary>{len(rows)} configuration fields</summary>", "", *lines, "", "</details>", ""]
        if rows
        else []
    )
