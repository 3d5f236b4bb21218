"""Bundles beside one another in a folder, such as those that come with the package."""

from importlib import resources
from pathlib import Path
from typing import NamedTuple

from redhanded.bundle.card import BundleCard
from redhanded.bundle.verify import CARD_FILE, BundleError, bad_bundle, read_json, trusting_nothing
from redhanded.core import validate_record

SHIPPED: Path = Path(
    str(resources.files("redhanded.bundle") / "shipped")
)  # the folder of those that come with the package


class NamedBundle(NamedTuple):
    """A bundle that was found; it is checked when it is loaded."""

    name: str  # of its folder
    folder: Path
    card: BundleCard


def bundle_named(name: Path, shipped: Path = SHIPPED) -> Path:
    """The folder of a bundle: the one that is there, else the one that comes with the package under this name."""
    return shipped / name if not name.exists() and len(name.parts) == 1 and (shipped / name).is_dir() else name


def find_bundles(folder: Path = SHIPPED) -> list[NamedBundle]:
    """Find the bundles directly below a folder, by name.

    Raises BundleError where there are none, and where two are for images of one shape.
    """
    found: dict[tuple[int, int, int], NamedBundle] = {}
    for path in sorted(folder.glob(f"*/{CARD_FILE}")):
        with trusting_nothing(path):
            card = validate_record(BundleCard, read_json(path), str(path))
        bundle = NamedBundle(path.parent.name, path.parent, card)
        if found.setdefault(card.shape, bundle) is not bundle:
            both = f"{found[card.shape].name} and {bundle.name}"
            raise bad_bundle(folder, "bundles for images of different shapes", both, "name one of them")
    if not found:
        remedy = "make one (redhanded run quick; redhanded bundle runs/quick --out DIR) and give it: --bundle DIR"
        raise BundleError(f"expected bundles that come with the package in {folder}, found none; {remedy}")
    return list(found.values())
