"""Attack a user's model and write the adversarial sets, with how they were made: all of them, or nothing."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor

from redhanded import __version__
from redhanded.attacks import AttackSpec
from redhanded.attacks.toolchains import attack_function, load_toolchain, toolchain_version
from redhanded.core import command_line
from redhanded.data import UserImages, read_images
from redhanded.errors import AttackError, RunError
from redhanded.models import MANY, UserModel, check_model, load_model, spread_over
from redhanded.sets.adversarial_set import AdversarialSet, describe_set, write_shard
from redhanded.sets.card import SetCard
from redhanded.sets.generation import BATCH, MEASURED_UNDER, calls, make_sets, needs_gradient, predict_classes

AT_ONCE = 1 << 25  # pixel values of one shard: 128 MiB as float32
SUFFIX = ".zarr"


class Job(NamedTuple):
    """What is attacked, how, and where the sets go."""

    model: UserModel
    images: UserImages
    batch_size: int
    shard_images: int
    places: dict[AttackSpec, Path]

    def shards(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Rows, images (n, c, h, w) float32 and labels (n,) int64 of each shard."""
        for start in range(0, len(self.images), self.shard_images):
            rows = slice(start, min(start + self.shard_images, len(self.images)))
            images = self.images.as_floats(rows)
            yield rows, images, self._labels(rows, images)

    def _labels(self, rows: slice, images: Tensor) -> Tensor:
        if self.images.labels is not None:
            return torch.from_numpy(self.images.labels[rows])
        # In the batches in which the model is asked again before it is attacked: the same bits.
        return predict_classes(self.model.network, images, self.batch_size)

    def provenance(self, attack: AttackSpec) -> dict[str, Any]:
        """What is stored with a set of how it was made."""
        return {
            "toolchain": attack.toolchain,
            "toolchain_version": toolchain_version(attack.toolchain),
            "attack": str(attack),
            "victim": self.model.name,
            "victim_file": self.model.file_digest,
            "victim_weights": self.model.weights_digest,
            "source": self.images.name,
            "source_kind": self.images.kind,
            "source_digest": self.images.digest,
            "labels": self.images.labels_from,
            "names": self.images.names,
            "batch_size": self.batch_size,
            "shard_images": self.shard_images,
            "torch": torch.__version__,
            "version": __version__,
            "command": command_line(),
        }


def attack_images(
    victim: str,
    images: Path,
    attacks: Sequence[AttackSpec],
    out: Path,
    *,
    batch_size: int = BATCH,
    device: str | None = None,
    console: Console | None = None,
) -> dict[Path, SetCard]:
    """Attack a user's images with a user's model, and write one adversarial set for each attack.

    victim: FILE.py:NAME, see `load_model`; images: see `read_images`; attacks: at least one; out: the set of a single
    attack, with `.zarr` added unless it ends so, or the folder of several, each as LABEL.zarr; device: `cpu` or
    `cuda`; CUDA where there is one unless given. A bar is shown where `console` is a terminal. Beside the model and
    the images it takes about a gigabyte, whatever their number.

    Returns where the sets are and what they hold. Raises AttackError, DataError or RunError, in one line, for what
    cannot be loaded, attacked or written; then, and after an interruption, nothing new is at `out`.
    """
    places = _places(out, attacks)
    target = out if len(attacks) > 1 else places[attacks[0]]
    _refuse_early(attacks, target)
    model, own = load_model(victim, device), read_images(images)
    _check(model, own, attacks)
    shard_images = max(1, min(len(own), AT_ONCE // own.pixels[0].size))
    with _written_whole(target) as whole, _shown(console or Console(), len(own) * len(list(calls(attacks)))) as tell:
        inside = {attack: whole / place.relative_to(target) for attack, place in places.items()}
        cards = _attack(Job(model, own, batch_size, shard_images, inside), tell)
    return {places[attack]: cards[attack] for attack in attacks}


def _places(out: Path, attacks: Sequence[AttackSpec]) -> dict[AttackSpec, Path]:
    labels = [attack.label for attack in attacks]
    for label in labels:
        if labels.count(label) > 1:
            raise AttackError(f"expected attacks of different labels, found {label} twice; write them to two sets")
    if len(attacks) == 1:
        return {attacks[0]: out if out.suffix == SUFFIX else Path(f"{out}{SUFFIX}")}
    return {attack: out / f"{attack.label}{SUFFIX}" for attack in attacks}


def _refuse_early(attacks: Sequence[AttackSpec], target: Path) -> None:
    """What can be told before anything takes long."""
    if os.path.lexists(target):
        raise RunError(f"expected nothing at {target} yet, found a file or folder; name another --out or take it away")
    for attack in attacks:
        attack_function(attack)
        load_toolchain(attack.toolchain)


def _check(model: UserModel, images: UserImages, attacks: Sequence[AttackSpec]) -> None:
    few = spread_over(len(images), MANY).numpy()
    labels = None if images.labels is None else torch.from_numpy(images.labels[few])
    check_model(model.network, images.as_floats(few), labels, needs_gradient(attacks))


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """A path beside `target` that is renamed to it at the end, or else removed."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as folder:
            whole = Path(folder, "whole")
            yield whole
            for lock in whole.glob("*.lock"):  # of the sets' writers
                lock.unlink()
            whole.rename(target)
    except OSError as error:
        found = error.strerror or str(error)
        raise RunError(f"expected to write {target}, found: {found}; name another --out") from error


@contextmanager
def _shown(console: Console, total: int) -> Iterator[Callable[[int], None]]:
    """Yields the function that is told how many images more are done."""
    columns = (
        TextColumn("attacking"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("", total=total)
        yield lambda images: progress.advance(bar, images)


def _attack(job: Job, tell: Callable[[int], None]) -> dict[AttackSpec, SetCard]:
    cards = {}
    for attacks in calls(list(job.places)):
        started = time.monotonic()
        for rows, images, labels in job.shards():
            _write(job, rows.start, _make(job, rows, images, labels, attacks, tell))
        seconds = (time.monotonic() - started) / len(attacks)
        for attack in attacks:
            cards[attack] = describe_set(job.places[attack], job.model.name, attack, "test", MEASURED_UNDER, seconds)
    return cards


def _make(
    job: Job, rows: slice, images: Tensor, labels: Tensor, attacks: Sequence[AttackSpec], tell: Callable[[int], None]
) -> list[AdversarialSet]:
    index = torch.arange(rows.start, rows.stop)
    try:
        made = make_sets(
            job.model.network, images, labels, index, attacks, MEASURED_UNDER, batch_size=job.batch_size, on_batch=tell
        )
    except torch.OutOfMemoryError:
        found = f"too little for batches of {job.batch_size}"
        raise AttackError(f"expected enough memory of the GPU, found {found}; give a smaller --batch-size") from None
    tell(len(labels) - int(made[0].attacked.sum()))
    return made


def _write(job: Job, start: int, made: Sequence[AdversarialSet]) -> None:
    for each in made:
        total, provenance = len(job.images), job.provenance(each.attack)
        write_shard(job.places[each.attack], start, total, job.shard_images, each.columns(), provenance)
