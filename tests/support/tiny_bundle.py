"""The tiny bundle of the tests, kept so that no test hangs on how one training came out; and the run that it is from.

`make tiny-bundle` makes it anew, which is needed where the format of bundles changes and nowhere else.
"""

import json
import shutil
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

import redhanded
from redhanded.bundle import CARD_FILE, pack_bundle
from redhanded.bundle.card import FORMAT
from redhanded.sets import read_column
from support.tiny_study import TOML, InOrder, write_source

KEPT = Path(__file__).parent / "data" / "tiny-bundle"
BUNDLE, TEST_SETS = KEPT / "bundle", KEPT / "test_sets.safetensors"
_IMAGES_A_SET = 20
_TRAINING = "training = { epochs = 8, batch_size = 32, learning_rate = 1e-2, attempts = 2 }"
_GRID = """
[[attacks]]
family = "deepfool"
overshoot = [0.2, 1.0]

[[attacks]]
family = "fgsm"
norm = ["l2"]
eps = [4.0, 6.0]

[[controls]]
family = "clean"

[scales.tiny]
train_images = 60
test_images = 30
shard_images = 30

[scales.tiny.attributors]
forensic = { width = 0.125, TRAINING }
candidates = { width = 0.25, TRAINING }
joined = {}
oracle = { width = 0.125, TRAINING }
""".replace("TRAINING", _TRAINING)


class KnownImages(NamedTuple):
    """Test images of one of the bundle's sets that the bundle was not packed with."""

    images: np.ndarray  # (n, 1, 16, 16) float32; they fool their victim under both pixel protocols (of a control all)
    index: np.ndarray  # (n,) place of each one's original among the test images of the source


def make_run(folder: Path) -> Path:
    """Run two victims, two families, a control; returns the run. `joined` alone asks victims: it is the best there."""
    folder.mkdir(parents=True, exist_ok=True)
    source = write_source(folder / "bars.npz")
    head, rest = TOML.split("[[attacks]]", 1)
    victims = rest[rest.index("[scales.tiny.victims]") : rest.index("[scales.tiny.attack_budgets]")]
    text = head.replace('["setting", "norm", "joint"]', '["dimension"]') + _GRID + victims
    (folder / "study.toml").write_text(text)
    study = redhanded.load_study(str(folder / "study.toml"))
    asked = ["forensic", "joined", "oracle"]
    return redhanded.run_study(study, folder / "run", sources={"bars": source}, attributors=asked, executor=InOrder())


def read_test_sets() -> dict[str, KnownImages]:
    """The kept test images, by the name of their set."""
    arrays = load_file(TEST_SETS)
    names = [name.removesuffix("/images") for name in arrays if name.endswith("/images")]
    return {name: KnownImages(arrays[f"{name}/images"], arrays[f"{name}/index"]) for name in names}


def check_format() -> None:
    """Raise ValueError with one line where the kept bundle is of another format than the code's."""
    kept = json.loads((BUNDLE / CARD_FILE).read_text()).get("format")
    if kept != FORMAT:
        raise ValueError(f"{BUNDLE}: expected format {FORMAT}, found {kept}; make it anew: make tiny-bundle")


def keep(run: Path) -> None:
    """Pack a run's bundle and some of its test images as the kept ones."""
    shutil.rmtree(KEPT, ignore_errors=True)
    KEPT.mkdir(parents=True)
    card = pack_bundle(run, BUNDLE)
    arrays = {}
    for name, entry in card.sets.items():
        (path,) = (run / "sets").glob(f"{'alexnet' if entry.control else entry.victim}/{entry.label}-test-*.zarr")
        needed = ("attacked",) if entry.control else ("success_float32", "success_uint8")
        rows = np.flatnonzero(np.logical_and.reduce([read_column(path, column) for column in needed]))[:_IMAGES_A_SET]
        arrays |= {f"{name}/{column}": read_column(path, column, rows) for column in ("images", "index")}
    save_file(arrays, TEST_SETS)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        keep(make_run(Path(scratch)))
    sizes = [path.stat().st_size for path in KEPT.rglob("*") if path.is_file()]
    sys.stdout.write(f"{KEPT}: {len(sizes)} files, {sum(sizes) / 1e3:.0f} kB\n")
