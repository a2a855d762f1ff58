"""What Hypothesis draws: sizes from palettes, seeds and magnitudes, and the examples of a run made of them.

Each draw costs about 0.2 ms, so an example is few draws and NumPy fills the arrays. Palettes are ordered from the
simplest to the hardest, which is the order that shrinking follows backwards.
"""

import contextlib
import functools
import math
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ParamSpec, TypeVar, cast
from zlib import crc32

import hypothesis
from hypothesis import strategies as st
from hypothesis.errors import HypothesisWarning
from hypothesis.internal.conjecture import providers
from hypothesis.strategies import SearchStrategy

from parity.case import Case, Example, Json, Weights
from parity.values import Floats, Mask, Padding, Positions, Tokens, Waves

T = TypeVar("T")
P = ParamSpec("P")
SCALES = (1.0, 0.03, 1e-3, 30.0)  # 1e-3: x**2 is near eps
ROWS = ("", "zeros", "onehot", "outlier", "same")
TOGETHER = 4  # examples in one draw
SIDES = ("none", "left", "right", "interior", "empty")


def one_of(*palette: T) -> SearchStrategy[T]:
    """One value of a palette, the simplest first."""
    try:
        return _sampled(palette, tuple(map(type, palette)))
    except TypeError:  # not hashable
        return st.sampled_from(palette)


@functools.cache
def _sampled(palette: tuple[Any, ...], types: tuple[type, ...]) -> SearchStrategy[Any]:
    """A strategy made anew at every draw costs more than the draw; `types` tells 1 from True."""
    return st.sampled_from(palette)


def _once(make: Callable[P, SearchStrategy[T]]) -> Callable[P, SearchStrategy[T]]:
    """Make a strategy once for its arguments: at its first draw, Hypothesis looks through it, which costs more."""
    made = functools.lru_cache(maxsize=512, typed=True)(make)

    @functools.wraps(make)
    def kept(*args: P.args, **kwargs: P.kwargs) -> SearchStrategy[T]:
        given: Any = [tuple(cast(Any, x)) if isinstance(x, list) else x for x in args]
        try:
            return made(*given, **kwargs)
        except TypeError:  # not hashable
            return make(*args, **kwargs)

    return kept


def seeds() -> SearchStrategy[int]:
    """A seed for NumPy."""
    return st.integers(0, 2**20)


@_once
def floats(
    shape: Sequence[int], *, scales: Sequence[float] = SCALES, rows: Sequence[str] = ROWS
) -> SearchStrategy[Floats]:
    """Normal floats of a drawn magnitude, now and then with hard rows among them."""
    return st.builds(Floats, shape=st.just(tuple(shape)), seed=seeds(), scale=one_of(*scales), rows=one_of("", *rows))


@_once
def tokens(
    shape: Sequence[int], high: int, *, low: int = 0, holes: Sequence[int | None] = (None,)
) -> SearchStrategy[Tokens]:
    """Token ids from `low` to below `high`; a third of them give way to a number of `holes`, where it is not None."""
    ids = {"high": st.just(high), "low": st.just(low), "hole": one_of(*holes)}
    return st.builds(Tokens, shape=st.just(tuple(shape)), seed=seeds(), **ids)


@_once
def padding(batch: int, length: int, *, sides: Sequence[str] = SIDES) -> SearchStrategy[Padding]:
    """A padding mask (batch, length) on any side."""
    return st.builds(Padding, shape=st.just((batch, length)), seed=seeds(), side=one_of(*sides))


@_once
def masks(batch: int, length: int, *, form: str = "additive", sides: Sequence[str] = SIDES) -> SearchStrategy[Mask]:
    """A causal 4D mask (batch, 1, length, length) over a padding on any side."""
    shape = st.just((batch, 1, length, length))
    return st.builds(Mask, shape=shape, seed=seeds(), side=one_of(*sides), form=st.just(form))


@_once
def positions(
    batch: int,
    length: int,
    *,
    starts: Sequence[int] = (0,),
    forms: Sequence[str] = ("arange", "rows", "packed", "random"),
) -> SearchStrategy[Positions]:
    """Position ids (batch, length) of any form, from a start of the palette."""
    return st.builds(
        Positions, shape=st.just((batch, length)), seed=seeds(), form=one_of(*forms), start=one_of(*starts)
    )


@_once
def rotations(shape: Sequence[int]) -> SearchStrategy[tuple[Waves, Waves]]:
    """Cosine and sine tables (batch, length, dim) of one set of random angles."""

    def pair(seed: int) -> tuple[Waves, Waves]:
        return Waves(shape=tuple(shape), seed=seed, of="cos"), Waves(shape=tuple(shape), seed=seed, of="sin")

    return seeds().map(pair)


