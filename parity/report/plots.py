"""Where things stand in the pictures of a report: numbers in, coordinates out; the template draws them as SVG."""

import dataclasses
import math
from collections.abc import Sequence

from parity.report.depth import Located
from parity.report.matrix import COUNTED, group_of
from parity.report.numbers import share
from parity.results import Result

LOWEST, HIGHEST = -6, 2  # powers of ten on the axis of shares: the same in every report, so that two can be compared
LABEL, AXIS, LINE = 128.0, 250.0, 20.0  # pixels: of a row's label, of the axis, from row to row
DEPTH_WIDTH, DEPTH_HEIGHT = 640.0, 220.0


@dataclasses.dataclass(frozen=True)
class Tick:
    """A mark on an axis: where, and what it says."""

    at: float
    label: str


@dataclasses.dataclass(frozen=True)
class Bar:
    """The spread of one check's shares: ends, quartiles and median as x coordinates, `y` of its row, what it says."""

    label: str
    y: float
    low: float
    first: float
    middle: float
    third: float
    high: float
    failed: bool
    said: str


@dataclasses.dataclass(frozen=True)
class Spread:
    """One check of all cases: how the examples' shares of the limit are distributed. `bound`: x of the limit."""

    check: str
    bars: tuple[Bar, ...]
    ticks: tuple[Tick, ...]
    bound: float
    height: float


@dataclasses.dataclass(frozen=True)
class Curve:
    """Errors through depth: polylines of a part's own error and of the inherited one, and where the culprits are."""

    own: tuple[tuple[float, float], ...]
    inherited: tuple[tuple[float, float], ...]
    culprits: tuple[tuple[float, float, str], ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]


def spreads(results: Sequence[Result]) -> tuple[Spread, ...]:
    """A picture a check, but for checks of which no example used anything."""
    drawn = [result for result in results if result.spread and group_of(result) not in COUNTED]
    found: list[Spread] = []
    for check in dict.fromkeys(result.check for result in drawn):
        own = [result for result in drawn if result.check == check]
        if any(result.spread[-1] > 0 for result in own):
            bars = tuple(_bar(result, number) for number, result in enumerate(own))
            found.append(Spread(check, bars, SHARES, _share_at(1.0), LINE * len(own)))
    return tuple(found)


def curve(located: Located) -> Curve | None:
    """Own and inherited errors by place; None where no place has a number."""
    numbers = [(place.own_error, place.inherited) for place in located.places]
    powers = [_power(x) for pair in numbers for x in pair if x is not None]
    if not powers:
        return None
    low, high = math.floor(min(powers)), max(math.ceil(max(powers)), math.floor(min(powers)) + 1)
    step = DEPTH_WIDTH / max(len(numbers) - 1, 1)

    def y(x: float) -> float:
        return round(DEPTH_HEIGHT * (high - _power(x)) / (high - low), 1)

    own = tuple((round(n * step, 1), y(e)) for n, (e, _) in enumerate(numbers) if e is not None)
    inherited = tuple((round(n * step, 1), y(e)) for n, (_, e) in enumerate(numbers) if e is not None)
    guilty = {(culprit.path, culprit.call) for culprit in located.culprits}
    culprits = tuple(
        (round(n * step, 1), y(place.own_error), place.path)
        for n, place in enumerate(located.places)
        if (place.path, place.call) in guilty and place.own_error is not None
    )
    every = max(1, (high - low) // 6)
    y_ticks = tuple(Tick(y(10.0**power), f"1e{power}") for power in range(low, high + 1, every))
    return Curve(own, inherited, culprits, _layers(located, step), y_ticks)


def _layers(located: Located, step: float) -> tuple[Tick, ...]:
    """Where each layer of the stack begins, eight labels at most."""
    first: dict[int, int] = {}
    for number, place in enumerate(located.places):
        if place.layer is not None:
            first.setdefault(place.layer, number)
    every = max(1, math.ceil(len(first) / 8))
    return tuple(Tick(round(n * step, 1), f"layer {layer}") for layer, n in list(first.items())[::every])


def _bar(result: Result, number: int) -> Bar:
    low, _, first, middle, third, _, high = result.spread
    layer = result.case.partition("/")[2] or result.case
    said = f"{layer} [{result.check}]: of {result.examples} examples the worst used {share(high)} of its limit, "
    return Bar(
        label=layer if len(layer) <= 18 else f"{layer[:17]}…",
        y=LINE * (number + 0.5),
        low=_share_at(low),
        first=_share_at(first),
        middle=_share_at(middle),
        third=_share_at(third),
        high=_share_at(high),
        failed=high > 1,
        said=f"{said}the median {share(middle)}",
    )


def _share_at(used: float) -> float:
    """The x of a share on the logarithmic axis; what lies beyond an end is drawn there."""
    power = min(max(_power(used), LOWEST), HIGHEST)
    return round(LABEL + AXIS * (power - LOWEST) / (HIGHEST - LOWEST), 1)


def _power(x: float) -> float:
    if math.isnan(x) or x == math.inf:
        return 3.0
    return max(math.log10(x), -18.0) if x > 0 else -18.0


SHARES = tuple(
    Tick(_share_at(10.0**power), f"{10.0**power:g}".replace("e-0", "e-")) for power in range(LOWEST, HIGHEST + 1, 2)
)
