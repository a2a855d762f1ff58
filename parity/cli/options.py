"""The command line itself, and the options that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    add_completion=False, pretty_exceptions_enable=False, context_settings={"help_option_names": ["-h", "--help"]}
)
Names = Annotated[
    list[str] | None, typer.Argument(metavar="[CASE-OR-PORT]...", help="llama, llama/mlp or mlp; none: all.")
]
Checks = Annotated[
    list[str] | None, typer.Option("--check", metavar="NAME", help="exact, rejects, rejects:NAME ...; repeatable.")
]
Examples = Annotated[int, typer.Option(min=1, metavar="N", help="Distinct examples that each check must complete.")]
Seed = Annotated[int, typer.Option(metavar="N", help="Another seed draws other configurations and examples.")]
Limit = Annotated[float | None, typer.Option(min=0, metavar="S", help="Seconds after which no further check starts.")]
Checkpoint = Annotated[
    Path | None,
    typer.Option("--checkpoint", metavar="PATH", help="Check one port on a Hugging Face folder or a .gguf."),
]
Prose = Annotated[
    Path | None,
    typer.Option("--text", metavar="FILE", help="What the checkpoint reads, instead of the port's own text."),
]
Jobs = Annotated[
    int | None, typer.Option("-j", "--jobs", min=1, metavar="N", help="Cases checked at once; default: one a core.")
]
First = Annotated[bool, typer.Option("-x", "--stop-first", help="Stop at the first failure.")]
Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Write the results as JSON; - is stdout.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a report that a browser shows.")]
Markdown = Annotated[
    Path | None, typer.Option("--markdown", metavar="FILE", help="Write a report for a pull request or a CI summary.")
]
Token = Annotated[str, typer.Option("--example", metavar="TOKEN", help="The replay token of a failure.")]
Check = Annotated[str, typer.Option("--check", metavar="NAME", help="The check to ask.")]


def _version(asked: bool) -> None:
    if asked:
        from parity.environment import version

        typer.echo(f"parity {version()}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]


@app.callback()
def parity(version: Version = False) -> None:
    """Is a Flax port the same function as its PyTorch reference, layer by layer?"""
