"""tolerances.yaml: read, validated with line numbers, and held against what was measured."""

import dataclasses
import math
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from parity.error import Error
from parity.errors import BadInput
from parity.registry import ROOT_FILE as FILE
from parity.registry import nearest
from parity.results import Limit

MEASURES: Mapping[str, tuple[str, ...]] = {
    "exact": ("rtol",),
    "gradient": ("rtol", "ratio"),
    "rounded": ("differ",),
    "float32": ("ratio", "rtol"),
    "bfloat16": ("ratio", "rtol"),
    "float16": ("ratio", "rtol"),
    "eager": ("ratio",),
    "transforms": ("rtol",),
    "decode": ("rtol",),
    "sharded": ("rtol",),
    "training": ("rtol", "ratio"),
}
_KEYS = ("why", "measured")
_MEASURED = ("examples", "seeds", "versions", "date", "fingerprint")
_LOOSEST = 0.1  # a relative bound from here on judges nothing


@dataclasses.dataclass(frozen=True)
class Verdict:
    """Whether an error is within its bounds; `limit` is the bound that was nearest, `used` its share."""

    used: float
    limit: Limit

    @property
    def passed(self) -> bool:
        return self.used <= 1.0


@dataclasses.dataclass(frozen=True)
class Tolerances:
    """Bounds by check, and by case and check; read with `read`, which validates them.

    `measured`: by case and check, what calibration found and where, as it stands in the file.
    `reasons`: (case, check) -> its `why`.
    """

    defaults: Mapping[str, Mapping[str, Limit]]
    layers: Mapping[str, Mapping[str, Mapping[str, Limit]]]
    measured: Mapping[str, Mapping[str, Mapping[str, Any]]] = dataclasses.field(
        default_factory=dict[str, Mapping[str, Mapping[str, Any]]]
    )
    reasons: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict[tuple[str, str], str])

    def bounds(self, case: str, check: str) -> tuple[Limit, ...]:
        """What judges a check of a case: its own bounds, and the defaults of measures it does not name."""
        own = self.layers.get(case, {}).get(check, {})
        return tuple({**self.defaults.get(check, {}), **own}.values())

    def beyond(self) -> "Tolerances":
        """Bounds for sizes that calibration did not draw, such as a real checkpoint's.

        An rtol grows with widths and depths, so a layer's bound counts where it has a default and is looser; the
        defaults judge all else.
        """
        layers = {
            case: {
                check: {
                    name: bound
                    for name, bound in own.items()
                    if name in self.defaults.get(check, {}) and bound.value > self.defaults[check][name].value
                }
                for check, own in checks.items()
            }
            for case, checks in self.layers.items()
        }
        return dataclasses.replace(self, layers=layers)

    def judge(self, case: str, check: str, error: Error) -> Verdict:
        """Hold measured values against the bounds; NaN is never within one."""
        bounds = self.bounds(case, check)
        if not bounds:
            raise BadInput(f"{FILE} has no bound for the check {check!r} of {case}: add one under defaults")
        shares = [(_share(error.measures.get(bound.name, 0.0), bound.value), bound) for bound in bounds]
        used, limit = max(shares, key=lambda share: share[0])
        return Verdict(used, limit)


