"""One failed check as a block: what is wrong, the worst element, the limit, the smallest example, how to replay it."""

import textwrap
from collections.abc import Mapping, Sequence

from parity.report.numbers import apart, example_short
from parity.results import Result, Results, Worst

EXACT = ("exact", "rejects", "accepts")  # kinds of check whose reference value is the truth itself
WIDE = ("gradient", "transforms")  # and those of which it is, where they are held against a relative bound


def failure(result: Result, *, width: int = 80) -> list[str]:
    """The lines of a block; all but the replay command are wrapped, so that it can be copied."""
    head, *more = headline(result).split("\n")
    lines = _wrapped(head, width, first="", rest="    ")
    for line in more:
        lines += _wrapped(line.strip(), width)
    if result.worst:
        lines += _wrapped(worst(result.worst, exact=has_arbiter(result)), width)
    if result.limit:
        lines += _wrapped(f"limit: {result.limit.name} {result.limit.value:g}, {result.limit.where}", width)
    if result.example:
        lines += _wrapped(f"smallest example: {example_short(result.example)}", width)
    if result.replay:
        lines.append(f"  replay: {result.replay}")
    return lines


def has_arbiter(result: Result) -> bool:
    """Whether the exact value is a third one beside the two: in exact arithmetic the reference's is the truth."""
    return result.check not in EXACT and not (result.check in WIDE and result.limit and result.limit.name == "rtol")


def headline(result: Result) -> str:
    """The layer, the check, and what is wrong with both values."""
    return f"{result.case} [{result.check}]: {fault(result)}"


def worst(element: Worst, *, exact: bool = True) -> str:
    """The worst element, with digits enough to see the difference."""
    place = f"worst at {element.index}" + (f" of `{element.output}`" if element.output != "output" else "")
    named = {"reference": element.reference, "port": element.port}
    if exact and element.exact is not None:
        named = {"exact": element.exact, **named}
    values = ", ".join(f"{name} {text}" for name, text in zip(named, apart(*named.values()), strict=True))
    # In float64 two numbers that differ visibly are so many apart that the count says nothing.
    return f"{place}: {values}" + (f" ({element.ulp} ulp)" if exact and element.ulp is not None else "")


def fault(result: Result) -> str:
    """What is wrong, in words; the first of several lines is a sentence."""
    limit, used = result.limit, result.used
    if result.message or limit is None or used is None:
        return result.message or "failed"
    value, allowed = f"{used * limit.value:.2g}", f"(allowed {limit.value:g})"
    if limit.name == "differ":
        return f"{used * limit.value:.2%} of an output's elements are rounded differently (allowed {limit.value:.2%})."
    if limit.name == "ratio":
        return f"port is {value} times as far from the truth as the reference {allowed}."
    if limit.name == "rtol" and result.check in EXACT:
        return f"port differs from the reference by {value} of the row's largest value, in exact arithmetic {allowed}."
    if limit.name == "rtol":
        return f"port differs from the reference by {value} of its largest value {allowed}."
    return f"{limit.name} is {value} {allowed}."


def with_causes(results: Results, causes: Mapping[str, Sequence[str]]) -> Results:
    """The same results, those that something is known of with a line about it; `causes`: by a result's id."""
    told = tuple(
        one.model_copy(update={"message": "\n".join((fault(one), *causes[one.id]))}) if one.id in causes else one
        for one in results.results
    )
    return results.model_copy(update={"results": told})


def _wrapped(line: str, width: int, *, first: str = "  ", rest: str = "      ") -> list[str]:
    return textwrap.wrap(
        line, width, initial_indent=first, subsequent_indent=rest, break_long_words=False, break_on_hyphens=False
    )
