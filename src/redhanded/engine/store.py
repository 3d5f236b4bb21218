"""Where everything of a run lies. Names are readable; what could exist twice carries the start of its key."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redhanded.core import Record, read_record
from redhanded.errors import RunError
from redhanded.models import VictimCard
from redhanded.sets import GALLERY_FILE, SetRef, Split, read_provenance


class RunCard(Record):
    """What was run, on what, and how long it took."""

    study: dict[str, Any]  # the resolved study
    scale: str
    command: str
    version: str
    commit: str  # "unknown" outside a git checkout
    started: str  # ISO 8601, UTC
    seconds: float  # of one core, all its records added up, whichever session made them
    finished: bool
    hardware: dict[str, str]
    packages: dict[str, str]


@dataclass(frozen=True)
class RunFolder:
    """A run directory: records in `results/`, the store beside them."""

    root: Path

    @property
    def card(self) -> Path:
        """The RunCard."""
        return self.root / "run.json"

    @property
    def results(self) -> Path:
        """The records of the current study: victims/, sets/, fits/, questions/, unknown/, axes/."""
        return self.root / "results"

    @property
    def figure2(self) -> Path:
        """One image under every attack."""
        return self.root / GALLERY_FILE

    def mark(self, key: str) -> Path:
        """The done-mark of a step, which holds its record."""
        return self.root / "steps" / f"{key}.json"

    def victim(self, name: str, key: str) -> Path:
        """A victim's weights and card."""
        return self.root / "victims" / f"{name}-{key[:8]}"

    def set(self, ref: SetRef, split: Split, key: str) -> Path:
        """An adversarial set (zarr)."""
        return self.root / "sets" / ref.victim / f"{ref.attack.label}-{split}-{key[:8]}.zarr"

    def find_victim(self, card: VictimCard) -> Path:
        """The folder of the victim with this card, beside which older ones of its name may lie; raises RunError."""
        for folder in sorted((self.root / "victims").glob(f"{card.name}-*")):
            if (folder / "card.json").is_file() and read_record(VictimCard, folder / "card.json") == card:
                return folder
        raise RunError(
            f"expected the weights of {card.name} below {self.root / 'victims'}, found none of its card; "
            "run the study again"
        )

    def find_set(self, ref: SetRef, split: Split, weights_digest: str) -> Path | None:
        """The adversarial set made on a victim with these weights, or None where it is not there."""
        paths = sorted((self.root / "sets" / ref.victim).glob(f"{ref.attack.label}-{split}-*.zarr"))
        return next((path for path in paths if read_provenance(path)["victim_weights"] == weights_digest), None)

    def attributor(self, key: str) -> Path:
        """An attributor's weights and card."""
        return self.root / "attributors" / key[:16]

    def clear(self) -> None:
        """Take away everything that steps made; nothing else in the folder is touched."""
        for name in ("steps", "victims", "sets", "described", "attributors", "results", "examples"):
            shutil.rmtree(self.root / name, ignore_errors=True)
        self.figure2.unlink(missing_ok=True)

    def victim_record(self, name: str) -> Path:
        """The VictimCard among the results."""
        return self.results / "victims" / f"{name}.json"

    def asked_record(self, kind: str, subject: str, attributor: str, pixels: str, seed: int) -> Path:
        """The record of an attributor among the results; kind: `fits`, `questions`, `unknown` or `axes`."""
        return self.results / kind / subject / f"{attributor}-{pixels}-{seed}.json"
