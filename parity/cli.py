"""The command line. Thin: torch and jax are imported only by what runs something."""

import contextlib
import datetime
import os
import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, TextIO

import typer

from parity.errors import BadInput, ParityError

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
First = Annotated[bool, typer.Option("-x", "--stop-first", help="Stop at the first failure.")]
Json = Annotated[str | None, typer.Option("--json", metavar="FILE|-", help="Write the results as JSON; - is stdout.")]
Token = Annotated[str, typer.Option("--example", metavar="TOKEN", help="The replay token of a failure.")]
Check = Annotated[str, typer.Option("--check", metavar="NAME", help="The check to ask.")]


def _version(asked: bool) -> None:
    if asked:
        from parity.session import version

        typer.echo(f"parity {version()}")
        raise typer.Exit


Version = Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")]


@app.callback()
def parity(version: Version = False) -> None:
    """Is a Flax port the same function as its PyTorch reference, layer by layer?"""


@app.command("list")
def list_cases() -> None:
    """List the cases bottom-up: parts, checks, faults, equivalents, file."""
    from parity import session
    from parity.report import listing

    workspace = session.load()
    _write(listing.render(workspace.registry), sys.stdout)
    for broken in workspace.registry.broken:
        _complain(str(broken))
    raise typer.Exit(2 if workspace.registry.broken or not workspace.registry.cases else 0)


@app.command()
def check(
    cases: Names = None,
    checks: Checks = None,
    examples: Examples = 50,
    seed: Seed = 0,
    time_limit: Limit = None,
    stop_first: First = False,
    checkpoint: Checkpoint = None,
    text: Prose = None,
    json: Json = None,
) -> None:
    """Check cases, leaf layers first. Exit status: 0 all passed, 1 a finding, 2 wrong use or a broken file."""
    from parity import session
    from parity.report import live, terminal
    from parity.report.files import check_writable
    from parity.report.json import to_json

    if json not in (None, "-"):
        check_writable(Path(json))
    if checkpoint is None and text is not None:
        raise BadInput("--text is what a checkpoint reads: give --checkpoint too")
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
            results = session.run(workspace, selection, settings, hooks=hooks, stop_first=stop_first)
    stream = sys.stderr if json == "-" else sys.stdout  # where stdout is for JSON, people read stderr
    _write(terminal.render(results, width=_width(), color=_color(stream)), stream)
    if json:
        _deliver(to_json(results), json)
    raise typer.Exit(results.exit_status)


@app.command()
def replay(case: str, token: Token, check: Check = "exact") -> None:
    """Run one example of a case again, verbosely. Exit status: 0 it passes, 1 it fails, 2 a side can't be run."""
    from parity import replay, session
    from parity.case import Example
    from parity.report import replay as report

    example = Example.from_token(token)
    found = replay.replay(session.load(), case, example, check=check)
    _write(report.render(found, width=_width(), color=_color(sys.stdout)), sys.stdout)
    raise typer.Exit(found.exit_status)


@app.command()
def bench(
    cases: Names = None,
    examples: Annotated[int, typer.Option(min=1, metavar="N", help="Examples of a run's pool.")] = 300,
    fresh: Annotated[int, typer.Option(min=1, metavar="N", help="Examples of which no configuration repeats.")] = 30,
    seed: Seed = 0,
    json: Json = None,
    picture: Annotated[Path | None, typer.Option("--picture", metavar="FILE", help="Draw it: SVG.")] = None,
) -> None:
    """Measure the harness against a plain loop, side by side. Without names: what the suites say is worth it."""
    from parity import session
    from parity.measure import bench as measure
    from parity.report import bench as report
    from parity.report.files import check_writable, write_whole

    for file in (json, picture):
        if file not in (None, "-"):
            check_writable(Path(file))
    registry = (workspace := session.load()).registry
    overrides = {name: fields for suite in registry.suites.values() for name, fields in suite.bench.items()}
    found = measure.bench(
        workspace,
        registry.select(cases or tuple(overrides)),
        overrides=overrides,
        examples=examples,
        fresh=fresh,
        seed=seed,
        progress=lambda text: _tell(text),
    )
    stream = sys.stderr if json == "-" else sys.stdout
    _write(report.render(found, color=_color(stream)), stream)
    if json:
        _deliver(found.model_dump_json(indent=2) + "\n", json)
    if picture:
        write_whole(picture, report.picture(found))


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
    from parity import session
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
        versions = {name: session.version(name) for name in entries.VERSIONS}
        made = entries.rewritten(path.read_text(), found, why=why or "", versions=versions, date=datetime.date.today())
        write_whole(path, made)
    stream = sys.stderr if json == "-" else sys.stdout
    _write(calibration.render(found, width=_width(), color=_color(stream), written=write), stream)
    if json:
        _deliver(found.model_dump_json(indent=2) + "\n", json)
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
    _write(report.render(found, width=_width(), color=_color(stream)), stream)
    if json:
        _deliver(found.model_dump_json(indent=2) + "\n", json)
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
    _write(report.render(found, width=_width(), color=_color(stream)), stream)
    if json:
        _deliver(report.to_json(found), json)
    raise typer.Exit(found.exit_status)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; the exit status. Anything a user can get wrong is one line on stderr."""
    try:
        # Not `app()`: it makes an interrupt and a broken pipe an exit of its own, before anything can be said of them.
        command = typer.main.get_command(app)
        with command.make_context("parity", list(sys.argv[1:] if arguments is None else arguments)) as context:
            command.invoke(context)
        return 0
    except typer.Exit as done:
        return done.exit_code
    except (KeyboardInterrupt, typer.Abort):
        _complain("interrupted")
        return 130
    except BrokenPipeError:  # the reader has seen enough (`| head`); this is for the last flush
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
        return 0
    except Exception as error:
        said = _said(error)
        if said is None:
            raise
        _complain(said)
        return 2


def _said(error: Exception) -> str | None:
    """What to tell a user of an error that is theirs; None for one that is ours."""
    if isinstance(error, ParityError):
        return str(error)
    message: Callable[[], str] | None = getattr(error, "format_message", None)  # typer's own, whatever it is based on
    return " ".join(message().split()) if message else None


def _deliver(text: str, to: str) -> None:
    """Machine-readable text to stdout or, whole, into a file."""
    from parity.report.files import write_whole

    if to == "-":
        _write(text, sys.stdout)
    else:
        write_whole(Path(to), text)


def _write(text: str, stream: TextIO) -> None:
    stream.write(text)
    stream.flush()


def _tell(text: str) -> None:
    """What is under way, where somebody watches."""
    if sys.stderr.isatty():
        sys.stderr.write(f"{text} ...\n")


def _complain(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        sys.stderr.write(f"parity: error: {line}\n")


def _width() -> int:
    return max(40, min(shutil.get_terminal_size((80, 24)).columns, 120))


def _color(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


if __name__ == "__main__":
    sys.exit(main())
