"""Where a port and its reference part, on a terminal: the culprits, and both errors through depth."""

import math
from collections.abc import Iterator, Sequence

from rich.text import Text

from parity.located import Culprit, Located, Operation, Place
from parity.report.terminal import console_of, indented, print_as_is, text_of

Line = tuple[str, str]  # text and style
LOWEST = -17.0  # decades: below float64's unit roundoff there is nothing
GUILTY = ("failed", "glue")
MARKS = {"passed": " ", "failed": "x", "glue": "g", "bridged": "-"}
SHOWN = 24  # rows of the curves; a deeper model's are thinned out
FEW = 2  # failing layers that are shown whole


def render(found: Located, *, width: int = 80, color: bool = False) -> str:
    """The whole search as text, within `width` columns; words and marks say what colours do."""
    console = console_of(color)
    lines = [(title(found), "bold red" if found.culprits else "bold green"), (asked(found), "")]
    for group in _groups(found.culprits):
        lines += [("", ""), *_culprit(group)]
    lines += [("", ""), *_legend(found)]
    for line, style in lines:
        print_as_is(console, Text(indented(line, width) if line else "", style=style))
    for line, style in _curves(found, width):
        print_as_is(console, Text(line, style=style))
    notes = [indented(f"  {note}", width) for note in found.not_checked]
    if notes:
        print_as_is(console, Text("\n".join(("\nnot checked:", *notes)), style="dim"))
    return text_of(console)


def title(found: Located) -> str:
    """What a search came to, in one line."""
    where = f"{found.port}{f' on {found.checkpoint}' if found.checkpoint else ''}"
    places = "1 place" if len(found.culprits) == 1 else f"{len(found.culprits)} places"
    return f"{where}: they part at {places}" if found.culprits else f"{where}: no divergence found"


def asked(found: Located) -> str:
    """What was walked, how long it took, and how much memory."""
    memory = f", {found.peak_memory_bytes / 2**30:.2f} GiB at most" if found.peak_memory_bytes else ""
    what = "gradients in " if found.backward else ""
    return f"{what}{found.dtype}, {found.inputs}; {found.seconds:.1f} s{memory}"


def _groups(culprits: Sequence[Culprit]) -> Iterator[list[Culprit]]:
    """Culprits of one case and one reason together, in order of the first."""
    groups: dict[tuple[str | None, str], list[Culprit]] = {}
    for each in culprits:
        groups.setdefault((each.case, each.reason), []).append(each)
    yield from groups.values()


def _culprit(group: Sequence[Culprit]) -> Iterator[Line]:
    first = group[0]
    more = f" and at {len(group) - 1} more of {first.case}, the last {group[-1].path}" if len(group) > 1 else ""
    call = f" (call {first.call})" if first.call else ""
    yield f"{first.path or 'the whole'}{call}, {first.case}{more}", "bold red"
    yield f"  {first.reason}", ""
    if first.operation:
        yield from _operation(first.operation)
    yield from ((f"  {cause}", "bold") for cause in first.cause)


def _operation(operation: Operation) -> Iterator[Line]:
    error = "" if operation.error is None else f", off by {operation.error:.2g} of the largest value there"
    yield f"  first at {operation.primitive}{error}:", ""
    yield f"    port {operation.port_file}:{operation.port_line}", ""
    yield f"        {operation.port_source}", ""
    if operation.reference_file:
        yield f"    reference {operation.reference_file}:{operation.reference_line}", ""
        yield f"        {operation.reference_source}", ""


def _legend(found: Located) -> Iterator[Line]:
    what = "gradients" if found.backward else "outputs"
    yield (
        f"error of {what} over their largest value: own (o) on the reference's inputs, inherited (*) where the port "
        "runs freely, @ both; used: the share of the bound. x fails, g fails though its parts pass, - is bridged",
        "dim",
    )


def _curves(found: Located, width: int) -> Iterator[Line]:
    """A line a place: its name, its own error, what it inherits, and both as marks on a logarithmic scale."""
    rows = _thinned(found.places)
    name = min(max((len(_name(place)) for place in rows), default=5), max(16, width - 44))
    scale = max(8, width - name - 26)
    yield f"  {'place':{name}}    own inherit   used {'1e-17'}{'1':>{scale - 6}}|", "bold"
    for place in rows:
        style = "bold red" if place.status in GUILTY else "dim" if place.status == "bridged" else ""
        numbers = [_number(x) for x in (place.own_error, place.inherited, place.own)]
        cells = " ".join(f"{x:>6}" for x in numbers)
        yield f"{MARKS[place.status]} {_cut(_name(place), name):{name}} {cells} {_marks(place, scale)}", style


def _cut(name: str, width: int) -> str:
    """A path's end, which tells more than its beginning."""
    return name if len(name) <= width else f"..{name[2 - width :]}"


def _thinned(places: Sequence[Place]) -> Sequence[Place]:
    """All places where they are few; of a deep model its layers, and what is in one that fails."""
    if len(places) <= SHOWN:
        return places
    failing = {place.layer for place in places if place.status in GUILTY}
    some = failing if len(failing) <= FEW else {min(layer for layer in failing if layer is not None)}
    return [
        place
        for place in places
        if place.layer is None or place.path.rpartition(".")[2].isdigit() or place.layer in some
    ]


def _name(place: Place) -> str:
    return f"{place.path or '(the whole)'}{f' #{place.call}' if place.call else ''}"


def _number(value: float | None) -> str:
    return "" if value is None else "0" if value == 0 else f"{value:.0e}"


def _marks(place: Place, width: int) -> str:
    """Both errors on a line from 1e-17 to 1 and beyond."""
    marks = [" "] * width
    for value, mark in ((place.own_error, "o"), (place.inherited, "*")):
        if value is not None:
            at = _position(value, width)
            marks[at] = "@" if marks[at] == "o" else mark
    return "".join(marks).rstrip()


def _position(value: float, width: int) -> int:
    decade = math.log10(value) if 0 < value < math.inf else LOWEST if value == 0 else 0.0
    share = (min(max(decade, LOWEST), 0.0) - LOWEST) / -LOWEST
    return round(share * (width - 1))
