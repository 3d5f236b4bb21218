"""What each kind of step writes for a tiny study, kept in `tests/golden/`; `make golden` keeps it anew.

No network is trained: `redhanded.models.training._fit` is replaced by what gives a network its kept weights, and all
that stands around it is done. Each step reads what is kept of the steps before it, so that what differs is its own.
`make golden TRAIN=--train` trains the networks as well, for when their shapes changed.
"""

import json
import lzma
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, load_file, save, save_file
from torch import Tensor, nn

from redhanded.attacks import AttackSpec
from redhanded.core import file_digest
from redhanded.engine import RunFolder, TrainVictim
from redhanded.engine.plan import plan
from redhanded.engine.step import Step, in_order
from redhanded.engine.steps.attributors import FitOnAll, JoinAttributors
from redhanded.engine.steps.described import DescribeImages, FitOnDescribed
from redhanded.engine.steps.questions import FitOnQuestion
from redhanded.engine.steps.sets import MakeShard, MeasureSuccess
from redhanded.models import training
from redhanded.sets import read_column, read_provenance, write_shard
from redhanded.sets.adversarial_set import COLUMNS
from redhanded.studies import load_study

FOLDER = Path(__file__).parents[1] / "golden"
ARRAYS = "outcomes.safetensors.xz"
COMMAND = "make golden"
TRAIN, TEST = 60, 30  # images of the source

TOML = """
name = "golden"
title = "Bright bars on a dark ground"
source = "bars"
questions = ["setting", "norm", "joint", "dimension"]

[victims]
one = { architecture = "alexnet", seed = 9 }
two = { architecture = "alexnet", seed = 3 }

[[attacks]]
family = "fgsm"
norm = "l2"
eps = [4.0, 6.0]

[[attacks]]
family = "fgsm"
norm = "linf"
eps = 0.3

[[attacks]]
family = "deepfool"
norm = "l2"
overshoot = 1.0

[[controls]]
family = "clean"

[scales.tiny]
train_images = 60
test_images = 30
shard_images = 40
unknown = ["forensic"]

[scales.tiny.victims]
one = { width = 0.05, training = { epochs = 12, batch_size = 16, learning_rate = 5e-3 } }
two = { width = 0.05, training = { epochs = 12, batch_size = 16, learning_rate = 5e-3 } }

[scales.tiny.attack_budgets]
deepfool = { steps = 20 }

[scales.tiny.attributors]
cnn6 = { width = 0.125, training = { epochs = 12, batch_size = 32, learning_rate = 1e-2 } }
forensic = { width = 0.1, training = { epochs = 12, batch_size = 32, learning_rate = 1e-2 } }
candidates = { width = 0.125, training = { epochs = 30, batch_size = 32, learning_rate = 1e-2 } }
joined = {}
magnitude = { width = 0.25, training = { epochs = 20, batch_size = 32, learning_rate = 1e-2 } }
"""
AXES = """
name = "golden axes"
title = "Bright bars, along an axis"
source = "bars"
questions = []

[victims]
one = { architecture = "alexnet", seed = 9 }
two = { architecture = "alexnet", seed = 3, held_out = true }

[[attacks]]
family = "fgsm"
norm = "l2"
eps = { log_uniform = [3.0, 9.0] }

[[attacks]]
family = "fgsm"
norm = "linf"
eps = 0.25

[[controls]]
family = "clean"

[[axes]]
name = "checkpoint"
title = "a checkpoint never seen"
victims = ["two"]

[scales.tiny]
train_images = 60
test_images = 30
shard_images = 40

[scales.tiny.victims]
one = { width = 0.05, training = { epochs = 12, batch_size = 16, learning_rate = 5e-3 } }
two = { width = 0.05, training = { epochs = 12, batch_size = 16, learning_rate = 5e-3 } }

[scales.tiny.attributors]
factored_asked = { width = 0.1, training = { epochs = 12, batch_size = 32, learning_rate = 1e-2 } }
"""
WANTED = (  # titles of the steps that need all the others
    "norm/fgsm/one, cnn6, float32",
    "setting/fgsm-l2/two, magnitude, uint8",
    "dimension/family, forensic, float32",
    "dimension/victim, candidates, float32",
    "join forensic and candidates on all sets, float32, seed 0",
    "unknown/fgsm, forensic, float32",
    "axes/checkpoint, factored_asked, float32",
)
# What says when, where and by which code something was made, and digests of what is compared with a tolerance.
NOT_COMPARED = {
    *("seconds", "environment", "key", "files", "weights_digest"),
    *("victim_weights", "torch", "toolchain_version"),
}


