"""The exceptions of parity, and what each asks of the person who meets it."""

from collections.abc import Sequence


class ParityError(Exception):
    """Anything that parity raises on purpose."""


class BadInput(ParityError):
    """Wrong use or a broken file: told in one clear line, exit status 2."""


class WeightMapError(ParityError):
    """A weight map is not one-to-one; carries every problem that the plan has, not the first one."""

    def __init__(self, subject: str, problems: Sequence[str]) -> None:
        self.subject = subject
        self.problems = tuple(problems)
        lines = "\n".join(f"  {problem}" for problem in self.problems)
        super().__init__(f"{subject}: the weight map is not one-to-one:\n{lines}")


class OutputMismatch(ParityError):
    """Two outputs can't be compared: other names, shapes or dtypes, or NaN and inf in other places."""


class StaleEdit(ParityError):
    """A fault or an equivalent no longer applies, since the port's source has changed under it."""
