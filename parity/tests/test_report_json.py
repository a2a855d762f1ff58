"""Results files: what is refused, in one line, and that the published schema says what is written."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from parity.errors import BadInput
from parity.report.json import read, schema, to_json
from parity.tests import made_results as made


def test_a_results_file_and_its_folder_read_alike(tmp_path: Path) -> None:
    """What was written comes back."""
    before = made.results(made.PASSED.model_copy(update={"used": math.inf, "spread": (0.0, math.inf)}), made.FAILED)
    (tmp_path / "results.json").write_text(to_json(before))
    assert read(tmp_path) == read(tmp_path / "results.json") == before


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"schema": 2, "results": []}', "schema 2, but this parity reads schema 1"),
        ('{"schema": 1, "results": [{"case"', "not JSON, or cut off: line 1"),
        ("", "not JSON, or cut off: line 1"),
        ("[" * 100_000, "not JSON, or cut off: nested too deep"),
        ("[1]", "this is not a file of parity's: it names no schema"),
        ('{"schema": 1, "results": [{"case": "a"}]}', "results.0.check: Field required (and 1 more)"),
        ('{"schema": 1, "resluts": []}', "resluts: Extra inputs are not permitted"),
    ],
    ids=["version", "cut", "nothing", "deep", "list", "field", "key"],
)
def test_what_is_no_results_file_is_refused_in_a_line(tmp_path: Path, text: str, told: str) -> None:
    """The file is named, and what is wrong with it."""
    path = tmp_path / "results.json"
    path.write_text(text)
    with pytest.raises(BadInput) as caught:
        read(path)
    assert str(caught.value) == f"{path}: {told}"


def test_what_cannot_be_read_is_refused_in_a_line(tmp_path: Path) -> None:
    """A folder without results, a file that is not there, one that is no text."""
    (tmp_path / "binary").write_bytes(b"\xff\xfe\xfa")
    for path, told in (
        (tmp_path, "there is no results.json in this folder"),
        (tmp_path / "missing", "No such file or directory"),
        (tmp_path / "binary", "not JSON: it is not text"),
    ):
        with pytest.raises(BadInput, match=told):
            read(path)


def test_the_published_schema_knows_every_key_that_is_written() -> None:
    """Everything that a run with every status writes is of the type that the schema gives it."""
    node = json.loads(schema())
    assert node["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert node["properties"]["schema"] == {"const": 1}
    odd = made.PASSED.model_copy(update={"used": math.inf, "spread": (0.0, math.inf)})
    written = json.loads(to_json(made.results(odd, made.FAILED, *made.OTHERS, made.CRASHED)))
    _conforms(written, node, node)
    with pytest.raises(AssertionError):
        _conforms({**written, "seed": "seven"}, node, node)


TYPES: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
    "null": type(None),
    "object": dict,
    "array": list,
}


def _conforms(value: Any, rule: Any, root: Any) -> None:
    """As much of JSON Schema as the published one uses."""
    if "$ref" in rule:
        rule = root["$defs"][rule["$ref"].rpartition("/")[2]]
    if "anyOf" in rule:
        assert any(_does(value, each, root) for each in rule["anyOf"]), (value, rule)
    assert value == rule.get("const", value)
    assert value in rule.get("enum", [value])
    assert isinstance(value, TYPES.get(rule.get("type", ""), object)), (value, rule)
    if isinstance(value, dict):
        assert set(rule.get("required", [])) <= value.keys()
        others = rule.get("additionalProperties", True)
        for key, each in value.items():
            own = rule.get("properties", {}).get(key, others)
            assert own is not False, key
            _conforms(each, {} if own is True else own, root)
    if isinstance(value, list):
        for each in value:
            _conforms(each, rule.get("items", {}), root)


def _does(value: Any, rule: Any, root: Any) -> bool:
    try:
        _conforms(value, rule, root)
    except AssertionError:
        return False
    return True