def write_source(path: Path) -> Path:
    """16 x 16 images of Keras' layout by formula, the class told by where a bright bar lies; two labels are wrong."""
    arrays, (rows, columns) = {}, np.indices((16, 16))
    for split, count in (("train", TRAIN), ("test", TEST)):
        labels, images = np.arange(count) % 3, np.zeros((count, 16, 16), np.int64)
        for place, (image, label) in enumerate(zip(images, labels, strict=True)):
            image[:] = (7 * place * place + 13 * rows + 29 * columns + 5 * rows * columns) % 120
            image[:, 5 * label : 5 * label + 6] += 60 + 37 * place % 40
        labels[[5, count - 4]] = (labels[[5, count - 4]] + 1) % 3  # so that there are images that are not attacked
        arrays |= {f"x_{split}": images.astype(np.uint8), f"y_{split}": labels.astype(np.uint8)}
    np.savez(path, **arrays)
    return path


def golden_steps(folder: Path) -> list[Step]:
    """The steps whose outcomes are kept, each after what it needs; `folder` gets the source and the study."""
    source = write_source(folder / "bars.npz")
    steps: list[Step] = []
    for text in (TOML, AXES):
        (folder / "study.toml").write_text(text)
        steps += in_order(plan(load_study(str(folder / "study.toml")), {"bars": source}))
    wanted = [step for step in steps if step.title in WANTED]
    assert len(wanted) == len(WANTED)
    return in_order(wanted)


def label_of(step: Step) -> str:
    """What an outcome is kept under."""
    return f"{step.kind}: {step.title}"


@dataclass(frozen=True)
class Golden:
    """Outcomes of steps by their labels: a record each, and arrays as `label/where/name`."""

    records: dict[str, dict[str, Any]] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, dict[str, Tensor]] = field(default_factory=dict)

    @classmethod
    def load(cls) -> "Golden":
        """What is kept in `tests/golden/`."""
        kept = json.loads((FOLDER / "outcomes.json").read_bytes())
        arrays: dict[str, dict[str, Tensor]] = {label: {} for label in kept["keys"]}
        for name, values in load(lzma.decompress((FOLDER / ARRAYS).read_bytes())).items():
            label, _, rest = name.partition(" | ")
            arrays[label][rest] = values.float() if values.dtype == torch.float16 else values
        return cls(kept["records"], kept["keys"], arrays)

    def save(self) -> None:
        """Keep it; images in float16, to which they were rounded."""
        FOLDER.mkdir(exist_ok=True)
        text = json.dumps({"keys": self.keys, "records": self.records}, indent=1, sort_keys=True)
        (FOLDER / "outcomes.json").write_text(text + "\n")
        arrays = {f"{label} | {name}": values for label, own in self.arrays.items() for name, values in own.items()}
        half = {name: values.half() if name.endswith("/images") else values for name, values in arrays.items()}
        content = save({name: values.contiguous() for name, values in half.items()})
        (FOLDER / ARRAYS).write_bytes(lzma.compress(content))

    def weights(self, step: Step) -> dict[str, Tensor]:
        """The kept weights of the network that a step trains; none where none are kept."""
        own = self.arrays.get(label_of(step), {})
        return {name.removeprefix("weights/"): values for name, values in own.items() if name.startswith("weights/")}


