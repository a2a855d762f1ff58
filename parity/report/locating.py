"""What `parity locate` is worth, on a terminal: how many faults of each case were located to the right part."""

from collections import Counter

from rich.text import Text

from parity.measure.locating import Measured
from parity.report.terminal import console_of, indented, print_as_is, text_of

COLUMNS = ("right", "parent", "wrong", "unseen", "clean", "blamed", "not asked")


def render(found: Measured, *, width: int = 80, color: bool = False) -> str:
    """A line a case, then whatever was not located to the right part."""
    console = console_of(color)
    counts: dict[str, Counter[str]] = {}
    for trial in found.trials:
        counts.setdefault(trial.case, Counter())[trial.outcome] += 1
    name = max((len(case) for case in counts), default=4)
    print_as_is(console, Text(f"{'case':{name}}  {'  '.join(COLUMNS)}", style="bold"))
    for case, count in counts.items():
        cells = "  ".join(f"{count[column] or '-':>{len(column)}}" for column in COLUMNS)
        print_as_is(console, Text(f"{case:{name}}  {cells}"))
    asked = found.count("right", "parent", "wrong", "unseen")
    print_as_is(
        console,
        Text(
            f"\n{found.count('right')} of {asked} faults located to the right part and layer ({found.share:.1%}), "
            f"{found.count('parent')} to its parent; {found.count('clean')} of {found.count('clean', 'blamed')} "
            f"equivalents blame nothing; seed {found.seed}, {found.seconds:.0f} s"
        ),
    )
    for trial in found.trials:
        if trial.outcome in ("parent", "wrong", "unseen", "blamed"):
            said = f"{trial.case} {trial.name}: {trial.outcome}; at `{trial.target}`, named {list(trial.named)}"
            print_as_is(console, Text(indented(f"{said} {trial.message}".rstrip(), width)))
    reasons = Counter(trial.message for trial in found.trials if trial.outcome == "not asked")
    for reason, count in reasons.items():
        print_as_is(console, Text(indented(f"not asked ({count}): {reason}", width), style="dim"))
    return text_of(console)
