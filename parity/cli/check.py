"""`parity list | check | replay`."""

import sys

import typer

from parity.cli.options import (
    Check,
    Checkpoint,
    Checks,
    Examples,
    First,
    Html,
    Jobs,
    Json,
    Limit,
    Markdown,
    Names,
    Prose,
    Seed,
    Token,
    app,
)
from parity.cli.output import check_files, color, complain, publish, refuse_text_alone, say, width
from parity.cli.report import write_reports
from parity.errors import BadInput


@app.command("list")
def list_cases() -> None:
    """List the cases bottom-up: parts, checks, faults, equivalents, file."""
    from parity import session
    from parity.report import listing

    workspace = session.load()
    say(listing.render(workspace.registry), sys.stdout)
    for broken in workspace.registry.broken:
        complain(str(broken))
    raise typer.Exit(2 if workspace.registry.broken or not workspace.registry.cases else 0)


@app.command()
def check(
    cases: Names = None,
    checks: Checks = None,
    examples: Examples = 50,
    seed: Seed = 0,
    time_limit: Limit = None,
    stop_first: First = False,
    jobs: Jobs = None,
    checkpoint: Checkpoint = None,
    text: Prose = None,
    json: Json = None,
    html: Html = None,
    markdown: Markdown = None,
) -> None:
    """Check cases, leaf layers first. Exit status: 0 all passed, 1 a finding, 2 wrong use or a broken file."""
    from parity import session, workers
    from parity.report import live, terminal
    from parity.report.json import to_json

    check_files(json, html, markdown)
    refuse_text_alone(checkpoint, text)
    if checkpoint is not None and (checks or len(cases or ()) != 1):
        raise BadInput("--checkpoint runs all its checks of one port: name the port, and no --check")
    workspace = session.load()
    if checkpoint is not None:
        from parity import real

        with live.progress(None) as hooks:
            results = real.run(workspace, (cases or [""])[0], checkpoint, text=text, hooks=hooks)
    else:
        selection = session.select(workspace.registry, cases or (), checks or ())
        settings = session.settings(examples=examples, seed=seed, time_limit=time_limit)
        with live.progress(len(selection.pairs)) as hooks:
            results = session.run(
                workspace, selection, settings, hooks=hooks, stop_first=stop_first, jobs=jobs or workers.cores()
            )
        if results.exit_status == 1:
            from parity.locating.failures import causes
            from parity.report.failure import with_causes

            results = with_causes(results, causes(workspace, results))
    publish(results, terminal.render, json=json, to_json=to_json)
    write_reports(results, html=html, markdown=markdown)
    raise typer.Exit(results.exit_status)


@app.command()
def replay(case: str, token: Token, check: Check = "exact") -> None:
    """Run one example of a case again, verbosely. Exit status: 0 it passes, 1 it fails, 2 a side can't be run."""
    from parity import session
    from parity.case import Example
    from parity.replayed import replay as replayed
    from parity.report import replay as report

    example = Example.from_token(token)
    found = replayed(session.load(), case, example, check=check)
    say(report.render(found, width=width(), color=color(sys.stdout)), sys.stdout)
    raise typer.Exit(found.exit_status)
