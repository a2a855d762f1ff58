"""Results as JSON, schema 1, and back; and what the schema says, as JSON Schema."""

import json
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from parity.errors import BadInput
from parity.located import SCHEMA as LOCATED_SCHEMA
from parity.located import Located
from parity.measure.audited import SCHEMA as AUDIT_SCHEMA
from parity.measure.audited import Audit
from parity.results import SCHEMA, Results

FILE = "results.json"  # what a folder of reports holds
T = TypeVar("T", bound=BaseModel)


def to_json(results: Results) -> str:
    """The whole run as JSON, its keys as the schema has them; inf and NaN are strings."""
    return results.model_dump_json(by_alias=True, indent=2) + "\n"


def from_json(text: str) -> Results:
    """The inverse of `to_json`; raises pydantic's ValidationError for anything else."""
    return Results.model_validate_json(text)


def read(path: Path) -> Results:
    """Read a results file, or the one in a folder.

    Raises:
        BadInput: it is not there, not whole, of another schema version, or not a run's results; in one line.
    """
    file = path / FILE if path.is_dir() else path
    if path.is_dir() and not file.is_file():
        raise BadInput(f"{path}: there is no {FILE} in this folder")
    return _read(file, Results, SCHEMA)


def read_audit(path: Path) -> Audit:
    """Read what `parity audit --json` wrote; raises BadInput as `read` does."""
    return _read(path, Audit, AUDIT_SCHEMA)


def read_located(path: Path) -> Located:
    """Read what `parity locate --json` wrote; raises BadInput as `read` does."""
    return _read(path, Located, LOCATED_SCHEMA)


def schema() -> str:
    """The JSON Schema (draft 2020-12) of a results file."""
    node = Results.model_json_schema(by_alias=True, mode="serialization", schema_generator=_Schema)
    node["properties"]["schema"] = {"const": SCHEMA}
    identity = {"$schema": _Schema.schema_dialect, "title": f"parity results, schema {SCHEMA}"}
    return json.dumps({**identity, **{k: v for k, v in node.items() if k != "title"}}, indent=2) + "\n"


class _Schema(GenerateJsonSchema):
    """Numbers may be the words that stand for inf and NaN."""

    def float_schema(self, schema: core_schema.FloatSchema) -> JsonSchemaValue:
        return {"anyOf": [{"type": "number"}, {"enum": ["Infinity", "-Infinity", "NaN"]}]}


def _read(file: Path, model: type[T], version: int) -> T:
    try:
        node: Any = json.loads(file.read_bytes())
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise BadInput(f"{file}: not JSON: it is not text") from None
    except (json.JSONDecodeError, RecursionError) as error:
        line = f"line {error.lineno}" if isinstance(error, json.JSONDecodeError) else "nested too deep"
        raise BadInput(f"{file}: not JSON, or cut off: {line}") from None
    if not isinstance(node, dict) or "schema" not in node:
        raise BadInput(f"{file}: this is not a file of parity's: it names no schema")
    if (found := cast(dict[str, Any], node)["schema"]) != version:
        raise BadInput(f"{file}: schema {found!r:.20}, but this parity reads schema {version}")
    try:
        return model.model_validate(node)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the file"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BadInput(f"{file}: {place}: {first['msg']}{more}") from None
