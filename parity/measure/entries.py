"""Calibrated entries written into the text of tolerances.yaml, with its comments kept."""

import datetime
import io
from collections.abc import Mapping
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.representer import RoundTripRepresenter

from parity.measure.calibrate import Calibration, Layer

CHANGED = ("new", "tighter", "looser")
VERSIONS = ("torch", "jax", "flax", "transformers")


def rewritten(
    text: str, calibration: Calibration, *, why: str = "", versions: Mapping[str, str], date: datetime.date
) -> str:
    """The file's text with every entry that was not refused; what is the same already is left as it is, date and all.

    Args:
        text: of the file; valid.
        calibration: what was measured and proposed.
        why: the reason for bounds that are looser.
        versions: of the packages that took part, by name.
        date: of the measurement.
    """
    yaml = YAML(typ="rt")
    yaml.Representer = _Representer
    yaml.preserve_quotes = True
    yaml.width = 120
    document = yaml.load(text) or CommentedMap()
    for layer in calibration.layers:
        if layer.proposals and not layer.refused:
            _enter(_below(document, "layers", layer.measured.case, layer.measured.check), layer, why, versions, date)
    stream = io.StringIO()
    yaml.dump(document, stream)
    return stream.getvalue()


class _Representer(RoundTripRepresenter):
    """Floats as YAML 1.1 reads them too: 1.0e-13, not 1e-13."""


def _float(representer: Any, value: float) -> Any:
    digits, e, exponent = f"{value:.12g}".partition("e")
    text = f"{digits if '.' in digits else f'{digits}.0'}{e}{exponent}"
    return representer.represent_scalar("tag:yaml.org,2002:float", text)


_Representer.add_representer(float, _float)


def _below(node: Any, *path: str) -> Any:
    """The mapping at a path, made where there is none; none of it in braces, since an entry takes several lines."""
    for name in path:
        if not isinstance(node.get(name), CommentedMap):
            node[name] = CommentedMap()
        node = node[name]
        node.fa.set_block_style()
    return node


def _enter(entry: Any, layer: Layer, why: str, versions: Mapping[str, str], date: datetime.date) -> None:
    measured = _measured(layer, versions)
    before = dict(entry.get("measured") or {})
    same = _plain(before) == _plain(measured)
    for proposal in layer.proposals:
        if proposal.new is not None and proposal.verdict in CHANGED:
            entry[proposal.measure] = _number(proposal.new)
        if proposal.verdict == "looser":
            entry["why"] = why
    if not same:
        measured["date"] = date.replace()  # one object in two places would become an anchor and an alias
        entry.pop("measured", None)  # it goes behind the bounds
        entry["measured"] = measured


def _measured(layer: Layer, versions: Mapping[str, str]) -> CommentedMap:
    found = layer.measured
    measured = CommentedMap({name: float(f"{each.worst:.3g}") for name, each in found.measures.items()})
    measured.update(examples=found.examples, seeds=found.seeds, fingerprint=layer.fingerprint)
    measured["versions"] = CommentedMap({name: versions[name] for name in VERSIONS if name in versions})
    measured["versions"].fa.set_flow_style()
    return measured


def _plain(measured: Mapping[str, Any]) -> dict[str, Any]:
    """What was measured, without the date, as values that compare."""
    return {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in measured.items() if key != "date"
    }


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value
