"""Results as JSON, schema 1, and back."""

from parity.results import Results


def to_json(results: Results) -> str:
    """The whole run as JSON, its keys as the schema has them; inf and NaN are strings."""
    return results.model_dump_json(by_alias=True, indent=2) + "\n"


def from_json(text: str) -> Results:
    """The inverse of `to_json`; raises pydantic's ValidationError for anything else."""
    return Results.model_validate_json(text)
