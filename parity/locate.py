"""`parity.locate`: one call that finds where a port and its reference part."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # pydantic: an `import parity` must not cost it
    from parity.located import Located


def locate(
    port: str,
    *,
    checkpoint: Path | str | None = None,
    text: Path | str | None = None,
    dtype: str = "float64",
    backward: bool = False,
    seed: int = 0,
    example: str | None = None,
    fault: str | None = None,
    root: Path | None = None,
) -> "Located":
    """Walk a whole model part by part, each on the reference's own inputs, and name the deepest that fails.

    Args:
        port: the name of a port, or of one of its cases.
        checkpoint: a Hugging Face folder or a .gguf file; drawn examples of the whole case otherwise.
        text: a file that the checkpoint reads instead of the port's own text.
        dtype: 'float64' is exact arithmetic; 'float32', 'bfloat16', 'float16' judge by error ratio; 'rounded:bfloat16'
            and 'rounded:float16' look for casts in other places.
        backward: walk the cotangents from the outputs down instead; in float64.
        seed: another one draws other examples.
        example: the replay token of one example, to walk that.
        fault: `[CASE:]NAME@PATH`: a declared fault of the port that is injected at one place, to see it found.
        root: another folder to look for the root from.

    Raises:
        BadInput: a name or a fault is unknown, or the checkpoint or text can't be used.
    """
    from parity import session
    from parity.case import Example
    from parity.locating.checkpoint import locate_checkpoint
    from parity.locating.run import locate_drawn

    workspace = session.load(root)
    if checkpoint is not None:
        path, prose = Path(checkpoint), Path(text) if text is not None else None
        return locate_checkpoint(workspace, port, path, text=prose, dtype=dtype, backward=backward, fault=fault)
    token = Example.from_token(example) if example is not None else None
    return locate_drawn(workspace, port, dtype=dtype, backward=backward, seed=seed, example=token, fault=fault)
