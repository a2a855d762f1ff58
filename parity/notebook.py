"""The front door of a notebook: `parity.check`, `parity.replay`, `parity.compare`; light until one is called."""

import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from parity.case import Case, Example
from parity.errors import BadInput
from parity.weights import Rule, Rules

if TYPE_CHECKING:  # pydantic, torch and jax: an `import parity` must not cost them
    from parity.replayed import Replay
    from parity.report.notebook import Shown


def check(
    *cases: str | Case,
    checks: Collection[str] = (),
    examples: int = 50,
    seed: int = 0,
    time_limit: float | None = None,
    stop_first: bool = False,
    root: Path | None = None,
) -> "Shown":
    """Check cases of the root that the working directory lies in; `parity.session.check` says what the arguments are.

    Returns:
        The results; a notebook shows them as a table, `print` as the terminal does.

    Raises:
        BadInput: a name is unknown, nothing is selected, or the root's files are broken.
    """
    from parity import session
    from parity.report.notebook import shown

    return shown(
        session.check(
            *cases,
            checks=checks,
            examples=examples,
            seed=seed,
            time_limit=time_limit,
            stop_first=stop_first,
            root=root,
        )
    )


def replay(token: str, case: str | Case | None = None, *, check: str = "exact", root: Path | None = None) -> "Replay":
    """Run one example again, and keep both sides' arrays: `.reference`, `.port` and `.exact`, by output name.

    Args:
        token: a replay token; or a whole replay command, as a failure's report and `Result.replay` have it.
        case: whose example it is, where `token` is no command.
        check: which check to ask, where `token` is no command.
        root: another folder to look for the root from.

    Raises:
        BadInput: the token is none, or the case or check is unknown.
    """
    from parity import session
    from parity.replayed import replay as replayed

    words = shlex.split(token)
    if words[:2] == ["parity", "replay"]:
        given = dict(zip(words[3::2], words[4::2], strict=False))
        case, check, token = words[2], given.get("--check", check), given.get("--example", "")
    if case is None:
        raise BadInput("a token does not say whose example it is: give the case's name too, or the whole command")
    name = case.name if isinstance(case, Case) else case
    return replayed(session.load(root), name, Example.from_token(token), check=check)


def compare(
    torch_module: Any,
    flax_module: Any,
    inputs: Any,
    *,
    weights: Rules | Mapping[str, Rule] | None = None,
    at: Mapping[str, str] | None = None,
    arguments: Mapping[str, str] | None = None,
    checks: Collection[str] = (),
    examples: int = 20,
    seed: int = 0,
    tolerances: Mapping[str, Mapping[str, float]] | None = None,
    name: str | None = None,
) -> "Shown":
    """The whole verdict on two modules; `parity.compared.compare` says what the arguments are.

    Returns:
        The results; a notebook shows them as a table, `print` as the terminal does.

    Raises:
        BadInput: something is no module, or no input, that can be compared.
    """
    from parity import compared
    from parity.report.notebook import shown

    return shown(
        compared.compare(
            torch_module,
            flax_module,
            inputs,
            weights=weights,
            at=at,
            arguments=arguments,
            checks=checks,
            examples=examples,
            seed=seed,
            tolerances=tolerances,
            name=name,
        )
    )