def examples(case: Case, pool: Sequence[tuple[Json, Json]] | None = None) -> SearchStrategy[Example]:
    """Examples of a case; with a pool, only of its configurations and forms (and so of few traces)."""

    def example(pair: tuple[Json, Json]) -> SearchStrategy[Example]:
        drawn = st.tuples(case.inputs(*pair), seeds(), one_of("scaled", "small"))
        return drawn.map(lambda parts: Example(*pair, parts[0], Weights(parts[1], parts[2])))

    if pool and len(pool) == 1:  # a strategy made anew for each example costs more than all its draws
        return example(pool[0])
    pairs = st.sampled_from(pool) if pool else case.configs.flatmap(lambda c: st.tuples(st.just(c), case.forms(c)))
    return pairs.flatmap(example)


def some(case: Case, setup: tuple[Json, Json], *, number: int, seed: int) -> list[Example]:
    """So many examples of one configuration and form, some of them perhaps alike; the first is the simplest.

    Several are one draw, since Hypothesis takes 0.3 ms for a draw, whatever is in it.
    """
    found: list[Example] = []
    together = min(number, TOGETHER)
    several = st.lists(examples(case, [setup]), min_size=together, max_size=together)
    run(several, found.extend, examples=1 + math.ceil((number - 1) / together), seed=seed)
    return found[together - 1 :][:number]  # the first draw is the simplest example, over and over


def pool(case: Case, *, seed: int) -> tuple[tuple[Json, Json], ...]:
    """The configurations and forms that a run with this seed uses: `case.pool` of them, as diverse as can be.

    Many are drawn. Then, in turn, the next one is the one with the largest share of pairs of values not seen together
    yet, since bugs need two fields to meet (a rope type and its limit, grouped heads and a bias) far more often than
    three; and the one whose values were taken least often so far, so that a kind with few fields gets its share too.
    """
    drawn: list[tuple[Json, Json]] = []
    pairs = case.configs.flatmap(lambda config: st.tuples(st.just(config), case.forms(config)))
    run(pairs, drawn.append, examples=max(80, 8 * case.pool), seed=seed_of(seed, case.name))
    left = {" ".join(values): (pair, values) for pair in drawn for values in [values_of(pair)]}
    chosen: list[tuple[Json, Json]] = []
    met: set[tuple[str, str]] = set()
    taken: Counter[str] = Counter()

    def news(name: str) -> float:
        pairs = _pairs(left[name][1])
        return len(pairs - met) / max(len(pairs), 1)

    def rarity(name: str) -> float:
        values = left[name][1]
        return -sum(taken[value] for value in values) / max(len(values), 1)

    while left and len(chosen) < case.pool:
        pair, values = left.pop(max(left, key=rarity if len(chosen) % 2 else news))
        chosen.append(pair)
        met |= _pairs(values)
        taken.update(values)
    return tuple(chosen)


def values_of(pair: tuple[Json, Json]) -> list[str]:
    """Every field of a configuration and a form with its value, as texts that can be compared."""
    return sorted(f"{path}={value!r}" for part in pair for path, value in _flat(part))


def _pairs(values: list[str]) -> set[tuple[str, str]]:
    """Every two values that meet in a configuration and form."""
    return {(a, b) for number, a in enumerate(values) for b in values[number:]}


def _flat(node: Json, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in node.items():
        if isinstance(value, dict):
            yield from _flat(cast(Json, value), f"{prefix}{key}.")
        else:
            yield prefix + key, value


def seed_of(seed: int, subject: str) -> int:
    """The seed of one subject in a run: the same in every process and in every order."""
    return crc32(f"{seed} {subject}".encode())


def run(
    strategy: SearchStrategy[T],
    body: Callable[[T], None],
    *,
    examples: int,
    seed: int,
    shrink: bool = False,
) -> None:
    """Call `body` with drawn values; what it raises shrinks if asked, and comes out as it was raised.

    No example database and no clock take part, so that one seed means one sequence of values, in every process.
    """

    @hypothesis.seed(seed)
    @hypothesis.settings(
        max_examples=examples,
        deadline=None,
        database=None,
        phases=[hypothesis.Phase.generate, *([hypothesis.Phase.shrink] if shrink else [])],
        suppress_health_check=list(cast(Any, hypothesis.HealthCheck)),
        report_multiple_bugs=False,
        print_blob=False,
        verbosity=hypothesis.Verbosity.quiet,
    )
    @hypothesis.given(strategy)
    def drawn(value: T) -> None:
        body(value)

    with _no_local_constants(), warnings.catch_warnings():
        warnings.simplefilter("ignore", HypothesisWarning)
        drawn()


@contextlib.contextmanager
def _no_local_constants() -> Iterator[None]:
    """Keep Hypothesis from drawing constants of the modules that happen to be imported.

    It would make a run's examples depend on what else the process has loaded: `parity check` and two xdist workers
    would each see others.
    """
    provider: Any = providers.HypothesisProvider
    before = provider._maybe_draw_constant
    provider._maybe_draw_constant = lambda self, choice_type, constraints, *, p=0.05: None
    try:
        yield
    finally:
        provider._maybe_draw_constant = before
