"""`parity locate`: a whole model, part by part: where do port and reference part?"""

from pathlib import Path
from typing import Annotated

import typer

from parity.cli.options import Html, Json, Markdown, Prose, Seed, app
from parity.cli.output import check_files, publish, refuse_text_alone, tell
from parity.errors import BadInput

Port = Annotated[str, typer.Argument(metavar="PORT", help="llama; or one case of it, such as block.")]
Checkpoint = Annotated[
    Path | None, typer.Option("--checkpoint", metavar="PATH", help="A Hugging Face folder or a .gguf, layer by layer.")
]
Dtype = Annotated[
    str,
    typer.Option(
        "--dtype",
        metavar="D",
        help="float64 (exact); float32, bfloat16, float16 by error ratio; rounded:bfloat16, rounded:float16 for casts.",
    ),
]
Backward = Annotated[bool, typer.Option("--backward", help="Walk the cotangents from the outputs down.")]
Token = Annotated[str | None, typer.Option("--example", metavar="TOKEN", help="This example: the token of a replay.")]
Fault = Annotated[
    str | None,
    typer.Option(
        "--fault", metavar="NAME@PATH", hidden=True, help="Inject this declared fault there, to see it found."
    ),
]


@app.command()
def locate(
    port: Port,
    checkpoint: Checkpoint = None,
    text: Prose = None,
    dtype: Dtype = "float64",
    backward: Backward = False,
    seed: Seed = 0,
    example: Token = None,
    fault: Fault = None,
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Find the part where a port leaves its reference. Exit status: 0 no divergence, 1 a culprit, 2 wrong use."""
    from parity.locate import locate as search
    from parity.report import locate as report
    from parity.report import located as reports

    check_files(json, html, markdown)
    refuse_text_alone(checkpoint, text)
    if checkpoint is not None and example is not None:
        raise BadInput("--example is a drawn one: it needs no --checkpoint")
    tell(f"locating in {port}")
    found = search(
        port,
        checkpoint=checkpoint,
        text=text,
        dtype=dtype,
        backward=backward,
        seed=seed,
        example=example,
        fault=fault,
    )
    files = (html, reports.html), (markdown, reports.markdown)
    publish(found, report.render, json=json, to_json=reports.to_json, files=files)
    raise typer.Exit(found.exit_status)
