"""A real run and its bundle, made in seconds and shared by the test processes."""

from pathlib import Path

import redhanded
from redhanded.bundle import pack_bundle
from support.tiny_study import TOML, InOrder, write_source

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


def make_run(folder: Path) -> Path:
    """Run two victims, two families, a control; returns the run. `joined` alone asks victims: it is the best there."""
    source = write_source(folder / "bars.npz")
    head, rest = TOML.split("[[attacks]]", 1)
    victims = rest[rest.index("[scales.tiny.victims]") : rest.index("[scales.tiny.attack_budgets]")]
    text = head.replace('["setting", "norm", "joint"]', '["dimension"]') + _GRID + victims
    (folder / "study.toml").write_text(text)
    study = redhanded.load_study(str(folder / "study.toml"))
    asked = ["forensic", "joined", "oracle"]
    return redhanded.run_study(study, folder / "run", sources={"bars": source}, attributors=asked, executor=InOrder())


def make_bundle(folder: Path) -> Path:
    """The run, and its bundle beside it."""
    out = folder / "bundle"
    if not out.exists():
        folder.mkdir(parents=True, exist_ok=True)
        pack_bundle(make_run(folder), out)
    return out
