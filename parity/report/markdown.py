"""A run as Markdown for a pull request or a CI step summary: under 60 kB, and nothing in it is taken for markup."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from parity.measure.audited import Audit
from parity.report.depth import Located
from parity.report.failure import failure
from parity.report.matrix import group_of, is_held, matrix
from parity.report.numbers import passing, plain, share
from parity.report.verdict import SYMBOLS, blocked, counts, verdict
from parity.results import Result, Results

LARGEST = 60_000  # bytes: a comment on a pull request holds 65536 characters
ROOM = 4_000  # bytes kept for what must stand at the end
SLACK = 2_000  # bytes for saying, of each list that does not fit, how much of it is left out
LINE = 1_000  # characters of one line: a longer one would leave no room for others
MARKUP = re.compile(r"([\\`*_\[\]<>|~&$]|:(?=//)|(?<=www)\.)")  # what means something inside a line
CALLS = re.compile(r"([@#])(?=\w)")  # a name or a number behind it would be called or linked: they are held apart
ICONS = {**SYMBOLS, "passed": "✅", "failed": "❌", "error": "❌", "blocked": "🔒", "interrupted": "⚠️"}


def render(results: Results, *, located: Located | None = None, audit: Audit | None = None) -> str:
    """The verdict, the table, the failures, the tolerances, what was not checked.

    What does not fit is left out from the back of each list, and counted where it would stand.
    """
    found = verdict(results)
    head = [f"## {ICONS[found.status]} {escaped(found.text)}", f"{counts(results)}; seed {results.seed}."]
    if results.canary:
        head.append(f"Canary: {escaped(results.canary)}")
    end = not_checked(results.not_checked)
    blocks = (
        ([line for text in head for line in (text, "")], "lines"),
        (_failures(results), "lines about failures"),
        (_layers(results.results), "layers"),
        (depth(located), "lines"),
        (_tolerances(results.results), "tolerances"),
        (_faults(results.results, audit), "layers"),
        (environment(results.environment), "lines"),
    )
    return joined(blocks, end)


def joined(blocks: Iterable[tuple[Sequence[str], str]], end: Sequence[str]) -> str:
    """Blocks one after another, as much of each as fits, and the end whole; each with the word for its lines."""
    left = LARGEST - SLACK - _size(end)
    lines: list[str] = []
    for block, what in blocks:
        fits = fitting(block, left - _size(lines), what)
        lines += [*fits, ""] if fits else []
    return "\n".join([*lines, *end]) + "\n"


def escaped(text: str) -> str:
    """Text that Markdown shows as it is, in a line and in a table's cell; control characters are left out."""
    words = "".join(c for c in " ".join(text.split()) if c.isprintable())[:LINE]
    return CALLS.sub("\\1\u200b", MARKUP.sub(r"\\\1", words))


def code(text: str) -> str:
    """A code span, whatever backticks the text holds; in a table's cell a bar would end the cell."""
    words = "".join(c for c in " ".join(text.split()) if c.isprintable())[:LINE]
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", words)), default=0))
    return f"{fence} {words} {fence}" if "`" in words else f"{fence}{words}{fence}"


def fenced(lines: Sequence[str]) -> list[str]:
    """A block of lines as they are, under a fence longer than any in them."""
    longest = max((len(run) for line in lines for run in re.findall("`+", line)), default=0)
    fence = "`" * max(3, longest + 1)
    return [f"{fence}text", *("".join(c for c in line if c.isprintable()) for line in lines), fence]


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: int = 0) -> list[str]:
    """A table of cells that are escaped already; the last `numbers` columns stand to the right."""
    sides = [*["---"] * (len(heads) - numbers), *["---:"] * numbers]
    return [f"| {' | '.join(cells)} |" for cells in (heads, sides, *rows)] if rows else []


def _layers(results: Sequence[Result]) -> list[str]:
    found = matrix(results)
    rows = [[escaped(row.case), *(f"{ICONS[c.status]} {escaped(c.text)}" for c in row.cells)] for row in found.rows]
    return table(["case", *map(escaped, found.columns)], rows)


