"""`parity gate`: may this port be merged, and if not, why not?"""

from pathlib import Path
from typing import Annotated

import typer

from parity.cli.options import Examples, First, Jobs, Json, Markdown, Seed, app
from parity.cli.output import check_files, publish, tell

Port = Annotated[str, typer.Argument(metavar="PORT", help="Whose gate: llama.")]
Found = Annotated[
    Path | None,
    typer.Option("--results", metavar="FILE", help="Judge this run (parity check --json FILE) and make none."),
]
Audited = Annotated[
    Path | None,
    typer.Option("--audit", metavar="FILE", help="Judge these injected faults (parity audit --json FILE)."),
]
Deep = Annotated[bool, typer.Option("--deep", help="Locate every fault, not a sample of them; minutes more.")]


@app.command()
def gate(
    port: Port,
    results: Found = None,
    audit: Audited = None,
    examples: Examples = 50,
    seed: Seed = 0,
    jobs: Jobs = None,
    deep: Deep = False,
    stop_first: First = False,
    json: Json = None,
    markdown: Markdown = None,
) -> None:
    """Ask everything that CI asks of a port. Exit status: 0 the gate is open, 1 it is shut, 2 wrong use."""
    from parity import gate as gates
    from parity import session, workers
    from parity.report import gate as report
    from parity.report import live
    from parity.report.json import read, read_audit

    check_files(json, markdown)
    asked = gates.Asked(
        results=read(results) if results else None,
        audit=read_audit(audit) if audit else None,
        examples=examples,
        seed=seed,
        jobs=jobs or workers.cores(),
        deep=deep,
        stop_first=stop_first,
    )
    with live.progress(None) as hooks:
        found = gates.gate(session.load(), port, asked, hooks=hooks, progress=tell)
    publish(found, report.render, json=json, to_json=report.to_json, files=[(markdown, report.markdown)])
    raise typer.Exit(found.exit_status)
