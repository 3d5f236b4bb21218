"""`python -m benchmarks`: thin callers."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from redhanded.errors import RedhandedError

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    help="Measure our attacks against those of other libraries, and how fast a bundle answers.",
    no_args_is_help=True,
)

RunOption = Annotated[Path | None, typer.Option(help="A finished run; the quick study's victims unless given.")]
SourceOption = Annotated[list[str] | None, typer.Option(help="NAME=PATH: where the run's source lies.")]
VictimOption = Annotated[list[str] | None, typer.Option(help="A victim; repeatable, all unless given.")]
PeerOption = Annotated[list[str] | None, typer.Option(help="A library; repeatable, all installed unless given.")]
ImagesOption = Annotated[int, typer.Option(min=1, help="Rightly classified test images of each victim.")]
BatchOption = Annotated[int, typer.Option(min=1, help="Images of one call, for every engine.")]


@app.command()
def attacks(
    run: RunOption = None,
    source: SourceOption = None,
    victim: VictimOption = None,
    scenario: Annotated[list[str] | None, typer.Option(help="A scenario; repeatable, all unless given.")] = None,
    peer: PeerOption = None,
    images: ImagesOption = 128,
    batch_size: BatchOption = 128,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    threads: Annotated[int, typer.Option(min=1, help="Of torch, for every engine.")] = 1,
    patience: Annotated[float, typer.Option(min=1, help="A peer slower than this times ours runs once.")] = 5.0,
    out: Annotated[Path, typer.Option(help="Where the record and the page go.")] = Path("runs/bench-attacks"),
) -> None:
    """Time, count and judge our attacks and every installed library's on the same victims and images."""
    from benchmarks.run import PAGE, Request, bench_attacks
    from redhanded.data import source_paths

    request = Request(out, run, source_paths(source or []), victim or (), images, batch_size)
    bench_attacks(request, scenario or (), against=peer or (), rounds=rounds, thread_count=threads, patience=patience)
    typer.echo(f"page: {out / PAGE}")


@app.command()
def study(
    run: RunOption = None,
    source: SourceOption = None,
    victim: VictimOption = None,
    peer: PeerOption = None,
    images: ImagesOption = 330,
    batch_size: BatchOption = 330,
    out: Annotated[Path, typer.Option(help="Where the record and the page go.")] = Path("runs/bench-study"),
) -> None:
    """Make every set of a study with ours and with the best library for each attack, as their users would."""
    from benchmarks.run import Request
    from benchmarks.study import PAGE, bench_study
    from redhanded.data import source_paths

    bench_study(Request(out, run, source_paths(source or []), victim or (), images, batch_size), peer or ())
    typer.echo(f"page: {out / PAGE}")


@app.command()
def drawn(
    run: RunOption = None,
    source: SourceOption = None,
    victim: VictimOption = None,
    images: ImagesOption = 128,
    batch_size: BatchOption = 128,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    out: Annotated[Path, typer.Option(help="Where the record and the page go.")] = Path("runs/bench-drawn"),
) -> None:
    """Take the cost of a set whose images draw their settings, beside sets of one setting."""
    from benchmarks.drawn import PAGE, bench_drawn
    from benchmarks.run import Request
    from redhanded.data import source_paths

    request = Request(out, run, source_paths(source or []), victim or (), images, batch_size)
    bench_drawn(request, rounds=rounds)
    typer.echo(f"page: {out / PAGE}")


@app.command()
def attribute(
    bundle: Annotated[Path, typer.Option(help="What `redhanded bundle` wrote.")],
    images: Annotated[int, typer.Option(min=1, help="Asked one by one, and files of the folder.")] = 200,
    rounds: Annotated[int, typer.Option(min=1, help="How often the bundle is loaded and the folder read.")] = 5,
    seconds: Annotated[float, typer.Option(min=0, help="How long clients ask a server; 0 leaves it out.")] = 60,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 2,
    out: Annotated[Path, typer.Option(help="Where the record goes.")] = Path("runs/bench-attribute"),
) -> None:
    """Time a bundle: loading it, one image blind and with the victims asked, a folder, a server with many clients."""
    from benchmarks.attribute import PAGE, bench_attribute

    bench_attribute(bundle, out, images=images, rounds=rounds, seconds=seconds, thread_count=threads)
    typer.echo(f"page: {out / PAGE}")


@app.command()
def start(
    bundle: Annotated[Path, typer.Option(help="What `redhanded bundle` wrote.")],
    images: Annotated[int, typer.Option(min=1, help="Files of the folder.")] = 1000,
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 5,
    out: Annotated[Path, typer.Option(help="Where the record and the page go.")] = Path("runs/bench-start"),
) -> None:
    """Take the CPU time of whole commands: the help, a list, one image, a folder; beside importing PyTorch."""
    from benchmarks.start import PAGE, bench_start

    bench_start(bundle, out, images=images, rounds=rounds)
    typer.echo(f"page: {out / PAGE}")


def main() -> None:
    """Run the command line; a user's mistake gives one line and exit code 2."""
    try:
        app()
    except RedhandedError as error:
        sys.stderr.write(f"benchmarks: {error}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
