"""`parity bench | calibrate | soak | locating | audit`: the harness measured."""

import datetime
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer
from pydantic import BaseModel

from parity.cli.options import Checks, Examples, Json, Names, Seed, app
from parity.cli.output import color, deliver, say, tell, width
from parity.errors import BadInput


@app.command()
def bench(
    cases: Names = None,
    examples: Annotated[int, typer.Option(min=1, metavar="N", help="Examples of a run's pool.")] = 300,
    fresh: Annotated[int, typer.Option(min=1, metavar="N", help="Examples of which no configuration repeats.")] = 30,
    seed: Seed = 0,
    json: Json = None,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw it: SVG.")] = None,
    port: Annotated[str | None, typer.Option(metavar="NAME", help="Time a port and its reference.")] = None,
) -> None:
    """Measure the harness against a plain loop, side by side. Without names: what the suites say is worth it.

    With --port, time the port and its reference at the jobs that its suite names, or at those given by name.
    """
    from parity import session
    from parity.measure import bench as measure
    from parity.report import bench as report
    from parity.report.files import check_writable

    for file in (json, picture):
        if file not in (None, "-"):
            check_writable(Path(file))
    registry = (workspace := session.load()).registry
    if port is not None:
        from parity.measure import speed as measured
        from parity.report import speed as shown

        timed = measured.measure(registry, port, measured.chosen(registry, port, cases or ()), progress=tell)
        _given(shown.render(timed, color=color(_stream(json))), timed, json, picture, shown.picture)
        return
    overrides = {name: fields for suite in registry.suites.values() for name, fields in suite.bench.items()}
    found = measure.bench(
        workspace,
        registry.select(cases or tuple(overrides)),
        overrides=overrides,
        examples=examples,
        fresh=fresh,
        seed=seed,
        progress=lambda text: tell(text),
    )
    _given(report.render(found, color=color(_stream(json))), found, json, picture, report.picture)


def _stream(json: str | None) -> TextIO:
    """Where a table goes: not where JSON goes."""
    return sys.stderr if json == "-" else sys.stdout


def _given(table: str, found: BaseModel, json: str | None, picture: Path | None, draw: Callable[[Any], str]) -> None:
    """A measurement's table, and what was asked for besides."""
    from parity.report.files import write_whole

    say(table, _stream(json))
    if json:
        deliver(found.model_dump_json(indent=2) + "\n", json)
    if picture:
        write_whole(picture, draw(found))


@app.command()
def calibrate(
    port: Annotated[str, typer.Argument(metavar="PORT", help="Whose bounds: llama.")],
    cases: Annotated[list[str] | None, typer.Argument(metavar="[CASE]...", help="mlp, llama/mlp; none: all.")] = None,
    examples: Annotated[int, typer.Option(min=1, metavar="N", help="Distinct examples a check and seed.")] = 400,
    seeds: Annotated[int, typer.Option(min=1, metavar="K", help="How many seeds, each with other configurations.")] = 5,
    write: Annotated[bool, typer.Option("--write", help="Write tolerances.yaml.")] = False,
    loosen: Annotated[bool, typer.Option("--loosen", help="Let bounds be looser than before; needs --why.")] = False,
    why: Annotated[str | None, typer.Option(metavar="TEXT", help="The reason, kept in tolerances.yaml.")] = None,
    json: Json = None,
) -> None:
    """Measure clean runs and propose bounds for each layer. Exit status: 0, or 1 where a proposal was refused."""
    from parity import environment, session
    from parity.measure import calibrate, entries
    from parity.report import calibration, live
    from parity.report.files import check_writable, write_whole

    if loosen != bool(why and why.strip()):
        raise BadInput("--loosen and --why TEXT go together: a bound is loosened for a reason, or not at all")
    workspace = session.load()
    path = workspace.registry.root / "tolerances.yaml"
    if write:
        check_writable(path)
    if json not in (None, "-"):
        check_writable(Path(json))
    chosen = calibrate.select(workspace.registry, port, cases or ())
    with live.progress(calibrate.steps(chosen, seeds)) as hooks:
        found = calibrate.calibrate(workspace, chosen, examples=examples, seeds=seeds, loosen=loosen, hooks=hooks)
    if write:
        versions = {name: environment.version(name) for name in entries.VERSIONS}
        made = entries.rewritten(path.read_text(), found, why=why or "", versions=versions, date=datetime.date.today())
        write_whole(path, made)
    stream = sys.stderr if json == "-" else sys.stdout
    say(calibration.render(found, width=width(), color=color(stream), written=write), stream)
    if json:
        deliver(found.model_dump_json(indent=2) + "\n", json)
    raise typer.Exit(found.exit_status)


@app.command(hidden=True)
def soak(
    cases: Names = None,
    checks: Checks = None,
    examples: Annotated[int, typer.Option(min=1, metavar="N", help="Distinct examples in all.")] = 200_000,
    seeds: Annotated[int, typer.Option(min=1, metavar="K", help="How many seeds share them.")] = 20,
    first: Annotated[int, typer.Option(min=0, metavar="N", help="The first seed.")] = 100,
    json: Json = None,
) -> None:
    """Run the checks that have bounds over many seeds. Exit status: 0 no false alarm, 1 one or more."""
    from parity import session
    from parity.measure import soak
    from parity.report import live
    from parity.report import soak as report
    from parity.report.files import check_writable

    if json not in (None, "-"):
        check_writable(Path(json))
    workspace = session.load()
    asked = soak.asked(workspace, cases or (), checks or (), examples=examples, seeds=range(first, first + seeds))
    with live.progress(asked.runs) as hooks:
        found = soak.soak(workspace, asked, hooks=hooks)
    stream = sys.stderr if json == "-" else sys.stdout
    say(report.render(found, width=width(), color=color(stream)), stream)
    if json:
        deliver(found.model_dump_json(indent=2) + "\n", json)
    raise typer.Exit(found.exit_status)


@app.command(hidden=True)
def locating(
    port: Annotated[str, typer.Argument(metavar="PORT", help="Whose faults: llama.")],
    seed: Seed = 0,
    json: Json = None,
) -> None:
    """Inject every fault at a random place of a deep model, and see where `locate` points. Exit status: 0, or 1."""
    from parity import session
    from parity.measure import locating
    from parity.report import locating as report
    from parity.report.files import check_writable

    if json not in (None, "-"):
        check_writable(Path(json))
    found = locating.measure(session.load(), port, seed=seed, progress=tell)
    stream = sys.stderr if json == "-" else sys.stdout
    say(report.render(found, width=width(), color=color(stream)), stream)
    if json:
        deliver(found.model_dump_json(indent=2) + "\n", json)
    raise typer.Exit(found.exit_status)


@app.command()
def audit(cases: Names = None, examples: Examples = 50, seed: Seed = 0, json: Json = None) -> None:
    """Inject faults at every operation of a port. Exit status: 0 all caught or explained, 1 survivors, 2 wrong use."""
    from parity import session
    from parity.measure import audit
    from parity.report import audit as report
    from parity.report import live
    from parity.report.files import check_writable

    if json not in (None, "-"):
        check_writable(Path(json))
    workspace = session.load()
    selected = audit.select(workspace, cases or ())
    with live.audit(len(selected)) as hooks:
        found = audit.run(workspace, selected, examples=examples, seed=seed, hooks=hooks)
    stream = sys.stderr if json == "-" else sys.stdout
    say(report.render(found, width=width(), color=color(stream)), stream)
    if json:
        deliver(report.to_json(found), json)
    raise typer.Exit(found.exit_status)
