"""The command line: thin callers of what Python users call, and the one place that prints errors."""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console
from rich.table import Table

from redhanded.cli import analyst, tour
from redhanded.cli.catalogue import rows_of
from redhanded.errors import RedhandedError, writing

# What `list` can print: the keys of `redhanded.cli.catalogue.CATALOGUE`.
ListTopic = Literal["attacks", "victims", "sources", "questions", "attributors", "toolchains", "detectors"]

app = typer.Typer(
    help="Which attack made this adversarial image?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command()(tour.tour)
app.command()(analyst.bundle)
app.command()(analyst.teach)
app.command()(analyst.attribute)
app.command()(analyst.watch)
app.command()(analyst.campaigns)
app.command()(analyst.serve)


@contextmanager
def _interruptible(hint: str) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        sys.stderr.write(f"redhanded: interrupted; {hint}\n")
        raise typer.Exit(130) from None


@app.command()
@_interruptible("run the same command to go on")
def run(
    study: Annotated[
        str,
        typer.Argument(
            help="quick, mnist, cifar10, checkpoints, width, wild, wild-mnist or a TOML file.",
            autocompletion=lambda: [path.stem for path in Path(__file__).parents[1].glob("studies/*.toml")],
        ),
    ],
    source: Annotated[list[str] | None, typer.Option(help="NAME=PATH: where a source lies.")] = None,
    scale: Annotated[str | None, typer.Option(help="laptop or paper; the study's first unless given.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run directory; runs/STUDY unless given.")] = None,
    only: Annotated[
        list[str] | None, typer.Option(help="A table (table2) or question (norm/fgsm); repeatable.")
    ] = None,
    attributors: Annotated[
        str | None, typer.Option(metavar="A,B", help="Some of the study's attributors; all unless given.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option(min=1, help="Trainings of each attributor, for the spread; the study's unless given.")
    ] = None,
    workers: Annotated[int | None, typer.Option(min=1, help="Processes; one for each core unless given.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Forget what was done and start anew.")] = False,
) -> None:
    """Run a study, or go on where it was interrupted, and write its report."""
    from redhanded.data import source_paths
    from redhanded.engine import LocalExecutor, run_study
    from redhanded.report import main_table, write_report
    from redhanded.studies import load_study

    console = Console()
    places = source_paths(source or [])
    named = attributors.split(",") if attributors else ()
    folder = run_study(
        load_study(study, scale).with_seeds(seeds),
        out,
        sources=places,
        only=only or (),
        attributors=named,
        executor=LocalExecutor(workers),
        fresh=fresh,
        console=console,
    )
    page = write_report(folder)
    console.print(main_table(folder))
    console.print(f"report: {page}", soft_wrap=True)
    if any((folder / "examples").glob("*.png")):
        console.print(f"next:   redhanded bundle {folder} --out {folder}/bundle", soft_wrap=True)


@app.command()
@_interruptible("nothing was written")
def attack(
    victim: Annotated[str, typer.Option(help="FILE.py:NAME, a Module or a function that makes one. Your code is run.")],
    images: Annotated[Path, typer.Option(help="A folder of images or of class folders, or an .npz file.")],
    attack: Annotated[
        list[str],
        typer.Option(
            help='E.g. "deepfool(norm=l2, overshoot=0.02)"; repeatable.',
            autocompletion=lambda: [row["attack"] for row in rows_of("attacks")],
        ),
    ],
    out: Annotated[Path, typer.Option(help="The set (.zarr) of one attack, the folder of the sets of several.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Images in one call of the model.")] = 512,
    device: Annotated[Literal["cpu", "cuda"] | None, typer.Option(help="CUDA where there is one unless given.")] = None,
) -> None:
    """Attack your own model on your own images, and write adversarial sets that say how they were made."""
    from redhanded.attacks import parse_attack
    from redhanded.data import PIXELS
    from redhanded.sets import attack_images

    attacks = [parse_attack(text) for text in attack]
    cards = attack_images(victim, images, attacks, out, batch_size=batch_size, device=device)
    measured = [name for name in PIXELS if all(name in card.n_success for card in cards.values())]
    table = Table(box=None, pad_edge=False)
    table.add_column("attack", overflow="fold")
    headings = (f"success\n{name}" for name in measured)
    for name in ("attacked", *headings, "median\nL2", "median\nLinf", "seconds"):
        table.add_column(name, justify="right")
    for card in cards.values():
        success = (f"{card.success(pixels):.1%}" for pixels in measured)
        sizes = (f"{card.median_l2:.4g}", f"{card.median_linf:.4g}", f"{card.seconds:.1f}")
        table.add_row(card.label, f"{card.n_attacked} of {card.n_images}", *success, *sizes)
    console = Console(markup=False)
    console.print(table)
    for path in cards:
        console.print(f"set: {path}", soft_wrap=True)


@app.command()
def summary(
    folder: Annotated[Path, typer.Argument(help="A folder that holds run directories.")],
) -> None:
    """Write the page of results and summary.json of all runs in a folder, from their records alone."""
    from redhanded.report import write_summary

    typer.echo(write_summary(folder))


@app.command()
def report(run: Annotated[Path, typer.Argument(help="A run directory.")]) -> None:
    """Write report.md, report.html, figures and results.csv from a run's records alone."""
    from redhanded.report import write_report

    Console().print(f"report: {write_report(run)}", soft_wrap=True)


@app.command()
def keep(
    run: Annotated[Path, typer.Argument(help="A run directory.")],
    out: Annotated[Path, typer.Option(help="The folder of the kept run, e.g. docs/results/NAME.")],
) -> None:
    """Write what is worth keeping of a run: its card, all records as one compressed file, and the report."""
    from redhanded.report import keep_run

    Console().print(f"report: {keep_run(run, out)}", soft_wrap=True)


@app.command(name="list")
def list_(what: Annotated[ListTopic, typer.Argument(help="Which table.")]) -> None:
    """Print a table that the code is built on."""
    rows = rows_of(what)
    table = Table(box=None, pad_edge=False)
    for place, name in enumerate(rows[0]):
        table.add_column(name, no_wrap=not place, overflow="fold")
    for row in rows:
        table.add_row(*row.values())
    Console(markup=False).print(table)  # some rows have square brackets


@app.command()
def export(
    adversarial_set: Annotated[Path, typer.Argument(metavar="SET", help="A set of a run: RUN/sets/.../*.zarr")],
    to: Annotated[Literal["npz", "png"], typer.Option(help="npz: every array; png: a folder of 8-bit images.")],
    out: Annotated[Path | None, typer.Option(help="The file or folder; beside the set unless given.")] = None,
) -> None:
    """Write an adversarial set for other tools."""
    from redhanded.sets import SET_EXPORTS

    target = out or adversarial_set.with_suffix(".npz" if to == "npz" else "")
    with writing(target, RedhandedError):
        count = SET_EXPORTS[to](adversarial_set, target)
    Console().print(f"{count} images: {target}", soft_wrap=True)


def main() -> None:
    """Run the command line; a user's mistake gives one line and exit code 2, Ctrl-C exit code 130."""
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda text, *_: print("redhanded: warning:", *str(text).split(), file=sys.stderr)
            app()
    except RedhandedError as error:
        sys.stderr.write(f"redhanded: {error}\n")
        sys.exit(2)
