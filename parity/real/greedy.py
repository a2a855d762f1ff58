"""Greedy decoding: the token that the port would choose at each step, given what the reference has written so far.

One full forward pass answers for all steps: the port's choice at a position depends only on what is before it. As long
as every choice was the reference's, what is before it is also what the port itself would have written; so no difference
means the same text, by induction. After a difference that is a tie, the port is judged on along the reference's text.
"""

import numpy as np
import numpy.typing as npt

from parity.results import Limit, Result, Worst

Floats = npt.NDArray[np.floating]
Tokens = npt.NDArray[np.integer]


def compare(case: str, tokens: Tokens, scores: Floats, *, exact: Floats, port: Floats) -> Result:
    """Judge every step of every sequence.

    A difference is a tie where the reference could have fallen to either side just as well: the exact margin between
    the two tokens is at most twice the largest logit error of the port, and of the reference too (each side's
    error moves both logits). It must be within both: a port's own error alone would excuse any port. And it is the
    margin of the two tokens in question: that the two best are close excuses no third one.

    Args:
        case: whom the result is of.
        tokens: what the reference chose, step by step [B, S].
        scores: the logits it chose by, from its own cached decoding [B, S, V].
        exact: the logits of the same steps in exact arithmetic [B, S, V].
        port: the port's, in float32 [B, S, V].
    """
    ties, wrong = 0, ""
    failures = 0
    worst: Worst | None = None
    chosen = port.argmax(-1)
    for row, step in np.argwhere(chosen != tokens):
        y, r, p = (side[row, step].astype(np.float64) for side in (exact, scores, port))
        theirs, ours = int(tokens[row, step]), int(chosen[row, step])
        margin = abs(float(y[theirs] - y[ours]))
        room = [2 * float(np.abs(side - y).max()) for side in (r, p)]
        if margin <= np.min(room):  # not even where the port has NaN
            ties += 1
            continue
        failures += 1
        if not wrong:
            wrong = (
                f"prompt {row}, step {step}: the port chooses token {ours}, the reference {theirs}; the exact margin "
                f"of the two is {margin:.3g}, twice the largest error {room[0]:.3g} in the reference and "
                f"{room[1]:.3g} in the port"
            )
            index = (int(row), int(step), ours)
            worst = Worst(output="logits", index=index, exact=y[ours], reference=r[ours], port=p[ours])
    said = f"{tokens.size} tokens of {len(tokens)} prompts, {ties} of them ties that fall the other way"
    return Result(
        case=case,
        check="checkpoint:greedy",
        status="failed" if failures else "passed",
        examples=int(tokens.size),
        used=None,
        worst=worst,
        limit=Limit(name="tokens", value=0, where="parity/real/greedy.py") if failures else None,
        measured={},
        message=f"{wrong}; {failures} of {tokens.size} tokens differ" if failures else said,
    )
