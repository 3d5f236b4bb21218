"""Attack a user's model and write the adversarial sets, with how they were made: all of them, or nothing."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

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
    if os.path.lexists(target):
        raise RunError(f"expected nothing at {target} yet, found a file or folder; name another --out or take it away")
    for attack in attacks:  # told before anything takes long
        attack_function(attack)
        load_toolchain(attack.toolchain)
    model, own = load_model(victim, device), read_images(images)
    few = spread_over(len(own), MANY).numpy()
    labels = None if own.labels is None else torch.from_numpy(own.labels[few])
    check_model(model.network, own.as_floats(few), labels, needs_gradient(attacks))
    shard_images = max(1, min(len(own), AT_ONCE // own.pixels[0].size))
    cards = {}
    with _written_whole(target) as whole, _shown(console or Console(), len(own) * len(list(calls(attacks)))) as tell:
        for together in calls(attacks):
            folders = {attack: whole / places[attack].relative_to(target) for attack in together}
            provenance = {attack: _provenance(attack, model, own, batch_size, shard_images) for attack in together}
            started = time.monotonic()
            for start in range(0, len(own), shard_images):
                rows = slice(start, min(start + shard_images, len(own)))
                for shard in _attack_rows(model, own, rows, together, batch_size, tell):
                    folder, made_by = folders[shard.attack], provenance[shard.attack]
                    write_shard(folder, start, len(own), shard_images, shard.columns(), made_by)
            seconds = (time.monotonic() - started) / len(together)
            for attack in together:
                card = describe_set(folders[attack], model.name, attack, "test", MEASURED_UNDER, seconds)
                cards[places[attack]] = card
    return {place: cards[place] for place in places.values()}


def _places(out: Path, attacks: Sequence[AttackSpec]) -> dict[AttackSpec, Path]:
    labels = [attack.label for attack in attacks]
    for label in labels:
        if labels.count(label) > 1:
            raise AttackError(f"expected attacks of different labels, found {label} twice; write them to two sets")
    if len(attacks) == 1:
        return {attacks[0]: out if out.suffix == SUFFIX else Path(f"{out}{SUFFIX}")}
    return {attack: out / f"{attack.label}{SUFFIX}" for attack in attacks}


@contextmanager
def _written_whole(target: Path) -> Iterator[Path]:
    """Give a path beside `target`, which is renamed to it at the end, or else removed."""
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
    """Show a bar and give the function that is told how many images more are done."""
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


def _attack_rows(
    model: UserModel,
    images: UserImages,
    rows: slice,
    attacks: Sequence[AttackSpec],
    batch_size: int,
    tell: Callable[[int], None],
) -> list[AdversarialSet]:
    pixels = images.as_floats(rows)
    if images.labels is None:
        # In the batches in which the model is asked again before it is attacked: the same bits.
        labels = predict_classes(model.network, pixels, batch_size)
    else:
        labels = torch.from_numpy(images.labels[rows])
    index = torch.arange(rows.start, rows.stop)
    try:
        sets = make_sets(
            model.network, pixels, labels, index, attacks, MEASURED_UNDER, batch_size=batch_size, on_batch=tell
        )
    except torch.OutOfMemoryError:
        found = f"too little for batches of {batch_size}"
        raise AttackError(f"expected enough memory of the GPU, found {found}; give a smaller --batch-size") from None
    tell(len(labels) - int(sets[0].attacked.sum()))
    return sets


def _provenance(
    attack: AttackSpec, model: UserModel, images: UserImages, batch_size: int, shard_images: int
) -> dict[str, Any]:
    """What is stored with a set of how it was made."""
    return {
        "toolchain": attack.toolchain,
        "toolchain_version": toolchain_version(attack.toolchain),
        "attack": str(attack),
        "victim": model.name,
        "victim_file": model.file_digest,
        "victim_weights": model.weights_digest,
        "source": images.name,
        "source_kind": images.kind,
        "source_digest": images.digest,
        "labels": images.labels_from,
        "names": images.names,
        "batch_size": batch_size,
        "shard_images": shard_images,
        "torch": torch.__version__,
        "version": __version__,
        "command": command_line(),
    }