def stale(tolerances: Tolerances, fingerprints: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """The (case, check) whose bounds were measured on other code than there is now.

    Args:
        tolerances: with what was measured.
        fingerprints: by case, of the code as it is; a case that is not among them is not looked at.
    """
    return tuple(
        (case, check)
        for case, entries in tolerances.measured.items()
        for check, measured in entries.items()
        if case in fingerprints and str(measured.get("fingerprint")) != fingerprints[case]
    )


def read(root: Path, cases: Collection[str], broken: Collection[str] = ()) -> Tolerances:
    """Read and validate `root/tolerances.yaml`.

    Args:
        root: the folder of the file.
        cases: the names of all cases that there are.
        broken: ports with a case file that could not be loaded: their entries can't be told from entries for a case
            that is gone, and are let be.

    Raises:
        BadInput: the file is not YAML; a key, case or check is unknown; a value is not a bound; a bound is looser than
            its default and has no `why`. Names the line.
    """
    path = root / FILE
    try:
        document = YAML(typ="rt").load(path.read_text())
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadInput(f"{FILE}:{line}: not YAML: {' '.join(str(error.problem or error.context).split())}") from None
    except (YAMLError, UnicodeDecodeError) as error:
        raise BadInput(f"{FILE}: not YAML: {' '.join(str(error).split())}") from None
    except OSError as error:
        raise BadInput(f"{path}: {error.strerror}") from None
    top = _mapping(document if document is not None else {}, 1, "the file")
    _known(top, ("defaults", "layers"), "key")
    defaults = {
        check: _bounds(check, entry, line) for check, entry, line in _entries(top, "defaults") if _check(check, line)
    }
    layers: dict[str, dict[str, dict[str, Limit]]] = {}
    measured: dict[str, dict[str, Mapping[str, Any]]] = {}
    reasons: dict[tuple[str, str], str] = {}
    for case, entry, line in _entries(top, "layers"):
        if case not in cases and case.partition("/")[0] not in broken:
            raise BadInput(f"{FILE}:{line}: unknown case {case!r}{nearest(case, cases)}")
        layers[case] = {}
        for check, bound, at in _items(_mapping(entry, line, case)):
            _check(check, at)
            layers[case][check] = _bounds(check, bound, at, defaults.get(check, {}))
            if "measured" in bound:
                measured.setdefault(case, {})[check] = bound["measured"]
            if "why" in bound:
                reasons[case, check] = str(bound["why"])
    return Tolerances(defaults, layers, measured, reasons)


def passing(measured: float) -> float:
    """The smallest bound of two digits that a measured value passes."""
    if not math.isfinite(measured) or measured <= 0:
        return measured
    unit = 10.0 ** (math.floor(math.log10(measured)) - 1)
    rounded = float(f"{measured:.1e}")
    return rounded if rounded >= measured else float(f"{rounded + unit:.1e}")


def _bounds(check: str, entry: Any, line: int, defaults: Mapping[str, Limit] | None = None) -> dict[str, Limit]:
    """One entry's bounds; with `defaults`, the entry is a layer's and may not be looser without a reason."""
    fields = _mapping(entry, line, check)
    _known(fields, (*MEASURES[check], *_KEYS), f"key of {check}")
    if "measured" in fields:
        measured = _mapping(fields["measured"], _line(fields, "measured"), "measured")
        _known(measured, (*MEASURES[check], *_MEASURED), "key of measured")
    bounds: dict[str, Limit] = {}
    for name, value, at in _items(fields):
        if name in _KEYS:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
            raise BadInput(f"{FILE}:{at}: {check}.{name} must be a number above 0, not {value!r}")
        if name == "rtol" and value >= _LOOSEST:
            raise BadInput(f"{FILE}:{at}: {check}.rtol is {value:g}; {_LOOSEST:g} or more judges nothing")
        default = (defaults or {}).get(name)
        why = fields.get("why")
        if default and value > default.value and not (isinstance(why, str) and why.strip()):
            raise BadInput(
                f"{FILE}:{at}: {check}.{name} {value:g} is looser than its default {default.value:g} "
                f"({default.where}) and has no `why`"
            )
        where = "defaults" if defaults is None else "layers"
        bounds[name] = Limit(name=name, value=float(value), where=f"{FILE}:{at} ({where})")
    return bounds


def _check(check: str, line: int) -> bool:
    if check not in MEASURES:
        raise BadInput(f"{FILE}:{line}: unknown check {check!r}{nearest(check, MEASURES)}")
    return True


def _entries(top: Mapping[str, Any], section: str) -> Iterator[tuple[str, Any, int]]:
    entries = top.get(section)
    if entries is not None:
        yield from _items(_mapping(entries, _line(top, section), section))


def _items(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any, int]]:
    for key in fields:
        yield key, fields[key], _line(fields, key)


def _mapping(node: Any, line: int, subject: str) -> Mapping[str, Any]:
    if not isinstance(node, Mapping) or not all(isinstance(key, str) for key in cast(Mapping[Any, Any], node)):
        raise BadInput(f"{FILE}:{line}: {subject} must be a mapping of names, not {_said(node)}")
    return cast(Mapping[str, Any], node)


def _known(fields: Mapping[str, Any], keys: Collection[str], what: str) -> None:
    for key in fields:
        if key not in keys:
            raise BadInput(f"{FILE}:{_line(fields, key)}: unknown {what} {key!r}; known: {', '.join(keys)}")


def _line(fields: Any, key: str) -> int:
    try:
        return int(fields.lc.key(key)[0]) + 1
    except (AttributeError, KeyError, TypeError):
        return 1


def _said(node: Any) -> str:
    return "nothing" if node is None else f"{type(node).__name__} {str(node)[:40]!r}"


def _share(value: float, bound: float) -> float:
    return math.inf if math.isnan(value) else value / bound
