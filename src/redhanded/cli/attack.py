"""`redhanded attack`."""

import enum
import sys
import warnings
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from redhanded.cli.catalogue import rows_of

if TYPE_CHECKING:
    from redhanded.sets import SetCard


class Device(enum.StrEnum):
    """What a model can be attacked on."""

    cpu = "cpu"
    cuda = "cuda"


def _families() -> list[str]:
    return [row["attack"] for row in rows_of("attacks")]


def attack(
    victim: Annotated[str, typer.Option(help="FILE.py:NAME, a Module or a function that makes one. Your code is run.")],
    images: Annotated[Path, typer.Option(help="A folder of images or of class folders, or an .npz file.")],
    attack: Annotated[
        list[str],
        typer.Option(help='E.g. "deepfool(norm=l2, overshoot=0.02)"; repeatable.', autocompletion=_families),
    ],
    out: Annotated[Path, typer.Option(help="The set (.zarr) of one attack, the folder of the sets of several.")],
    batch_size: Annotated[int, typer.Option(min=1, help="Images in one call of the model.")] = 512,
    device: Annotated[Device | None, typer.Option(help="CUDA where there is one unless given.")] = None,
) -> None:
    """Attack your own model on your own images, and write adversarial sets that say how they were made."""
    from redhanded.attacks import parse_attack
    from redhanded.sets import attack_images

    attacks = [parse_attack(text) for text in attack]
    with _warnings_in_one_line():
        made = attack_images(victim, images, attacks, out, batch_size=batch_size, device=device)
    console = Console(markup=False)
    console.print(_sets_table(made.values()))
    for path in made:
        console.print(f"set: {path}", soft_wrap=True)


@contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.showwarning = lambda message, *_: print("redhanded: warning:", *str(message).split(), file=sys.stderr)
        yield


def _sets_table(cards: Collection["SetCard"]) -> Table:
    from redhanded.data import PIXELS

    measured = [name for name in PIXELS if all(name in card.n_success for card in cards)]
    table = Table(box=None, pad_edge=False)
    table.add_column("attack", overflow="fold")
    headings = (f"success\n{name}" for name in measured)
    for name in ("attacked", *headings, "median\nL2", "median\nLinf", "seconds"):
        table.add_column(name, justify="right")
    for card in cards:
        success = (f"{card.success(pixels):.1%}" for pixels in measured)
        sizes = (f"{card.median_l2:.4g}", f"{card.median_linf:.4g}", f"{card.seconds:.1f}")
        table.add_row(card.label, f"{card.n_attacked} of {card.n_images}", *success, *sizes)
    return table