def _failures(results: Results) -> list[str]:
    lines: list[str] = []
    for result in results.results:
        if result.status in ("failed", "error"):
            head, *rest = failure(result, width=110)
            lines += [f"**{escaped(head)}**", "", *fenced(rest), ""] if rest else [f"**{escaped(head)}**", ""]
    lines += [
        f"- 🔒 {escaped(one.case)} \\[{escaped(', '.join(one.checks))}\\]: {escaped(one.why)}"
        for one in blocked(results.results)
    ]
    return ["### Failures", "", *lines] if lines else []


def _tolerances(results: Sequence[Result]) -> list[str]:
    rows: list[list[str]] = []
    for result in filter(is_held, results):
        if (limit := result.limit) is None:
            continue
        worst = result.measured[limit.name]
        numbers = [f"{limit.value:g}", f"{worst:.3g}", f"{passing(worst):g}", share(worst / limit.value)]
        rows.append([*map(escaped, (result.case, result.check, limit.name)), *map(escaped, numbers)])
    heads = ["case", "check", "measure", "limit", "worst", "would pass", "used"]
    return folded("Tolerances, and the tightest that would pass", table(heads, rows, numbers=4))


def depth(located: Located | None) -> list[str]:
    """The culprits, each with its line and what it is consistent with; nothing where nothing was asked."""
    if located is None:
        return []
    lines = ["### Where the whole model parts", ""]
    for culprit in located.culprits:
        lines.append(f"- **{escaped(culprit.path or 'the whole model')}**: {escaped(culprit.reason)}")
        if place := culprit.operation:
            lines.append(f"  {code(f'{place.port_file}:{place.port_line}: {place.port_source}')}")
        lines += [f"  {escaped(cause)}" for cause in culprit.cause]
    none = f"No divergence found in {escaped(located.dtype)} over {len(located.places)} places."
    return lines if located.culprits else [*lines, none]


def _faults(results: Sequence[Result], audit: Audit | None) -> list[str]:
    rejects = [result.status == "passed" for result in results if group_of(result) == "rejects"]
    lines = [f"{sum(rejects)} of {len(rejects)} declared faults were rejected."] if rejects else []
    if audit:
        rows = [
            [escaped(one.case), str(one.injected), str(one.caught), "-" if one.score is None else f"{one.score:.2%}"]
            for one in (*audit.layers, audit.total)
        ]
        lines += ["", *table(["faults injected into", "faults", "caught", "score"], rows, numbers=3)]
    return lines


def environment(found: Mapping[str, Any]) -> list[str]:
    """What a run depended on, folded."""
    rows = [[escaped(name), escaped(plain(value))] for name, value in found.items()]
    return folded("Environment", table(["", ""], rows))


def not_checked(notes: Sequence[str]) -> list[str]:
    """The last section, as many of its lines as there is room for."""
    lines = [f"- {escaped(line)}" for line in notes] or ["Nothing was left out."]
    return fitting(["### Not checked", "", *lines], ROOM, "lines")


def folded(title: str, lines: Sequence[str]) -> list[str]:
    """Lines under a title that opens them."""
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>"] if lines else []


def fitting(lines: Sequence[str], room: int, what: str) -> list[str]:
    """As many of the first lines as fit, and how many more there are; a fence or a fold that is cut is closed."""
    if _size(lines) <= room:
        return list(lines)
    kept: list[str] = []
    for line in lines:
        if _size([*kept, line]) > room - 200:
            break
        kept.append(line)
    fences = [line for line in kept if line.startswith("```")]
    closing = [fences[-1].removesuffix("text")] if len(fences) % 2 else []
    closing += ["", "</details>"] if kept and kept[0].startswith("<details") else []
    return [*kept, *closing, "", f"… and {len(lines) - len(kept)} more {what}; the JSON and the HTML report have all."]


def _size(lines: Sequence[str]) -> int:
    return sum(len(line.encode()) + 1 for line in lines)
