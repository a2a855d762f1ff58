"""`parity report | diff | schema`: what is made of results that are there already."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from parity.cli.options import Html, Json, Markdown, app
from parity.cli.output import check_files, color, publish, say, width

if TYPE_CHECKING:  # pydantic: half a second that `parity --version` must not cost
    from parity.located import Located
    from parity.measure.audited import Audit
    from parity.results import Results

Found = Annotated[Path, typer.Argument(metavar="RESULTS", help="A results file, or a folder that holds results.json.")]
Audited = Annotated[
    Path | None, typer.Option("--audit", metavar="FILE", help="Show this audit's score too: parity audit --json FILE.")
]
Where = Annotated[
    Path | None, typer.Option("--located", metavar="FILE", help="Show this search too: parity locate --json FILE.")
]


@app.command()
def report(
    results: Found, audit: Audited = None, located: Where = None, html: Html = None, markdown: Markdown = None
) -> None:
    """Show a run's results again, as text, HTML or Markdown. Exit status: the run's own; 2 for a broken file."""
    from parity.report import locate as searches
    from parity.report import terminal
    from parity.report.json import read, read_audit, read_located

    check_files(html, markdown)
    found = read(results)
    score, search = read_audit(audit) if audit else None, read_located(located) if located else None
    write_reports(found, html=html, markdown=markdown, audit=score, located=search)
    say(terminal.render(found, width=width(), color=color(sys.stdout)), sys.stdout)
    if search:
        say("\n" + searches.render(search, width=width(), color=color(sys.stdout)), sys.stdout)
    raise typer.Exit(found.exit_status)


@app.command()
def diff(
    old: Annotated[Path, typer.Argument(metavar="OLD", help="A results file, or a folder that holds results.json.")],
    new: Annotated[Path, typer.Argument(metavar="NEW", help="The same, of the later run.")],
    json: Json = None,
    markdown: Markdown = None,
) -> None:
    """Say what moved between two runs, and whether a dependency did. Exit status: 0, or 1 if something newly fails."""
    from parity.diff import diff as compare
    from parity.report import diff as renderers
    from parity.report.json import read

    check_files(json, markdown)
    found = compare(read(old), read(new))
    publish(found, renderers.render, json=json, to_json=renderers.to_json, files=[(markdown, renderers.markdown)])
    raise typer.Exit(found.exit_status)


@app.command()
def schema() -> None:
    """Print the JSON Schema of a results file."""
    from parity.report import json

    say(json.schema(), sys.stdout)


def write_reports(
    results: "Results",
    *,
    html: Path | None,
    markdown: Path | None,
    audit: "Audit | None" = None,
    located: "Located | None" = None,
) -> None:
    """Write the reports that were asked for, each whole or not at all."""
    if html is None and markdown is None:
        return
    from parity.report import html as pages
    from parity.report import markdown as texts
    from parity.report.files import write_whole

    if html:
        write_whole(html, pages.render(results, audit=audit, located=located))
    if markdown:
        write_whole(markdown, texts.render(results, audit=audit, located=located))
