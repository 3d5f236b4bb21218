"""The first command: `redhanded tour`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from redhanded.cli.analyst import BundleOption


def tour(
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where images and the page go.")] = Path("runs/tour"),
    bundle: BundleOption = None,
    source: Annotated[str, typer.Option(help="Whose test images: a source's name, or NAME=PATH.")] = "mnist5k",
    images: Annotated[int, typer.Option(min=1, max=100, help="Images of each attack in each form.")] = 3,
) -> None:
    """Attack real digits in every way that a bundle knows, attribute the images, and show truth beside verdict."""
    from redhanded.bundle import bundle_named, find_bundles
    from redhanded.data import bad_data, load_source, source_paths
    from redhanded.verdicts import Examiner, take_tour, tour_table, tour_totals

    paths = source_paths([source]) if "=" in source else {source: None}
    ((name, path),) = paths.items()
    loaded = load_source(name, path)
    folder = bundle_named(bundle) if bundle is not None else None
    for shipped in find_bundles() if folder is None else []:
        folder = shipped.folder if shipped.card.shape == loaded.shape else folder
    if folder is None:
        found = " x ".join(map(str, loaded.shape))
        raise bad_data(source, "images that a bundle of the package is for", found, "give a bundle: --bundle DIR")
    examiner = Examiner.load(folder)
    exhibits = take_tour(examiner, folder, loaded, out, images)
    console = Console(highlight=False)
    console.print(tour_table(exhibits))
    totals = Table(box=None, pad_edge=False)
    for heading in ("named", "form", "right", "wrong", "unknown"):
        totals.add_column(heading, justify="left" if heading in ("named", "form") else "right")
    for dimension, forms in tour_totals(exhibits).items():
        for form, counts in forms.items():
            totals.add_row(dimension, form, *map(str, counts))
    console.print()
    console.print(totals)
    plain = Console(markup=False, highlight=False)
    plain.print(f"\nbundle: {examiner.bundle.label}", soft_wrap=True)
    plain.print(f"images: {out / 'images'}\npage:   {out / 'tour.html'}", soft_wrap=True)
    plain.print(f"next:   redhanded attribute {out / 'images'}", soft_wrap=True)