def outcome(step: Step, kept: Golden, store: RunFolder) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Do a step in a store that holds what it needs; the records that it wrote, and the arrays.

    A network that it trains gets the kept weights; where none are kept, it is trained.
    """
    arrays: dict[str, Tensor] = {}
    if isinstance(step, MeasureSuccess):  # as if all had been attacked: what was not changed is no success all the same
        attacked = torch.from_numpy(step.column(store, "attacked"))
        _overwrite(step, store, attacked=torch.ones_like(attacked))
        step.run(store)
        arrays["all attacked/success"] = torch.from_numpy(step.column(store, f"success_{step.pixels}"))
        _overwrite(step, store, attacked=attacked)
    with given_weights(kept.weights(step)) as given:
        record = step.run(store)
    found = {"record": _plain(json.loads(record.model_dump_json()))}
    arrays |= {f"given/{name}": values for name, values in given.items()}
    if isinstance(step, MakeShard):
        rows = np.arange(step.start, min(step.start + step.sets.shard_images, step.sets.images))
        for attack in step.sets.attacks:
            path = step.sets.path(store, attack)
            found[attack.label] = _plain(read_provenance(path))
            for name in _columns(attack):
                arrays[f"{attack.label}/{name}"] = torch.from_numpy(read_column(path, name, rows))
    if isinstance(step, MeasureSuccess):
        for name in (f"prediction_{step.pixels}", f"success_{step.pixels}"):
            arrays[name] = torch.from_numpy(step.column(store, name))
    if isinstance(step, DescribeImages):
        arrays |= {f"described/{name}": values for name, values in load_file(step.path(store)).items()}
    folder = folder_of(step, store)
    if folder is not None and (folder / "card.json").exists():
        found["card"] = _plain(json.loads((folder / "card.json").read_bytes()))
        for file in sorted(folder.glob("*.safetensors")):
            arrays |= {f"{file.stem}/{name}": values for name, values in load_file(file).items()}
    return found, arrays


def _columns(attack: AttackSpec) -> list[str]:
    return [*COLUMNS, *(f"parameter_{name}" for name in attack.ranges)]


def put(step: Step, kept: Golden, store: RunFolder) -> None:
    """Write what is kept of a step into a store, as if it had been done there."""
    label = label_of(step)
    records, arrays = kept.records[label], kept.arrays[label]
    mark = store.mark(step.key)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.write_text(json.dumps(records["record"] | {"seconds": 0.0}))
    if isinstance(step, MakeShard):
        for attack in step.sets.attacks:
            columns = {name: arrays[f"{attack.label}/{name}"] for name in _columns(attack)}
            path, sets = step.sets.path(store, attack), step.sets
            write_shard(path, step.start, sets.images, sets.shard_images, columns, records[attack.label])
    if isinstance(step, MeasureSuccess):
        _overwrite(step, store, **{name: values for name, values in arrays.items() if "/" not in name})
    if isinstance(step, DescribeImages):
        step.path(store).parent.mkdir(parents=True, exist_ok=True)
        described = {name.partition("/")[2]: values for name, values in arrays.items() if name.startswith("described/")}
        save_file(described, step.path(store))
    folder = folder_of(step, store)
    if folder is not None and "card" in records:
        folder.mkdir(parents=True)
        files = {name.partition("/")[0] for name in arrays} - {"given"}
        for file in files:
            own = {name.partition("/")[2]: values for name, values in arrays.items() if name.startswith(f"{file}/")}
            save_file(own, folder / f"{file}.safetensors")
        digests = {f"{file}.safetensors": file_digest(folder / f"{file}.safetensors") for file in files}
        more = {"files": digests}
        if isinstance(step, TrainVictim):
            more = {"weights_digest": digests["weights.safetensors"], "seconds": 0.0}
            mark.write_text(json.dumps(records["record"] | more))
        (folder / "card.json").write_text(json.dumps(records["card"] | more))


def _overwrite(step: MeasureSuccess, store: RunFolder, **columns: Tensor) -> None:
    sets = step.sets
    for start in range(0, sets.images, sets.shard_images):
        rows = {name: values[start : start + sets.shard_images] for name, values in columns.items()}
        write_shard(sets.path(store, step.attack), start, sets.images, sets.shard_images, rows, {})


def folder_of(step: Step, store: RunFolder) -> Path | None:
    """The folder of what a step trains."""
    if isinstance(step, TrainVictim):
        return step.folder(store)
    fits = FitOnAll | FitOnQuestion | FitOnDescribed | JoinAttributors
    return store.attributor(step.key) if isinstance(step, fits) else None


def _plain(record: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in NOT_COMPARED}


@contextmanager
def given_weights(weights: Mapping[str, Tensor]) -> Iterator[dict[str, Tensor]]:
    """Within, a network is given these weights in place of being trained, and what it would learn from is noted.

    Of what a network is built with, its statistics of the images stay. Without weights it is trained.
    """
    real: Callable[..., int] = training._fit
    given: dict[str, Tensor] = {}

    def fit(
        network: nn.Module, images: Tensor, labels: Tensor, rest: Tensor, validation: Tensor, objective: Any, how: Any
    ) -> int:
        if weights:
            learned = {name for name, _ in network.named_parameters()}
            norms = [
                name for name, layer in network.named_modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)
            ]
            learned |= {name for name in weights if name.rpartition(".")[0] in norms}
            network.load_state_dict({**network.state_dict(), **{name: weights[name] for name in learned}})
        else:
            real(network, images, labels, rest, validation, objective, how)
        means = images.double().flatten(1).mean(1).float()
        given.update(means=means, labels=labels.clone(), rest=rest.clone(), validation=validation.clone())
        return int(how.epochs)

    training._fit = fit
    try:
        yield given
    finally:
        training._fit = real


def keep(train: bool) -> Golden:
    """Do all steps on what the kept ones made, with the kept weights or with new ones."""
    kept, made = Golden() if train else Golden.load(), Golden()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        store = RunFolder(Path(folder) / "run")
        for step in golden_steps(Path(folder)):
            label = label_of(step)
            records, arrays = outcome(step, kept, store)
            arrays = {
                name: values.half().float() if name.endswith("/images") else values for name, values in arrays.items()
            }
            made.keys[label], made.records[label], made.arrays[label] = step.key, records, arrays
            own = folder_of(step, store)
            if own is not None:
                shutil.rmtree(own, ignore_errors=True)
            put(step, made, store)  # what is kept is what the next ones read
    return made


if __name__ == "__main__":
    keep("--train" in sys.argv).save()
    print(f"kept in {FOLDER}", sum(path.stat().st_size for path in FOLDER.iterdir()), "bytes")
