"""A run's verdict in a sentence, for every renderer that opens with it."""

import dataclasses
from collections.abc import Sequence

from parity.report.matrix import group_of
from parity.results import STATUSES, Result, Results, Status

SYMBOLS = {"passed": "✓", "failed": "✗", "error": "!", "blocked": "▲", "skipped": "»", "todo": "…", None: "·"}

GRAVE: tuple[Status, ...] = ("error", "failed", "blocked")


@dataclasses.dataclass(frozen=True)
class Verdict:
    """`status` as a result's, or 'interrupted'; `symbol` and `text` say it without colours."""

    status: str
    symbol: str
    text: str


@dataclasses.dataclass(frozen=True)
class Blocked:
    """A case whose checks rest on a failed one; `why` is a clause."""

    case: str
    checks: tuple[str, ...]
    why: str


def verdict(results: Results) -> Verdict:
    """Whose checks these are, and what they came to: 'llama: 1 layer fails (llama/mlp); ...'."""
    cases = dict.fromkeys(result.case for result in results.results)
    ports = ", ".join(dict.fromkeys(case.partition("/")[0] for case in cases)) or "nothing"
    if results.interrupted:
        return Verdict("interrupted", "!", f"{ports}: interrupted")
    if not results.results:
        return Verdict("error", "!", "nothing ran")
    found = {status: _cases(results.results, status) for status in STATUSES}
    found["blocked"] = [case for case in found["blocked"] if case not in (*found["failed"], *found["error"])]
    said = [
        f"{len(names)} {'layer' if len(names) == 1 else 'layers'} {word} ({_some(names)})"
        for status, word in (("error", "can't be judged"), ("failed", "fails"), ("blocked", "rests on that"))
        if (names := found[status])
    ]
    worst: list[Status] = [status for status in GRAVE if found[status]]
    status: Status = worst[0] if worst else "passed"
    text = "; ".join(said).replace("layers fails", "layers fail").replace("layers rests", "layers rest") or "all passed"
    return Verdict("failed" if status == "blocked" else status, SYMBOLS[status], f"{ports}: {text}")


def counts(results: Results) -> str:
    """'240 passed, 1 skipped in 181.0 s'."""
    seconds = results.seconds or sum(result.seconds for result in results.results)
    said = [f"{results.summary.get(status, 0)} {status}" for status in STATUSES if results.summary.get(status)]
    return f"{', '.join(said) or 'nothing ran'} in {seconds:.1f} s"


def blocked(results: Sequence[Result]) -> tuple[Blocked, ...]:
    """One entry a case and culprit."""
    found: dict[tuple[str, str], list[str]] = {}
    for result in results:
        if result.status == "blocked":
            checks = found.setdefault((result.case, str(result.blocked_by)), [])
            checks.extend([group_of(result)] if group_of(result) not in checks else [])
    return tuple(
        Blocked(
            case,
            tuple(checks),
            f"blocked by {cause}" if cause != case else "blocked: they say nothing while the case itself fails",
        )
        for (case, cause), checks in found.items()
    )


def _cases(results: Sequence[Result], status: Status) -> list[str]:
    return list(dict.fromkeys(result.case for result in results if result.status == status))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
