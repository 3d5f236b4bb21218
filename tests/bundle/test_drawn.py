"""A study whose settings are drawn from ranges, from its file to a verdict."""

import json
from pathlib import Path

import numpy as np
import pytest

import redhanded
from redhanded.attributors import Attributor, Factored
from redhanded.bundle import load_bundle, pack_bundle
from redhanded.engine import run_study
from redhanded.studies import load_study

STUDY = """
name = "drawn"
title = "Settings drawn from ranges"
source = "mnist5k"
questions = ["algorithm", "dimension"]
[victims]
alexnet = { architecture = "alexnet" }
vgg16 = { architecture = "vgg16" }
[[attacks]]
family = "fgsm"
norm = "linf"
eps = { log_uniform = [0.1, 0.4] }
[[attacks]]
family = "bim"
norm = "l2"
eps = { log_uniform = [2, 8] }
steps = { uniform = [3, 6] }
step_size = { uniform = [0.3, 1], times = "eps" }
[[controls]]
family = "clean"
[scales.laptop]
train_images = 300
test_images = 100
shard_images = 100
[scales.laptop.victims]
alexnet = { width = 0.125, training = { epochs = 8, learning_rate = 2e-3 } }
vgg16 = { width = 0.125, training = { epochs = 3, learning_rate = 1e-2 } }
[scales.laptop.attributors]
factored = { training = { epochs = 10, batch_size = 32, learning_rate = 5e-3 } }
factored_asked = { training = { epochs = 10, batch_size = 32, learning_rate = 5e-3 } }
"""


@pytest.mark.slow
def test_a_study_of_ranges_goes_from_its_file_to_a_verdict(tmp_path: Path) -> None:
    file = tmp_path / "drawn.toml"
    file.write_text(STUDY)
    study = load_study(str(file))
    assert [attack.label for attack in study.attacks] == ["fgsm-linf-eps=0.1..0.4", "bim-l2-eps=2..8"]
    run = tmp_path / "run"
    run_study(study, run)
    sets = {path.stem: json.loads(path.read_text()) for path in (run / "results" / "sets").rglob("*.json")}
    assert any(one["setting"] == {"eps": "log_uniform(0.1,0.4)"} for one in sets.values())
    bundle = tmp_path / "bundle"
    pack_bundle(run, bundle)
    loaded = load_bundle(bundle)
    assert {entry.family for entry in loaded.card.sets.values()} == {"clean", "fgsm", "pgd"}
    assert {part.attributor for part in loaded.card.parts} == {"factored", "factored_asked"}
    attributors = [Attributor.load(path.parent) for path in bundle.rglob("card.json") if "victims" not in path.parts]
    layout = next(one for one in attributors if isinstance(one, Factored)).layout_
    assert sorted((head.name, head.low, head.high) for head in layout.heads) == [("eps", 0.1, 0.4), ("eps", 2.0, 8.0)]
    image = np.random.default_rng(1).random((1, 1, 28, 28), np.float32)
    (verdict,) = redhanded.Examiner.load(bundle).attribute(image)
    likeliest = verdict.findings["family"].ranked[0].name
    for estimate in verdict.estimates:
        low, high = {"fgsm": (0.1, 0.4), "pgd": (2.0, 8.0)}[likeliest]
        assert low <= estimate.low <= estimate.value <= estimate.high <= high
        width = np.log(estimate.high / estimate.low) / np.log(high / low)
        assert estimate.readable is bool(width < 0.85 * 0.9)  # 0.9: from 5 to 95 % of an even density
